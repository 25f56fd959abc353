"""Couplings of draft laws with fixed tokens (greedy, hub, top_k): closed forms, optimal by inspection."""

from __future__ import annotations

from dataclasses import dataclass

from specmath.arrays import Array, as_pytree, namespace
from specmath.draft_laws.greedy import rest
from specmath.draws import ones_hot, positive_part, ranked, ratio
from specmath.transport.search import count, pick


@dataclass(frozen=True)
class FixedSelector:
    """Selects the sampled draft x with probability min(1, w p(x) / law(x)), else one of the fixed tokens.

    Attributes
    ----------
    keep : (..., V) probability that the sampled draft is selected.
    shares : (..., k) cumulated law of the selected fixed token, in the order in which they are drafted; k may be 0.
    top : (...) the likeliest token of the draft law.
    n, drafts : number of drafts and the name of their law.
    """

    keep: Array
    shares: Array
    top: Array
    n: int
    drafts: str

    def select(self, tokens: Array, uniforms: Array) -> Array:
        """Index (...) of the selected draft: the last coin decides, the first position picks a fixed token."""
        xp = namespace(self.keep)
        zero = tokens[..., 0] * 0
        fixed = zero
        if self.shares.shape[-1] > 1:
            spot = uniforms[..., :1] * self.shares[..., -1:]
            fixed = xp.astype(count(self.shares, spot, strictly=False)[..., 0], tokens.dtype)
            last = self.shares.shape[-1] - 1
            fixed = xp.where(fixed > last, zero + last, fixed)
        if self.drafts == "top_k":
            return fixed
        sampled = zero + (self.n - 1)
        if self.drafts == "hub":
            sampled = xp.where(tokens[..., 0] == xp.astype(self.top, tokens.dtype), zero + 1, zero)
            fixed = 1 - sampled
        kept = (
            uniforms[..., 2 * self.n - 1]
            < pick(self.keep, xp.take_along_axis(tokens, sampled[..., None], axis=-1))[..., 0]
        )
        return xp.where(kept, sampled, fixed)


def build(goal: Array, draft: Array, n: int, drafts: str) -> tuple[Array, FixedSelector, Array, Array]:
    """Marginal (..., V), selector, optimum (...) and cut (..., V); goal is weight * target.

    A are the fixed tokens, ``last`` the law of the sampled draft (n = 1 without replacement of anything: the draft law;
    top_k has none). r = min(goal, last) off A, and what is left over is given to A in proportion to the goal, at least
    the goal itself.
    """
    xp = namespace(goal)
    size = goal.shape[-1]
    zero = xp.zeros_like(goal)
    if drafts == "top_k":
        top = ranked(draft)[..., :n]
        fixed = xp.zeros_like(goal, dtype=xp.bool)
        for j in range(n):
            fixed = fixed | ones_hot(top[..., j], size, xp)
        last = zero
    else:
        top, fixed, last = rest(draft, n)
    kept = xp.where(goal < last, goal, last) if n > 1 or drafts == "top_k" else last
    kept = xp.where(fixed, zero, kept)
    wanted = xp.where(fixed, goal, zero)
    total = xp.sum(wanted, axis=-1, keepdims=True)
    # 1 - sum min(goal, last), without cancellation; top_k selects a fixed token for certain
    mass = xp.sum(positive_part(last - kept), axis=-1, keepdims=True)
    mass = xp.ones_like(mass) if drafts == "top_k" else mass
    held = xp.sum(xp.astype(fixed, goal.dtype), axis=-1, keepdims=True)
    even = xp.astype(fixed, goal.dtype) / xp.where(held > 0, held, xp.ones_like(held))
    given = xp.where(total > 0, wanted / xp.where(total > 0, total, xp.ones_like(total)), even)
    marginal = kept + mass * given
    keep = ratio(kept, last)
    likeliest = ranked(draft)[..., 0] if drafts == "hub" else xp.argmax(draft, axis=-1)
    shares = xp.cumulative_sum(pick(given, top), axis=-1) if top.shape[-1] else zero[..., :0]
    cut = fixed | (goal < last) if drafts != "top_k" else fixed
    bound = 1 + xp.sum(xp.where(cut, goal, zero), axis=-1) - xp.sum(xp.where(cut, last, zero), axis=-1)
    if drafts == "top_k":
        bound = total[..., 0]
    selector = FixedSelector(keep, shares, likeliest, n, drafts)
    return marginal, as_pytree(selector, arrays=("keep", "shares", "top")), bound, cut
