"""From a dump to checked laws, block by block; every complaint names the file, the array and the context."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from specmath.arrays import check_law
from specmath.cli.dump import FLOATS, Stored
from specmath.logits import law_from_logits

ENTRIES, ROWS = 2**20, 256
"""Most entries, and most contexts, of one block: what bounds the memory whatever the file's size."""


@dataclass(frozen=True)
class Sampler:
    """How logits become the law that is sampled from; see `specmath.law_from_logits`."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None


@dataclass(frozen=True)
class Pair:
    """Target and draft in a dump, of one shape (contexts, vocabulary); ``sampler`` is None when they are laws."""

    target: Stored
    draft: Stored
    sampler: Sampler | None
    corrections: list[float] = field(default_factory=list)
    """|sum - 1| of each block of laws that was read, before it was scaled; empty for logits."""

    @property
    def contexts(self) -> int:
        return self.target.shape[0]

    @property
    def vocabulary(self) -> int:
        return self.target.shape[1]

    @property
    def rows(self) -> int:
        """Contexts in one block."""
        return max(1, min(ROWS, ENTRIES // self.vocabulary))

    @property
    def block_count(self) -> int:
        return -(-self.contexts // self.rows)

    def blocks(self) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Checked laws of target and draft in float64, up to `rows` contexts at a time."""
        first = 0
        both = zip(self.target.blocks(self.rows), self.draft.blocks(self.rows), strict=True)
        for target, draft in both:
            yield self._laws(self.target.name, target, first), self._laws(self.draft.name, draft, first)
            first += len(target)

    def _laws(self, name: str, block: np.ndarray[Any, Any], first: int) -> np.ndarray[Any, Any]:
        sampler = self.sampler
        if sampler is not None and first == 0 and looks_like_laws(block):
            print(f"note: {name}: every row is a law already; --logits takes the softmax of it", file=sys.stderr)

        def convert(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            if sampler is not None:
                options = {"temperature": sampler.temperature, "top_k": sampler.top_k, "top_p": sampler.top_p}
                return law_from_logits(rows, **options)
            checked = check_law("law", rows)
            self.corrections.append(checked.correction or 0.0)
            return checked.values

        try:
            return convert(block)
        except ValueError:
            for i, row in enumerate(block):  # which context it was
                try:
                    convert(row)
                except ValueError as error:
                    what = str(error).partition(": ")[2]
                    hint = "; did you mean --logits?" if sampler is None and (block < 0).any() else ""
                    raise ValueError(f"{name}: context {first + i}: {what}{hint}") from None
            raise


def pair(path: Path, arrays: dict[str, Stored], sampler: Sampler | None) -> Pair:
    """The arrays ``target`` and ``draft`` of a dump. ValueError for missing, mis-shaped or mis-typed ones."""
    found = []
    for name in ("target", "draft"):
        if name not in arrays:
            held = ", ".join(map(repr, sorted(arrays)[:20])) or "no array"
            raise ValueError(f"{path}: there is no array {name!r}; the file holds {held}")
        found.append(_two_axes(arrays[name]))
        _check_type(arrays[name], sampler is not None)
    target, draft = found
    if target.shape != draft.shape:
        raise ValueError(
            f"{path}: target has shape {arrays['target'].shape} and draft {arrays['draft'].shape}; "
            "they must have one shape (contexts, vocabulary)"
        )
    return Pair(target, draft, sampler)


def _two_axes(stored: Stored) -> Stored:
    if len(stored.shape) not in (1, 2):
        raise ValueError(
            f"{stored.name}: shape {stored.shape}; allowed are (contexts, vocabulary), or (vocabulary,) for one context"
        )
    if 0 in stored.shape:
        empty = "there are no contexts" if stored.shape[-1] else "the vocabulary is empty"
        raise ValueError(f"{stored.name}: shape {stored.shape}: {empty}")
    if len(stored.shape) == 2:
        return stored
    return Stored(stored.name, (1, *stored.shape), stored.dtype, stored.code, stored.open)


def _check_type(stored: Stored, logits: bool) -> None:
    if stored.dtype == "object":
        raise ValueError(f"{stored.name}: holds Python objects (a pickle), which are never loaded; save plain floats")
    if stored.dtype not in FLOATS:
        hint = ""
        if stored.dtype in ("uint16", "void16", "U16"):
            hint = " (if these are the bits of bfloat16: save float32, or a .safetensors file)"
        raise ValueError(f"{stored.name}: dtype {stored.dtype}; allowed are {', '.join(FLOATS)}{hint}")
    if not logits and stored.dtype in ("float16", "bfloat16"):
        raise ValueError(
            f"{stored.name}: dtype {stored.dtype} is too coarse for laws; allowed are float32 and float64 "
            "(hand in logits with --logits instead)"
        )


def looks_like_laws(block: np.ndarray[Any, Any]) -> bool:
    """Whether the rows are non-negative and sum to one, as those of logits never do by accident.

    >>> looks_like_laws(np.array([[0.5, 0.5]])), looks_like_laws(np.array([[0.5, -0.5]]))
    (True, False)
    """
    if block.shape[-1] < 2 or not (block >= 0).all():
        return False
    return bool((np.abs(block.sum(axis=-1, dtype=np.float64) - 1) < 1e-2).all())
