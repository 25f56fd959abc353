"""A lower bound of the optimum from a plan's own marginal: reachability is checked, then sum min(p, r) is taken."""

from __future__ import annotations

from specmath.arrays import Array, as_pytree, check_law, namespace
from specmath.transport.bounds import Bound, additions, blocked_sum, rounding
from specmath.transport.value import minimum, optimum


def lower_bound(target: Array, draft: Array, n: int, marginal: Array, drafts: str = "iid") -> Bound:
    """Certified lower bound of the optimum from the law r of the selected draft: sum min(p, r), if r is reachable.

    r is the marginal of some selection if and only if r(S) >= Q(S) for every set S. The largest violation is
    shortfall = 1 - alpha*(r), the same minimisation with r for the target; the flow behind alpha*(r) is a plan whose
    marginal a <= r misses just that much, so that sum min(p, r) - shortfall - rounding can be reached in any case.

    Parameters
    ----------
    target, draft : laws as for `optimum`.
    marginal : law (..., V), for example `Coupling.marginal`.

    Raises
    ------
    ValueError
        As `optimum`, and for a marginal that is no law over the target's vocabulary.

    >>> from specmath.transport import lower_bound
    >>> found = lower_bound([0.5, 0.5], [0.25, 0.75], 2, [0.4375, 0.5625])
    >>> round(float(found.value), 12), round(float(found.shortfall), 12)
    (0.9375, 0.0)
    """
    checked = check_law("marginal", marginal).values
    first = optimum(target, draft, n, drafts)
    if first.target.shape[-1] != checked.shape[-1]:
        raise ValueError(f"marginal has {checked.shape[-1]} tokens and target {first.target.shape[-1]}")
    return certified(first.target, first.draft, n, checked, drafts)


def certified(goal: Array, draft: Array, n: int, marginal: Array, drafts: str) -> Bound:
    """`lower_bound` of checked float64 arrays; the goal (..., V) may sum to less than one (a prefix weight)."""
    xp = namespace(goal, marginal)
    shared = blocked_sum(xp.where(goal < marginal, goal, marginal))
    reached, _, open_ = minimum(marginal, draft, n, drafts)
    shortfall = 1 - reached + open_
    shortfall = xp.where(shortfall > 0, shortfall, xp.zeros_like(shortfall))
    # The scan behind alpha*(r) adds the tokens one by one.
    error = rounding(marginal, n, marginal.shape[-1], drafts) + 3 * rounding(marginal, 0, additions(marginal), "iid")
    flat = xp.zeros_like(shared + shortfall)
    found = Bound(shared - shortfall - error, flat + error, flat + shortfall)
    return as_pytree(found, arrays=("value", "rounding", "shortfall"))
