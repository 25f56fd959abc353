"""Deciding what the code asks about a uniform: find where the answer changes on the grid, and choose a side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from specmath.oracle.draws import MOST_BRANCHES, Draws, Uniform, UnsupportedRandomness

WAYS = 32
"""Sections per refinement."""

Answers = Callable[[Sequence[int]], Sequence[Any]]
"""What the code would see at these grid points: one plain value (bool or int) each."""


def side(draws: Draws, cell: Uniform, cut: int) -> bool:
    """Whether the uniform lies below grid point ``cut``; decided now, and from now on true."""
    if cell.high <= cell.low:
        raise UnsupportedRandomness("a uniform is used again after a race was decided by it")
    if cut <= cell.low:
        return False
    if cut >= cell.high:
        return True
    width = cell.high - cell.low
    below = draws.take([Fraction(cut - cell.low, width), Fraction(cell.high - cut, width)]) == 0
    if below:
        cell.high = cut
    else:
        cell.low = cut
    return below


def answer(draws: Draws, cell: Uniform, answers: Answers, *, what: str, monotone: bool) -> Any:
    """The answer at the uniform's value: its pieces of the grid are found by bisection, and one is chosen.

    ``answers`` must not come back to a value it has left, as for monotone expressions compared with a constant. Where
    that does not follow from the calls (``monotone`` False) 65 points are looked at, and a value that comes back is an
    error.
    """
    if cell.high <= cell.low:
        raise UnsupportedRandomness(f"{what}: a uniform is used again after a race was decided by it")
    low, high = cell.low, cell.high - 1
    if not monotone:
        _look(answers, low, high, what)
    first, last = answers([low, high])
    cuts, found = [low], [first]
    while found[-1] != last:
        if len(found) == MOST_BRANCHES:
            raise UnsupportedRandomness(f"{what}: more than {MOST_BRANCHES} different values")
        cut, value = _leaves(answers, cuts[-1], high, found[-1])
        cuts.append(cut)
        found.append(value)
    if len(found) == 1:
        return first
    ends = [*cuts[1:], cell.high]
    width = cell.high - cell.low
    piece = draws.take([Fraction(end - cut, width) for cut, end in zip(cuts, ends, strict=True)])
    cell.low, cell.high = cuts[piece], ends[piece]
    return found[piece]


def _leaves(answers: Answers, low: int, high: int, value: Any) -> tuple[int, Any]:
    """First grid point above ``low`` without this value, and the value there; at ``high`` it is another one."""
    there = None
    while high - low > 1 or there is None:
        points = sorted({low + (high - low) * i // WAYS for i in range(1, WAYS + 1)})
        for point, found in zip(points, answers(points), strict=True):
            if found != value:
                high, there = point, found
                break
            low = point
    return high, there


def _look(answers: Answers, low: int, high: int, what: str) -> None:
    points = sorted({low + (high - low) * i // 64 for i in range(65)})
    seen: list[Any] = []
    for value in answers(points):
        if not seen or value != seen[-1]:
            if value in seen:
                raise UnsupportedRandomness(f"{what}: the expression rises and falls with the random number")
            seen.append(value)
