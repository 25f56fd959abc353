"""The swap coupling: selects one of n iid drafts with the marginal that reaches the optimum, for any V and n."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from specmath.arrays import Array, as_pytree, namespace
from specmath.transport.intervals import bend
from specmath.transport.levels import levels
from specmath.transport.search import before, count, pick, power

STEPS = 8  # of the root search inside one interval, of third order; two or three are needed
SETTLED = 4e-16  # positions lie in [0, 1]; a step below this is rounding


@dataclass(frozen=True)
class SwapSelector:
    """Each draft gets a score, uniform on [0, 1]; the largest score wins (the first of equal ones).

    A draft's position is uniform in its token's interval; with probability lambda it moves to its partner. Positions
    with R > Y (set A) and with R < Y (set B) are partners when the needs before them, the integrals of |R - Y|, are
    equal. R is the ratio of marginal and draft, Y(s) = n s^(n-1) the density of the largest of n uniforms.

    Attributes
    ----------
    ratio : (..., V) R by token; ordered : R, rising.
    edges : right ends of the intervals in that order; lifts, drops : the needs of A and of B up to there.
    n : number of drafts.
    """

    ratio: Array
    ordered: Array
    edges: Array
    lifts: Array
    drops: Array
    n: int

    def select(self, tokens: Array, uniforms: Array) -> Array:
        """Index (...) of the selected draft; tokens (..., n), uniforms (..., 2n): positions, then coins."""
        xp = namespace(self.ratio)
        if self.n == 1:
            return tokens[..., 0] * 0
        score = self.scores(tokens, uniforms[..., : self.n], uniforms[..., self.n : 2 * self.n])
        return xp.astype(xp.argmax(score, axis=-1), tokens.dtype)

    def scores(self, tokens: Array, positions: Array, coins: Array) -> Array:
        """Scores (..., k) of drafts (..., k), each from its own position and coin in [0, 1)."""
        xp = namespace(self.ratio)
        position, partner, chance = self.swap(tokens, positions)
        return xp.where(coins < chance, partner, position)

    def swap(self, tokens: Array, positions: Array) -> tuple[Array, Array, Array]:
        """Position s, partner T(s) and probability lambda(s) of drafts (..., k) with uniforms (..., k)."""
        xp, n = namespace(self.ratio), self.n
        level = pick(self.ratio, tokens)
        # Tokens of equal ratio share one interval: R is constant on it, and no tie has to be broken.
        first = count(self.ordered, level, strictly=True)
        left = before(self.edges, first)
        right = before(self.edges, count(self.ordered, level, strictly=False))
        position = left + positions * (right - left)
        reach = power(position, n - 1)
        density = n * reach
        lifted = density < level
        base = power(left, n)
        need = level * (position - left) - (reach * position - base)  # integral of R - Y from the left end
        end = bend(level, left, right, n)
        whole = level * (end - left) - (power(end, n) - base)
        before_it = xp.where(lifted, before(self.lifts, first), before(self.drops, first))
        partner = self._partner(before_it + xp.where(lifted, need, whole - need), lifted)
        apart = n * power(partner, n - 1) - density
        return position, partner, (level - density) / xp.where(apart == 0, xp.inf, apart)

    def _partner(self, need: Array, lifted: Array) -> Array:
        """T: the position in B with this need before it where ``lifted``, else the position in A."""
        xp, n = namespace(need), self.n
        last = self.edges.shape[-1] - 1
        # Where a need is met all along a stretch, A wants the end of it and B the beginning.
        place = xp.where(lifted, count(self.drops, need, strictly=False), count(self.lifts, need, strictly=True))
        place = xp.where(place > last, last, place)
        left, right, level = before(self.edges, place), pick(self.edges, place), pick(self.ordered, place)
        end = bend(level, left, right, n)
        need = need - xp.where(lifted, before(self.drops, place), before(self.lifts, place))
        need = xp.where(need > 0, need, 0.0)
        start = xp.where(lifted, end, left)  # where the need of this interval begins
        stop = xp.where(lifted, right, end)
        sign = xp.where(lifted, 1.0, -1.0 + 0 * need)
        # The need at d beyond the start is about slope d +- curve d^2: exactly so for n = 2, else the first guess.
        lower = power(start, n - 2)
        slope = sign * (n * lower * start - level)
        root = slope * slope + (sign * need) * (2 * n * (n - 1) * lower)
        slope = slope + xp.sqrt(xp.where(root > 0, root, 0.0))
        guess = start + 2 * need / xp.where(slope > 0, slope, xp.inf)
        guess = xp.minimum(xp.maximum(guess, start), stop)
        if n == 2:
            return guess
        base = sign * ((lower * start - level) * start) + need  # of the equation sign (t^n - level t) = base
        for _ in range(STEPS):
            lower = power(guess, n - 2)
            off = sign * (lower * guess - level) * guess - base
            slope = sign * (n * lower * guess - level)
            root = slope * slope - off * sign * (2 * n * (n - 1) * lower)
            slope = slope + xp.sqrt(
                xp.where(root > 0, root, 0.0)
            )  # the second order makes it converge beside the bend too
            moved = guess - 2 * off / xp.where(slope > 0, slope, xp.inf)
            moved = xp.minimum(xp.maximum(moved, start), stop)
            settled = isinstance(guess, np.ndarray) and np.abs(moved - guess).max(initial=0.0) < SETTLED
            guess = moved
            if settled:
                break
        return guess


def build(goal: Array, draft: Array, n: int) -> tuple[Array, SwapSelector, Array]:
    """Marginal (..., V), selector and cut (..., V) for iid drafts; goal is weight * target."""
    found = levels(goal, draft, n)
    selector = SwapSelector(found.ratio, found.ordered, found.edges, found.lifts, found.drops, n)
    selector = as_pytree(selector, arrays=("ratio", "ordered", "edges", "lifts", "drops"))
    return draft * found.ratio, selector, found.cut
