"""The laws of target and draft before chosen tokens of a finished text, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reference.decode import Options
from reference.models.protocol import LanguageModel, on_host

CHUNK = 64
"""Tokens that are read at once: what bounds the logits in memory."""


@dataclass(frozen=True)
class Along:
    """Neighbouring rows of a recording: ``target`` and ``draft`` (R, V), float64."""

    target: NDArray[np.float64]
    draft: NDArray[np.float64]


def laws_along(
    target: LanguageModel,
    draft: LanguageModel,
    text: Sequence[int],
    positions: Sequence[int],
    options: Options,
) -> Iterator[Along]:
    """The next-token laws after the first ``positions[i]`` tokens of ``text``, for rising positions >= 1.

    Both models read the text, `CHUNK` tokens in one pass; the laws are those that are sampled, after temperature, top-k
    and top-p. With an exact arithmetic they have the bits that they had while the text was decoded. Raises ValueError
    for positions that do not rise or lie outside the text, a context that is too short, and logits that hold NaN.

    >>> from reference.models.table import TableModel
    >>> coin, ones = (TableModel(lambda prefix, law=law: law, 2) for law in ([0.5, 0.5], [0, 1]))
    >>> for rows in laws_along(coin, ones, [0, 1, 1], [1, 3], Options()):
    ...     print(rows.target.tolist(), rows.draft.tolist())
    [[0.5, 0.5], [0.5, 0.5]] [[0.0, 1.0], [0.0, 1.0]]
    """
    listed = [int(position) for position in positions]
    if any(np.diff(listed) < 1) or not all(1 <= position <= len(text) for position in listed):
        raise ValueError(f"positions are {listed}; allowed are rising numbers from 1 to {len(text)}")
    last = listed[-1] if listed else 0
    states = {"target": target.start(), "draft": draft.start()}
    try:
        for first in range(0, last, CHUNK):
            stop = min(first + CHUNK, last)
            wanted = [position - first - 1 for position in listed if first < position <= stop]
            found = {}
            for name, state in states.items():
                logits = state.extend(text[first:stop])
                if wanted:
                    found[name] = options.laws(name, on_host(logits[wanted]))
            if wanted:
                yield Along(**found)
    finally:
        for state in states.values():
            state.close()


def spaced(total: int, count: int | None) -> list[int]:
    """At most ``count`` of the places 0 .. total - 1, as evenly as whole numbers allow; None: all of them.

    >>> spaced(10, 4), spaced(3, None), spaced(2, 5), spaced(10, 1)
    ([0, 3, 6, 9], [0, 1, 2], [0, 1], [0])
    """
    if count is None or count >= total:
        return list(range(total))
    return [0] if count == 1 else [round(i * (total - 1) / (count - 1)) for i in range(count)]
