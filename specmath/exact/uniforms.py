"""Exact law of a function of uniforms, by finding its breakpoints.

A verification step is a function of m uniforms that is constant on finitely many boxes. Coordinate by coordinate, the
breakpoints are bisected down to neighbouring floats, and the law is the sum of the boxes' volumes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from specmath.exact.law import Law

Function = Callable[[NDArray[np.float64]], Sequence[Hashable]]
"""Maps uniforms of shape (batch, m) to one outcome per row."""

GRID = 32  # sections per refinement of an interval
WIDTH = 2.0**-48  # breakpoints are located to this width


class _Search:
    def __init__(self, function: Function, count: int, probes: int) -> None:
        self.function, self.count = function, count
        # A fixed low-discrepancy design tells two conditional maps apart; a pair of maps that agrees on all of it
        # would be merged, which the comparison of laws then reports as a difference: never a silent pass.
        steps = np.sqrt(np.array([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53.0]))
        if count > len(steps):
            raise ValueError(f"count is {count}; allowed are 1 to {len(steps)} uniforms")
        spread = (np.arange(1, probes + 1)[:, None] * steps[:count]) % 1.0
        # Rare boxes lie in corners (every test fails only if all uniforms are near one), where a spread has no point.
        top = np.nextafter(1.0, 0.0)
        one_top = np.eye(count) * top
        corners = np.concatenate([np.zeros((1, count)), np.full((1, count), top), one_top, top - one_top])
        self.design = np.asarray(np.concatenate([spread, corners]), dtype=np.float64)

    def signatures(self, fixed: list[float], values: NDArray[np.float64]) -> list[tuple[Hashable, ...]]:
        """For every value of the next coordinate: the outcomes over the design of the coordinates after it."""
        place = len(fixed)
        design = self.design if place + 1 < self.count else self.design[:1]
        rows = np.repeat(design[None], len(values), axis=0)
        rows[:, :, :place] = fixed
        rows[:, :, place] = values[:, None]
        outcomes = list(self.function(rows.reshape(-1, self.count)))
        return [tuple(outcomes[i : i + len(design)]) for i in range(0, len(outcomes), len(design))]

    def pieces(self, fixed: list[float]) -> list[tuple[float, float]]:
        """Intervals (representative, width) of the next coordinate on which the conditional map is constant."""
        points = np.linspace(0.0, 1.0, 4 * GRID + 1)
        points[-1] = np.nextafter(1.0, 0.0)
        known = dict(zip(points.tolist(), self.signatures(fixed, points), strict=True))
        while True:
            order = sorted(known)
            wide = [(low, high) for low, high in pairwise(order) if known[low] != known[high] and high - low > WIDTH]
            if not wide:
                break
            fresh = np.unique([np.linspace(low, high, GRID + 1)[1:-1] for low, high in wide])
            known.update(zip(fresh.tolist(), self.signatures(fixed, fresh), strict=True))
        found, start, first = [], 0.0, order[0]
        for low, high in pairwise(order):
            if known[low] != known[high]:
                edge = (low + high) / 2
                found.append(((first + low) / 2, edge - start))
                start, first = edge, high
        found.append(((first + order[-1]) / 2, 1.0 - start))
        return found

    def run(self, fixed: list[float], volume: float, into: dict[Hashable, float]) -> int:
        if len(fixed) == self.count:
            outcome = self.function(np.array([fixed]))[0]
            into[outcome] = into.get(outcome, 0.0) + volume
            return 1
        return sum(self.run([*fixed, at], volume * width, into) for at, width in self.pieces(fixed))


def law_of_uniforms(function: Function, count: int, *, probes: int = 24) -> Law:
    """Law of ``function(u)`` for u uniform on [0, 1)^count, the function being constant on finitely many boxes.

    ``function`` takes an array (batch, count) and returns one hashable outcome per row. Breakpoints are located to
    2**-48, so probabilities carry an error of about count * 2**-48 for each breakpoint; two breakpoints of one
    coordinate closer than 1/128 with equal outcomes on both sides can be missed, which shows as a difference of laws.

    >>> found = law_of_uniforms(lambda u: [bool(x < 0.25) for x in u[:, 0]], 1)
    >>> round(found[True], 12)
    0.25
    """
    if count < 1:
        raise ValueError(f"count is {count}; at least one uniform is needed")
    found: dict[Hashable, float] = {}
    boxes = _Search(function, count, probes).run([], 1.0, found)
    return Law(found, boxes)
