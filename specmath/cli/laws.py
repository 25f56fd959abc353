"""From a dump to checked laws, block by block; every complaint names the file, the array and the context."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from specmath.arrays import check_law
from specmath.cli.stored import FLOATS, PIECE, Mapped, Stored
from specmath.comparison import granule
from specmath.logits import law_from_logits


@dataclass(frozen=True)
class Sampler:
    """How logits become the law that is sampled from; see `specmath.law_from_logits`."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None


@dataclass(frozen=True)
class Source:
    """What a worker, perhaps another process, needs to make laws of stored rows.

    ``names`` are those of target and draft, for messages; ``mapped`` is where their rows lie, None when they are
    compressed; ``sampler`` is None when the rows are laws already.
    """

    names: tuple[str, str]
    mapped: tuple[Mapped, Mapped] | None
    sampler: Sampler | None

    def rows(self, first: int, stop: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Rows ``first`` to ``stop - 1`` of target and draft as stored; ValueError when they are compressed."""
        if self.mapped is None:
            raise ValueError(f"{self.names[0]}: is compressed and cannot be read from the middle")
        target, draft = self.mapped
        return target.rows(first, stop), draft.rows(first, stop)

    def laws(
        self, first: int, target: np.ndarray[Any, Any], draft: np.ndarray[Any, Any]
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], float]:
        """Checked laws in float64 and the largest |sum - 1| there was (0 for logits); ``first`` numbers the rows."""
        checked_target, one = self._laws(self.names[0], target, first)
        checked_draft, other = self._laws(self.names[1], draft, first)
        return checked_target, checked_draft, max(one, other)

    def _laws(self, name: str, block: np.ndarray, first: int) -> tuple[np.ndarray, float]:
        try:
            return self._convert(block)
        except ValueError:
            for i, row in enumerate(block):  # which context it was
                try:
                    self._convert(row)
                except ValueError as error:
                    what = str(error).partition(": ")[2]
                    hint = "; did you mean --logits?" if self.sampler is None and (block < 0).any() else ""
                    raise ValueError(f"{name}: context {first + i}: {what}{hint}") from None
            raise

    def _convert(self, rows: np.ndarray) -> tuple[np.ndarray, float]:
        if self.sampler is not None:
            return law_from_logits(rows, **asdict(self.sampler)), 0.0
        checked = check_law("law", rows)
        return checked.values, checked.correction or 0.0


@dataclass(frozen=True)
class Pair:
    """Target and draft in a dump, of one shape (contexts, vocabulary); ``sampler`` is None when they are laws."""

    target: Stored
    draft: Stored
    sampler: Sampler | None

    @property
    def contexts(self) -> int:
        return self.target.shape[0]

    @property
    def vocabulary(self) -> int:
        return self.target.shape[1]

    @property
    def source(self) -> Source:
        """What workers need."""
        target, draft = self.target.mapped, self.draft.mapped
        mapped = None if target is None or draft is None else (target, draft)
        return Source((self.target.name, self.draft.name), mapped, self.sampler)

    def note_laws(self) -> None:
        """One line on stderr when arrays that were called logits begin with laws."""
        for stored in (self.target, self.draft) if self.sampler is not None else ():
            if looks_like_laws(next(stored.blocks(min(granule(self.vocabulary), self.contexts)))):
                note = "the first rows are laws already; --logits takes the softmax of them"
                print(f"note: {stored.name}: {note}", file=sys.stderr)

    def pieces(self) -> Iterator[bytes]:
        """All stored bytes of target and draft, a piece at a time, with a check of the file's own checksums."""
        yield from self.target.scan()
        yield from self.draft.scan()

    @property
    def piece_count(self) -> int:
        """How many `pieces` there are."""
        return -(-self.target.bytes // PIECE) - (-self.draft.bytes // PIECE)

    def chunks(
        self, ranges: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, int, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]]:
        """(first, stop, stored rows of target and draft) for rising ranges of contexts, one held at a time.

        Compressed arrays are read from their beginning to their end, so that checksums are looked at.
        """
        if self.source.mapped is not None:
            yield from ((first, stop, self.source.rows(first, stop)) for first, stop in ranges)
            return
        size, wanted = granule(self.vocabulary), iter(ranges)
        first, stop = next(wanted, (self.contexts, self.contexts))
        held: list[tuple[np.ndarray, np.ndarray]] = []
        both = zip(self.target.blocks(size), self.draft.blocks(size), strict=True)
        for start, rows in zip(range(0, self.contexts, size), both, strict=True):
            if start < first:
                continue
            held.append(rows)
            if start + len(rows[0]) >= stop:
                target, draft = (np.concatenate([one[i] for one in held]) for i in (0, 1))
                held.clear()
                yield first, stop, (target, draft)
                first, stop = next(wanted, (self.contexts, self.contexts))


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
    return replace(stored, shape=(1, *stored.shape))


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
