"""What a policy brings, exactly: every path of a round, and the chain of rounds it makes."""

from __future__ import annotations

import json
from dataclasses import dataclass

from specmath.exact.explorer import BudgetError, Number
from specmath.stopping.chain import Row, absorbed, closed_classes, stationary
from specmath.stopping.compiled import FRESH, Compiled, compiled
from specmath.stopping.costs import Costs, check_costs
from specmath.stopping.paths import Round, foreseen, walked
from specmath.stopping.policies.hindsight import Hindsight
from specmath.stopping.policies.policy import check_length
from specmath.stopping.process import Process
from specmath.stopping.view import Policy, check_policy

HORIZON = 64
BUDGET = 500_000
MOST_STARTS = 2_000


@dataclass(frozen=True)
class Evaluation:
    """What a policy brings in the long run, over texts of equal length.

    Attributes
    ----------
    rate : emitted tokens per unit of cost.
    speedup : rate x cost of a target pass: against plain decoding.
    verification : target passes per emitted token; 1 / block efficiency.
    drafted : drafted tokens per emitted token.
    discarded : drafted and not emitted, per emitted token.
    capped : share of rounds whose drafting the horizon ended.
    interval : interval of ``speedup``; None if exact.
    """

    rate: Number
    speedup: Number
    verification: Number
    drafted: Number
    discarded: Number
    capped: Number
    interval: tuple[float, float] | None = None

    @property
    def block_efficiency(self) -> Number:
        """Emitted tokens per target pass."""
        return 1 / self.verification


def evaluate(
    policy: Policy,
    process: Process,
    costs: Costs,
    *,
    horizon: int = HORIZON,
    lag: int = 0,
    budget: int = BUDGET,
) -> Evaluation:
    """Exact long-run averages of a policy; fractions stay fractions.

    Every path of a round is followed, equal points joined; rounds form a Markov chain over their starts and the
    policy's memory, whose closed classes are averaged per emitted token. A round drafts ``horizon`` tokens at most.
    ``lag`` is the number of drafted tokens whose acceptance the policy does not see yet.

    Raises ValueError for a policy that must be asked in order (`Policy.sequential`) and for negative ``horizon`` or
    ``lag``; BudgetError if a round has more than ``budget`` points, or more than 2,000 starts and memories come up
    (thresholds that drift): `estimate` simulates those.

    >>> from fractions import Fraction as F
    >>> from specmath.stopping import Constant, Fixed
    >>> found = evaluate(Fixed(4), Constant(F(4, 5)), Costs(draft=F(1, 5)))
    >>> found.speedup, found.block_efficiency
    (Fraction(2101, 1125), Fraction(2101, 625))
    """
    check_costs(costs)
    check_policy(policy)
    check_length("horizon", horizon)
    check_length("lag", lag)
    if policy.sequential:
        raise ValueError("policy must be asked in the order of a round; allowed is estimate(), which simulates it")
    numbered = compiled(process)
    first = _noted(policy.restore(None))
    rows: dict[tuple[int, str], Row] = {}
    todo = [(FRESH, first)]
    while todo:
        start = todo.pop()
        if start in rows:
            continue
        if len(rows) >= MOST_STARTS:
            raise BudgetError(f"policy: more than {MOST_STARTS} starts and memories come up; allowed is estimate()")
        here = policy.restore(json.loads(start[1]))
        rows[start] = _row(here, numbered, start[0], costs, horizon, lag, budget)
        todo += list(rows[start].after)
    classes = closed_classes({key: set(row.after) for key, row in rows.items()})
    shares = absorbed(rows, (FRESH, first), classes)
    found: list[Number] = [0, 0, 0, 0]  # passes, drafted, accepted, capped, each per emitted token
    for share, members in zip(shares, classes, strict=True):
        weights = stationary(rows, members)
        pairs = list(zip(weights, (rows[key] for key in members), strict=True))
        tokens = sum(weight * row.tokens for weight, row in pairs)
        sums = (1, *(sum(w * getattr(row, name) for w, row in pairs) for name in ("drafted", "accepted", "capped")))
        found = [one + share * value / tokens for one, value in zip(found, sums, strict=True)]
    passes, drafted, accepted, capped = found
    rate = 1 / (passes * costs.target + drafted * costs.token)
    return Evaluation(rate, rate * costs.target, passes, drafted, drafted - accepted, capped / passes)


def _noted(policy: Policy) -> str:
    return json.dumps(policy.memory(), sort_keys=True)


def _row(policy: Policy, process: Compiled, key: int, costs: Costs, horizon: int, lag: int, budget: int) -> Row:
    """Averages of a round of one start under the policy as it is, and the starts and memories that follow."""
    parts: list[tuple[Number, Round]] = []
    now = policy.memory()
    for weight, root in process.roots(key):
        if isinstance(policy, Hindsight):
            found = foreseen(policy, process, root, costs=costs, horizon=horizon)
        else:
            found = walked(policy, process, root, horizon=horizon, lag=lag, budget=budget, detailed=now is not None)
        parts.append((weight, found))
    after: dict[tuple[int, str], Number] = {}
    memories: dict[tuple[int, int], str] = {}
    for weight, part in parts:
        for (drafted, accepted, start), mass in part.fates.items():
            if (drafted, accepted) not in memories:
                later = policy.restore(now)
                if drafted:
                    later.observe(drafted, accepted)
                memories[drafted, accepted] = _noted(later)
            place = start, memories[drafted, accepted]
            after[place] = after.get(place, 0) + weight * mass
    drafted, accepted, capped = (
        sum(weight * getattr(part, name) for weight, part in parts) for name in ("drafted", "accepted", "capped")
    )
    return Row(1 + accepted, drafted, accepted, capped, after)
