"""The marginal that one of n iid drafts can have at the optimum: one sort, two water levels, no root finder."""

from __future__ import annotations

import numpy as np

from specmath.arrays import Array, namespace
from specmath.draws import ratio
from specmath.transport.intervals import Levels, bend
from specmath.transport.levels_host import by_rows
from specmath.transport.search import before, pick, power

SMALL = 64  # tokens; below that a loop over many rows costs more than temporaries


def levels(goal: Array, draft: Array, n: int) -> Levels:
    """Sort by goal / draft, find the cut H, and clip the ratio so that marginal(H) = draft(H)^n and the sum is 1.

    goal (..., V) is weight * target, draft (..., V) a law. With water levels low <= Y(draft(H)) <= high the ratio is
    R = clip(goal / draft, low, high): r >= goal on H, r <= goal outside. Sums are right to about V eps, absolutely.
    numpy runs row by row with few temporaries; everything else runs vectorised, and may be traced.
    """
    on_host = isinstance(goal, np.ndarray) and isinstance(draft, np.ndarray) and goal.dtype == np.float64
    if on_host and n > 1 and (goal.ndim == 1 or goal.shape[-1] >= SMALL):
        return by_rows(goal, draft, n)
    return vectorised(goal, draft, n)


def vectorised(goal: Array, draft: Array, n: int) -> Levels:
    """`levels` for any library and any leading axes."""
    xp = namespace(goal)
    tiny = xp.finfo(goal.dtype).smallest_normal
    # Tokens that are never drafted come last (or, with no goal either, anywhere): their intervals are empty.
    steep = goal / xp.where(draft < tiny, xp.full_like(draft, tiny), draft)
    order = xp.argsort(steep, axis=-1, stable=False)
    ordered = xp.take_along_axis(steep, order, axis=-1)
    edges = xp.cumulative_sum(xp.take_along_axis(draft, order, axis=-1), axis=-1)
    edges = edges / edges[..., -1:]
    wanted = xp.cumulative_sum(xp.take_along_axis(goal, order, axis=-1), axis=-1)
    gain = power(edges, n) - wanted
    best = xp.argmax(gain, axis=-1)[..., None]
    surplus = pick(gain, best)
    some = surplus > 0
    zero = xp.zeros_like(surplus)
    surplus = xp.where(some, surplus, zero)
    inside = xp.where(some, pick(edges, best), zero)  # draft mass of the cut
    spent = xp.where(some, pick(wanted, best), zero)  # goal mass of the cut
    held = steep <= xp.where(some, pick(ordered, best), -1.0)
    cut = xp.where(some, best + 1, 0)
    # Exactly, low <= middle <= high <= n. Each level is found between two neighbouring ratios, and kept there:
    # where it comes from a difference that is mere rounding it may be wrong, but the marginal's sum stays right.
    middle = n * power(inside, n - 1)
    below = _count(ordered * edges - wanted < surplus, cut)
    below = xp.where(below < cut, below, cut)
    low = ratio(surplus + before(wanted, below), before(edges, below))
    low = xp.minimum(low, xp.where(below < cut, pick(ordered, _within(below, ordered)), middle))
    low = xp.minimum(xp.maximum(low, before(ordered, below)), middle)
    outside = 1 - power(inside, n)  # P(some draft outside the cut)
    above = _count(ordered * (1 - edges) + wanted - spent <= outside, cut)
    above = xp.where(above > cut, above, cut)
    high = ratio(outside - (before(wanted, above) - spent), 1 - before(edges, above))
    high = xp.maximum(high, xp.where(above > cut, before(ordered, above), middle))
    high = xp.minimum(high, xp.where(above < goal.shape[-1], pick(ordered, _within(above, ordered)), float(n)))
    high = xp.maximum(xp.minimum(high, xp.full_like(high, float(n))), middle)
    chosen = xp.where(steep < low, low, xp.where(steep > high, high, steep))
    ordered = xp.where(ordered < low, low, xp.where(ordered > high, high, ordered))
    if n == 1:  # nothing to choose, and Y is constant
        one, none = xp.ones_like(chosen), xp.zeros_like(edges)
        return Levels(one, one, edges, none, none, held)
    left = xp.concat([xp.zeros_like(edges[..., :1]), edges[..., :-1]], axis=-1)
    end = bend(ordered, left, edges, n)
    reach = power(end, n)
    lifts = xp.cumulative_sum(ordered * (end - left) - (reach - power(left, n)), axis=-1)
    drops = xp.cumulative_sum((power(edges, n) - reach) - ordered * (edges - end), axis=-1)
    return Levels(chosen, ordered, edges, lifts, drops, held)


def _count(true: Array, most: Array) -> Array:
    """How many are true along the last axis, kept as an axis of length one; in the type of ``most``."""
    xp = namespace(true)
    return xp.astype(xp.sum(xp.astype(true, xp.int32), axis=-1, keepdims=True), most.dtype)


def _within(index: Array, values: Array) -> Array:
    """The index, or the last one there is."""
    last = values.shape[-1] - 1
    return namespace(index).where(index > last, last, index)
