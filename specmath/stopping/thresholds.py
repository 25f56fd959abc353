"""Thresholds in closed form: the renewal case, and SpecDec++'s theorem as the sufficient condition that it is."""

from __future__ import annotations

from dataclasses import dataclass

from specmath.exact.explorer import Number
from specmath.stopping.costs import Costs
from specmath.stopping.process import check_probability
from specmath.stopping.solve import Solution


def renewal_threshold(mean: Number, costs: Costs, speedup: Number) -> Number:
    """h* = 1 - c X / a: with independent acceptances that are seen at once, stop iff P(rejected) >= h*.

    ``mean`` a is the average acceptance, c the cost of a drafted token over that of a pass, X the best speed-up. Below
    0 (drafting never pays) it is 0. Raises ValueError for a mean outside (0, 1] and a speed-up below 1.

    >>> from specmath.stopping import Observable, solve
    >>> process, costs = Observable((0.2, 0.6, 1.0), (0.15, 0.15, 0.7)), Costs(draft=0.2)
    >>> best = solve(process, costs)
    >>> round(renewal_threshold(process.mean, costs, best.speedup), 6)
    0.444715
    >>> round(1 - best.policy.boundary(0, "text"), 6)
    0.444715
    """
    if not check_probability("mean", mean) > 0:
        raise ValueError(f"mean is {mean!r}; allowed are probabilities above 0")
    if isinstance(speedup, bool | str) or not speedup >= 1:
        raise ValueError(f"speedup is {speedup!r}; allowed are numbers >= 1: plain decoding has 1")
    return max(1 - costs.token * speedup / (costs.target * mean), 0)


@dataclass(frozen=True)
class SufficientCondition:
    """Where stopping is best for certain: once P(a drafted token is rejected) >= ``threshold``.

    Attributes
    ----------
    threshold : (c2 + delta) / (c1 + c2 + delta) with c1 = ``costs.token`` and c2 = ``costs.target - costs.token``.
    delta : the theorem's constant, ahead / rate - target cost; negative where the speed-up exceeds ``ahead``.
    ahead : most tokens that drafting on can bring per unit of survival, over all states.
    """

    threshold: float
    delta: float
    ahead: float


def sufficient_condition(solution: Solution) -> SufficientCondition:
    """SpecDec++'s threshold, with a constant that makes it true: wherever it says stop, stopping is best.

    Whoever drafts on pays for one token at least, rate x cost, and gains at most survival x ahead. The converse fails:
    below the threshold stopping may be best as well, and no single threshold on the survival need be optimal.

    Source: huang2024specdecpp, Theorem 3.1; proof in docs/theory/stopping.md.

    >>> from specmath.stopping import Constant, Costs, solve
    >>> found = sufficient_condition(solve(Constant(0.8), Costs(draft=0.2)))
    >>> round(found.threshold, 4), round(found.ahead, 4)
    (0.9066, 4.0)
    """
    plans, costs = solution.policy.plans, solution.policy.costs
    worst = None
    for plan in plans:
        ahead = max(max(row) for row in plan.problem.ahead)
        threshold = max(0.0, 1 - float(plan.problem.price) / ahead) if ahead else 0.0
        if worst is None or threshold > worst.threshold:
            worst = SufficientCondition(threshold, ahead / float(plan.rate) - float(costs.target), ahead)
    assert worst is not None
    return worst
