"""`levels` on the host: one row at a time, in place, so that the sort is the dearest step."""

from __future__ import annotations

from typing import Any

import numpy as np

from specmath.transport.intervals import Levels, bend
from specmath.transport.search import power

FloatArray = np.ndarray[Any, Any]
TINY = float(np.finfo(np.float64).smallest_normal)


def by_rows(goal: FloatArray, draft: FloatArray, n: int) -> Levels:
    """`specmath.transport.levels.levels` for float64 of any leading axes and n >= 2."""
    if goal.ndim == 1:
        return one_row(goal, draft, n)
    rows = [one_row(p, q, n) for p, q in zip(_flat(goal), _flat(draft), strict=True)]
    if not rows:
        empty = np.zeros(goal.shape)
        return Levels(empty, empty, empty, empty, empty, empty > 0)
    return Levels(*(np.stack(columns).reshape(goal.shape) for columns in zip(*rows, strict=True)))


def _flat(laws: FloatArray) -> FloatArray:
    return laws.reshape(int(np.prod(laws.shape[:-1])), laws.shape[-1])


def one_row(goal: FloatArray, draft: FloatArray, n: int) -> Levels:
    """One context, laws (V,)."""
    steep = np.divide(goal, draft if draft.min() >= TINY else np.maximum(draft, TINY))
    order = steep.argsort()
    ordered = steep.take(order, mode="clip")  # the mode only saves a copy
    edges = draft.take(order, mode="clip")
    wanted = goal.take(order, mode="clip")
    np.cumsum(edges, out=edges)
    np.cumsum(wanted, out=wanted)
    edges *= 1 / edges[-1]
    edges[-1] = 1.0
    reach = power(edges, n)
    spare = reach - wanted
    best = int(spare.argmax())
    surplus = max(float(spare[best]), 0.0)
    count = best + 1 if surplus > 0 else 0
    inside, spent = (float(edges[best]), float(wanted[best])) if count else (0.0, 0.0)
    cut = steep <= ordered[best] if count else np.zeros(goal.shape, dtype=bool)
    low, high = _water(ordered, edges, wanted, n, count, surplus, inside, spent)
    np.maximum(steep, low, out=steep)
    np.minimum(steep, high, out=steep)
    # Cumulated marginal: low on the left, goal in the middle, high on the right.
    first, last = int(ordered.searchsorted(low, "left")), int(ordered.searchsorted(high, "right"))
    total = spare
    np.multiply(edges[:first], low, out=total[:first])
    start = (low * edges[first - 1] - wanted[first - 1]) if first else 0.0
    np.add(wanted[first:last], start, out=total[first:last])
    np.subtract(1, edges[last:], out=total[last:])
    total[last:] *= -high
    total[last:] += 1
    ordered[:first] = low
    ordered[last:] = high
    lifts, drops = _needs(ordered, edges, reach, total, wanted, n)
    return Levels(steep, ordered, edges, lifts, drops, cut)


def _water(
    ordered: FloatArray,
    edges: FloatArray,
    wanted: FloatArray,
    n: int,
    cut: int,
    surplus: float,
    inside: float,
    spent: float,
) -> tuple[float, float]:
    """The two levels, each from a bisection over the tokens and one division, kept between the neighbours' ratios."""
    size = len(ordered)
    middle = n * inside ** (n - 1)
    low = 0.0
    if cut:
        below = _first(cut, lambda k: ordered[k] * edges[k] - wanted[k] >= surplus)
        if below:
            low = (surplus + float(wanted[below - 1])) / float(edges[below - 1]) if edges[below - 1] > 0 else middle
            low = max(low, float(ordered[below - 1]))
        low = min(low, float(ordered[below]) if below < cut else middle, middle)
    outside = 1 - inside**n
    above = cut + _first(
        size - cut, lambda k: ordered[cut + k] * (1 - edges[cut + k]) + wanted[cut + k] - spent > outside
    )
    passed, rest = (float(wanted[above - 1]), 1 - float(edges[above - 1])) if above else (0.0, 1.0)
    high = (outside - (passed - spent)) / rest if rest > 0 else 0.0
    high = max(high, float(ordered[above - 1]) if above > cut else middle)
    high = min(high, float(ordered[above]) if above < size else float(n), float(n))
    return low, max(high, middle)


def _first(size: int, holds: Any) -> int:
    """The first index for which ``holds``, which is false and then true; ``size`` if it never is."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _needs(
    ordered: FloatArray, edges: FloatArray, reach: FloatArray, total: FloatArray, spare: FloatArray, n: int
) -> tuple[FloatArray, FloatArray]:
    """Integrals of (R - Y)^+ and (Y - R)^+, in the memory of ``reach`` and ``total``; ``spare`` is overwritten."""
    if edges[0] < TINY:
        spare.fill(0)
        np.divide(reach, edges, out=spare, where=edges >= TINY)
    else:
        np.divide(reach, edges, out=spare)
    spare *= n  # Y at the right ends
    crossed = spare > ordered
    crossed[1:] &= spare[:-1] < ordered[1:]
    places = np.flatnonzero(crossed)
    total -= reach  # D: the first integral minus the second
    lifts = reach
    lifts[0] = total[0]
    np.subtract(total[1:], total[:-1], out=lifts[1:])
    np.maximum(lifts, 0, out=lifts)
    # Tokens in whose interval Y crosses R have both a part with R > Y and one with R < Y.
    if places.size:
        left = np.where(places > 0, edges[places - 1], 0.0)
        end = bend(ordered[places], left, edges[places], n)
        lifts[places] = np.maximum(ordered[places] * (end - left) - (power(end, n) - power(left, n)), 0)
    np.cumsum(lifts, out=lifts)
    np.subtract(lifts, total, out=total)
    return lifts, total
