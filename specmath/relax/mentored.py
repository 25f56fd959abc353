"""Mentored decoding: the largest acceptance of one draft under a budget of KL(target || relaxed)."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import array_api_compat

from specmath.arrays import Array, check_number, namespace
from specmath.draws import ratio
from specmath.relax.relaxed import Relaxation, divergence, total_variation

STEPS = 60
"""Bisections of the rejected mass: below the last place of float64."""

ROUNDING = 16
"""Units in the last place that are kept back from the budget: what the divergence of a law may be off by."""


def _check(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"budget": check_number("budget", parameters["budget"], 0.0, 1e300, "finite numbers >= 0 (nats)")}


def law(target: Array, draft: Array, budget: float) -> Array:
    """max(p / b, min(q, p / a)) with a <= 1 <= b such that it sums to one and KL(p || law) = budget.

    The rejected mass g = sum (p / b - q)^+ = sum (q - p / a)^+ fixes both a and b and the divergence falls in g, so g
    is bisected: its upper end always keeps the budget. With the tokens in rising order of p / q all sums are prefix
    sums, and a and b are found by binary search, O(log V) a step after one sort. Where a reaches zero, the draft's
    tokens of target probability zero are let in too. The last rounding errors are paid for by a mixture with p, which
    keeps the budget by convexity.
    """
    xp = namespace(target)
    budget -= ROUNDING * xp.finfo(target.dtype).eps * (1 + budget)
    levels = _Levels(target, draft)
    apart = total_variation(target, draft)
    lowest = xp.where(levels.divergence(xp.zeros_like(apart)) <= budget, xp.zeros_like(apart), apart)

    def halve(ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        kept = levels.divergence(middle) <= budget
        return xp.where(kept, low, middle), xp.where(kept, middle, high)

    _, rejected = _repeat(halve, (xp.zeros_like(apart), lowest))
    low, high = levels.factors(rejected)
    # Draft mass on tokens of target probability zero.
    certain = xp.sum(xp.where(target > 0, xp.zeros_like(draft), draft), axis=-1)
    finite = xp.isfinite(low)[..., None]
    scaled = xp.where(finite, low[..., None], xp.ones_like(target)) * target
    lifted = xp.where(finite, scaled, xp.full_like(target, math.inf))
    found = xp.where(lifted < draft, lifted, draft)
    found = xp.where(found > high[..., None] * target, found, high[..., None] * target)
    spare = certain - rejected
    let_in = ratio(xp.where(spare > 0, spare, xp.zeros_like(spare)), certain)[..., None]
    found = xp.where(target > 0, found, let_in * draft)
    found = found / xp.sum(found, axis=-1, keepdims=True)
    spent = divergence(target, found)
    # KL(p || (1 - s) law + s p) <= (1 - s) KL(p || law)
    kept = ratio(xp.full_like(spent, max(budget, 0.0)), spent)
    share = xp.where(spent > budget, kept, xp.ones_like(spent))[..., None]
    return share * found + (1 - share) * target


class _Levels:
    """Prefix sums in rising order of p / q, and what a rejected mass g (...) implies."""

    def __init__(self, target: Array, draft: Array) -> None:
        xp = self.xp = namespace(target)
        most = xp.full_like(target, xp.finfo(target.dtype).max)
        steep = ratio(target, draft)
        steep = xp.where((draft > 0) & (steep < most), steep, xp.where(target > 0, most, xp.zeros_like(target)))
        order = xp.argsort(steep, axis=-1, stable=True)
        p, q, rho = (xp.take_along_axis(values, order, axis=-1) for values in (target, draft, steep))
        seen = (p > 0) & (q > 0)
        one = xp.ones_like(p)
        logs = xp.log(xp.where(seen, p, one)) - xp.log(xp.where(seen, q, one))
        self.below_p, self.below_q = _before(p), _before(q)  # (..., V + 1): sums of the first i tokens
        self.above_p, self.above_q = _after(p), _after(q)  # sums of the last i tokens
        self.below_log = _before(p * logs)
        self.undrafted = xp.sum(xp.where(q > 0, xp.zeros_like(p), p), axis=-1)  # lost altogether at g = 0
        # g at which the i-th lowest token starts to be cut, rising; and the i-th highest to be lifted, rising.
        falling = xp.flip(rho, axis=-1)
        self.cut_at = self.below_q[..., :-1] - ratio(self.below_p[..., :-1], rho)
        lifted = ratio(self.above_p[..., :-1], falling) - self.above_q[..., :-1]
        self.lift_at = xp.where(falling > 0, lifted, xp.full_like(p, math.inf))

    def counts(self, rejected: Array) -> tuple[Array, Array]:
        """Numbers of tokens that are cut (lowest p / q) and lifted (highest), shape (...)."""
        return _below(self.cut_at, rejected), _below(self.lift_at, rejected)

    def factors(self, rejected: Array) -> tuple[Array, Array]:
        """1 / a (inf where nothing of the target is cut) and 1 / b."""
        return self._factors(rejected, *self.counts(rejected))

    def _factors(self, rejected: Array, cut: Array, lifted: Array) -> tuple[Array, Array]:
        xp = self.xp
        low_p, low_q = _at(self.below_p, cut), _at(self.below_q, cut)
        low = xp.where(low_p > 0, ratio(low_q - rejected, low_p), xp.full_like(rejected, math.inf))
        high = ratio(rejected + _at(self.above_q, lifted), _at(self.above_p, lifted))
        return low, high

    def divergence(self, rejected: Array) -> Array:
        """KL(p || law) at rejected mass g (...), from the sums alone; inf where a token of the target is lost."""
        xp = self.xp
        cut, lifted = self.counts(rejected)
        low, high = self._factors(rejected, cut, lifted)
        low_p, high_p = _at(self.below_p, cut), _at(self.above_p, lifted)
        middle = _at(self.below_log, self.cut_at.shape[-1] - lifted) - _at(self.below_log, cut)
        one = xp.ones_like(low)
        some_low, some_high = (low_p > 0) & (low > 0), (high_p > 0) & (high > 0)
        spent = middle - low_p * xp.log(xp.where(some_low, low, one)) - high_p * xp.log(xp.where(some_high, high, one))
        return xp.where((rejected <= 0) & (self.undrafted > 0), xp.full_like(spent, math.inf), spent)


def _before(values: Array) -> Array:
    xp = namespace(values)
    return xp.concat([xp.zeros_like(values[..., :1]), xp.cumulative_sum(values, axis=-1)], axis=-1)


def _after(values: Array) -> Array:
    return _before(namespace(values).flip(values, axis=-1))


def _at(values: Array, place: Array) -> Array:
    xp = namespace(values)
    return xp.take_along_axis(values, place[..., None], axis=-1)[..., 0]


def _below(rising: Array, limit: Array) -> Array:
    """How many entries of rising (..., V) lie below limit (...), by binary search."""
    xp = namespace(rising)
    size = rising.shape[-1]
    found = xp.zeros_like(xp.argmax(rising, axis=-1))
    step = 1 << (size.bit_length() - 1)
    while step:
        further = found + step
        inside = further <= size
        last = xp.where(inside, further, xp.full_like(further, size)) - 1
        found = xp.where(inside & (_at(rising, last) < limit), further, found)
        step //= 2
    return found


def _repeat(step: Callable[[Any], Any], state: Any) -> Any:
    """`STEPS` applications; as one compiled loop for jax."""
    if array_api_compat.is_jax_array(state[0]):
        return sys.modules["jax"].lax.fori_loop(0, STEPS, lambda _, now: step(now), state)
    for _ in range(STEPS):
        state = step(state)
    return state


RELAXATION = Relaxation(
    name="mentored",
    purpose="max sum min(law, q) subject to KL(p || law) <= budget nats",
    source="tranthien2023optimal; proof in docs/theory/relaxed.md",
    parameters={"budget": None},
    check=_check,
    law=law,
)
