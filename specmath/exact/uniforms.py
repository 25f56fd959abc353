"""Exact law of a function of uniforms, by finding its breakpoints.

A verification step is a function of m uniforms that is constant on finitely many boxes. Coordinate by coordinate, the
breakpoints are bisected down to neighbouring floats, and the law is the sum of the boxes' volumes. Random points then
check the boxes, so that a region the search did not see is an error, not a wrong law.
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
        # A fixed low-discrepancy design tells two conditional maps apart; what it confuses, the random points find.
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

    def run(self, fixed: list[float], volume: float, points: NDArray[np.float64], into: dict[Hashable, float]) -> int:
        """Add the outcomes' volumes below ``fixed`` into ``into``; ``points`` are the random points that lie there."""
        if len(fixed) == self.count:
            outcome = self.function(np.array([fixed]))[0]
            into[outcome] = into.get(outcome, 0.0) + volume
            self._check(points, outcome)
            return 1
        boxes, start = 0, 0.0
        for at, width in self.pieces(fixed):
            here = points[(points[:, len(fixed)] >= start) & (points[:, len(fixed)] < start + width)]
            boxes += self.run([*fixed, at], volume * width, here, into)
            start += width
        return boxes

    def _check(self, points: NDArray[np.float64], outcome: Hashable) -> None:
        for point, found in zip(points, self.function(points) if len(points) else [], strict=True):
            if found != outcome:
                raise UnresolvedError(
                    f"at uniforms {point.tolist()} the outcome is {found!r}, but {outcome!r} in the box around them: "
                    "the function is not constant on boxes, or has breakpoints closer than 1/128"
                )


class UnresolvedError(RuntimeError):
    """The boxes that were found do not describe the function; no law is returned."""


def law_of_uniforms(function: Function, count: int, *, probes: int = 24, checks: int = 2048) -> Law:
    """Law of ``function(u)`` for u uniform on [0, 1)^count, the function being constant on finitely many boxes.

    ``function`` takes an array (batch, count) and returns one hashable outcome per row. Breakpoints are located to
    2**-48, so probabilities carry an error of about count * 2**-48 for each breakpoint. Two breakpoints of one
    coordinate closer than 1/128 with equal outcomes on both sides can be missed, and so can a difference that none of
    the ``probes`` sees; therefore ``checks`` random points (fixed seed) are held against the boxes, and
    `UnresolvedError` is raised if one disagrees. A wrong region of volume d escapes with probability (1 - d)^checks:
    for 2,048 points, d = 0.01 with 1e-9, d = 0.001 with 0.13. Raises ValueError for count < 1 or > 16.

    >>> found = law_of_uniforms(lambda u: [bool(x < 0.25) for x in u[:, 0]], 1)
    >>> round(found[True], 12)
    0.25
    """
    if count < 1:
        raise ValueError(f"count is {count}; at least one uniform is needed")
    found: dict[Hashable, float] = {}
    points = np.random.default_rng(0).random((checks, count))
    boxes = _Search(function, count, probes).run([], 1.0, points, found)
    return Law(found, boxes)
