"""Races: argmax over expressions in independent exponentials (or Gumbels), which is a draw proportional to weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Field = Callable[[Floats], Floats]
"""All elements of a race (rows), at values of their cells of shape (elements, points), in float64."""

FIRST = np.linspace(-60.0, 6.0, 67)
"""Logarithms of E at which elements are looked at: an exponential lies outside with probability below 1e-26."""
MIDDLE = 60
"""Where ``FIRST`` is 0."""
LOWEST, HIGHEST = -14.0, 6.0
"""Logarithms of E between which elements are held against each other."""
BELOW_ONE = 1 - 2.0**-53
"""No uniform is 1: -log(1) would be -0.0, and w / -0.0 the smallest value instead of the largest."""
EXPONENTIAL = (np.exp,)
"""Values of an exponential cell, by the logarithm of E."""
UNIFORM = (lambda logs: np.minimum(np.exp(-np.exp(logs)), BELOW_ONE), lambda logs: -np.expm1(-np.exp(logs)))
"""Values of a uniform cell by the logarithm of E: E = -log(u), and E = -log(1 - u)."""
AGREEMENT = 1e-6
WAYS = 33


class NoRace(ValueError):
    """The elements are no race; the message says why."""


def solved(
    field: Field, count: int, *, exponential: bool, largest: bool, known: dict[Any, list[float]] | None = None
) -> list[float]:
    """`weights` of ``count`` elements whose cells are exponentials, or uniforms; ``known`` keeps what was solved."""
    known = {} if known is None else known
    clocks = EXPONENTIAL if exponential else UNIFORM
    for clock in clocks:
        with contextlib.suppress(NoRace):
            return _weights(field, clock, count, largest, known)
    raise NoRace("the elements are no race of exponentials")


def _weights(field: Field, clock: Callable[[Floats], Floats], count: int, largest: bool, known: Any) -> list[float]:
    """Weights of a race: element i wins with probability ``weights[i] / sum(weights)``.

    Each element must be one decreasing function of ``E_i / w_i`` (increasing where the smallest wins): as
    ``w / E``, ``log(w) - log(E)``, ``logits + gumbel``, ``u ** (1 / w)``, ``log(u) / w``. The weights are solved from
    the elements' values, and the elements are then held against each other; `NoRace` is raised for anything else.
    Elements that are constant and lose against all others have weight 0.
    """
    sign = 1.0 if largest else -1.0

    def values(logs: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return sign * field(clock(logs))

    tables = values(np.broadcast_to(FIRST, (count, len(FIRST))))
    key = clock, sign, tables.tobytes()
    if key not in known:
        known[key] = _solve(values, tables)
    return known[key]


def _solve(values: Callable[[Floats], Floats], tables: Floats) -> list[float]:
    count = len(tables)
    finite = np.where(np.isfinite(tables), tables, np.nan)
    spans = [np.ptp(row[np.isfinite(row)]) if np.isfinite(row).any() else 0.0 for row in finite]
    moving = [i for i, span in enumerate(spans) if span > 0]
    if not moving:
        best = int(np.argmax(tables[:, 0]))
        return [float(i == best) for i in range(count)]
    lead = max(moving, key=lambda i: tables[i, MIDDLE])  # the largest weight: the others' E is smaller
    for i in set(range(count)) - set(moving):
        known = tables[i, ~np.isnan(tables[i])]  # -inf + inf, where the float64 uniform is 1
        if not len(known) or not known.max() <= np.nanmin(finite[moving]):
            raise NoRace(f"element {i} does not depend on its random number, and may win")
    shifts = _shifts(values, tables[lead, MIDDLE], count, moving)
    # Where uniforms exp(-E) have digits enough for all elements at once.
    logs = np.linspace(min(HIGHEST - 1, LOWEST - min(shifts[moving])), HIGHEST, 23)
    held = values(logs[None, :] + shifts[:, None])[moving]
    if not np.allclose(held, held[0], rtol=AGREEMENT, atol=AGREEMENT) or not (np.diff(held, axis=1) < 0).all():
        raise NoRace("the elements are no race of exponentials")
    return [math.exp(shifts[i] - shifts[lead]) if i in moving else 0.0 for i in range(count)]


def _shifts(values: Callable[[Floats], Floats], level: float, count: int, moving: list[int]) -> Floats:
    """For every moving element the log E at which its value is ``level``, by bisection of all at once."""
    low, high = np.full(count, -200.0), np.full(count, 200.0)
    ends = values(np.stack([low, high], axis=1))[moving]
    if not ((ends[:, 0] >= level) & (ends[:, 1] <= level)).all():
        raise NoRace("the elements are no race of exponentials")
    for _ in range(12):  # 400 / 32**12 is below the spacing of floats
        points = np.linspace(low, high, WAYS, axis=1)
        above = values(points) >= level
        last = np.minimum(WAYS - 1 - np.argmax(above[:, ::-1], axis=1), WAYS - 2)
        low, high = points[np.arange(count), last], points[np.arange(count), last + 1]
    return (low + high) / 2
