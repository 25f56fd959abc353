"""The best stopping policy, exactly: policy iteration over round starts around backward induction within a round.

With one round start this is Dinkelbach's iteration for the best ratio of tokens to cost. Rational processes and costs
give rational answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from specmath.arrays import check_count
from specmath.exact.explorer import Number
from specmath.stopping.chain import Row, absorbed, closed_classes
from specmath.stopping.compiled import FRESH, PATIENCE, Compiled, compiled, future, pushed
from specmath.stopping.costs import Costs, check_costs
from specmath.stopping.iteration import Options, best_plan, mixed
from specmath.stopping.policies.optimal import Optimal, Planned
from specmath.stopping.policies.policy import check_length
from specmath.stopping.process import Process

BUDGET = 500_000


@dataclass(frozen=True)
class Solution:
    """The best stopping policy of a process.

    Attributes
    ----------
    rate : emitted tokens per unit of cost in the long run, exact up to ``gap`` for rationals, to rounding for floats.
    speedup : rate x cost of a target pass: against plain decoding.
    policy : a policy that attains it; its ``boundary`` is the exact threshold.
    horizon : most tokens that the solver let a round draft.
    gap : the best rate within the horizon is at most rate + gap; 0 for rationals.
    truncation : the best rate without any horizon is at most rate + gap + truncation. 0 where nothing beyond the
        horizon can matter, and 0 by definition where the horizon was given: then it is part of the problem.
    iterations : policy iterations until nothing improved, the largest number of any class of round starts.
    """

    rate: Number
    speedup: Number
    policy: Optimal = field(repr=False)
    horizon: int
    gap: float
    truncation: float
    iterations: int


def solve(
    process: Process,
    costs: Costs,
    *,
    horizon: int | None = None,
    lag: int = 0,
    tolerance: float = 1e-10,
    budget: int = BUDGET,
) -> Solution:
    """The stopping policy with the most emitted tokens per cost, over all policies that see survival and state.

    A round that stops after sigma drafted tokens emits 1 + sum_(k <= sigma) S_k tokens on average and costs
    ``costs.round(sigma)``; S_k is the survival. Before each token a policy knows the acceptances and states of all
    drafted tokens but the last ``lag``. Drafting nothing is allowed.

    Parameters
    ----------
    process : where acceptance comes from.
    costs : of a round.
    horizon : most drafted tokens of a round; None: the shortest at which what lies beyond it is worth at most
        ``tolerance`` in rate.
    lag : number of drafted tokens whose acceptance is not known yet when the next one is decided about.
    tolerance : see ``horizon``, and for floats the gap at which iteration ends.
    budget : most points of a round that are planned at once.

    Raises
    ------
    ValueError
        For input out of range; for drafts that cost nothing, or acceptance that does not decay, without a horizon: the
        best draft length is unbounded; for a process in which the policy decides whether texts ever leave some round
        starts (docs/theory/stopping.md); for a lag where drafting can end by itself.
    BudgetError
        If a round has more points than the budget.

    Source: huang2024specdecpp, Section 3 (the decision process); dinkelbach1967nonlinear; howard1960dynamic.

    >>> from fractions import Fraction as F
    >>> from specmath.stopping import Constant
    >>> best = solve(Constant(F(4, 5)), Costs(draft=F(1, 5)))
    >>> best.rate, float(best.rate)  # four drafts: (1 - 0.8^5) / (1 - 0.8) / (1 + 4 * 0.2)
    (Fraction(2101, 1125), 1.8675555555555556)
    """
    check_costs(costs)
    horizon, lag = None if horizon is None else check_length("horizon", horizon), check_length("lag", lag)
    budget = check_count("budget", budget)
    if isinstance(tolerance, str | bool) or not 0 < tolerance < 1:
        raise ValueError(f"tolerance is {tolerance!r}; allowed are numbers between 0 and 1")
    if not costs.token > 0 and horizon is None:
        raise ValueError("costs: a drafted token costs 0, so the longer the better without bound; give a horizon")
    numbered = compiled(process)
    dead = [state for state, row in zip(numbered.states, numbered.moves, strict=True) if not row]
    if lag and dead:
        raise ValueError(
            f"lag is {lag}; allowed is 0 for a process in which drafting ends by itself, as in state {dead[0]!r}: that "
            "it went on would tell what the lag hides"
        )
    given = horizon is not None
    ahead = future(numbered, horizon)
    if horizon is None:
        horizon = _long_enough(numbered, ahead, tolerance * float(costs.target))
    graph = numbered.graph()
    options = Options(horizon, lag, tolerance, budget, given)
    plans: list[Planned] = []
    owner: dict[int, int] = {}
    classes = closed_classes(graph)
    reached = {key: numbered.below(key) for key in graph}
    away = numbered.avoiding(graph, [key for members in classes for key in members])
    if away:
        named = [numbered.states[key] for key in sorted(away) if key != FRESH]
        raise ValueError(
            f"process: it is up to the policy whether texts ever leave {named[0] if named else 'their beginning'!r}, "
            "which the solver cannot weigh; allowed are processes whose round starts are left under every policy or "
            "come back"
        )
    for number, members in enumerate(classes):
        own = set().union(*(reached[key] for key in members))
        if len(classes) == 1:
            own = set(range(len(numbered.states)))
        for state in own:
            if state in owner:
                raise ValueError(
                    f"process: state {numbered.states[state]!r} belongs to texts of different kinds; allowed are "
                    "processes in which the state tells the kind"
                )
            owner[state] = number
        plan = best_plan(numbered, members, own, ahead, costs, options)
        plans.append(plan)
    lost = set(range(len(numbered.states))) - set(owner)
    if lost:
        raise ValueError(
            f"process: state {numbered.states[min(lost)]!r} may lead to texts of different kinds; allowed are "
            "processes in which the state tells the kind"
        )
    rows = {key: _row(numbered, key, plans, owner) for key in graph}
    shares = absorbed(rows, FRESH, classes)
    rate = 1 / sum(share / plan.rate for share, plan in zip(shares, plans, strict=True))
    return Solution(
        rate=rate,
        speedup=rate * costs.target,
        policy=Optimal(numbered, tuple(plans), owner, costs),
        horizon=horizon,
        gap=max(plan.gap for plan in plans),
        truncation=max(plan.truncation for plan in plans),
        iterations=max(plan.iterations for plan in plans),
    )


def _row(process: Compiled, key: int, plans: list[Planned], owner: dict[int, int]) -> Row:
    used = {state: plans[owner[state]] for _, state in process.roots(key)}
    return mixed(process, key, {state: (plan.problem, plan.layers) for state, plan in used.items()})


def _long_enough(process: Compiled, ahead: list[float], tolerance: float) -> int:
    """Smallest horizon beyond which a text's rounds can gain at most ``tolerance`` tokens."""
    values, length = list(ahead), 0
    while max(values) > tolerance and length < PATIENCE:
        values, length = pushed(process, values), length + 1
    return max(length, 1)
