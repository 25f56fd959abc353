"""Policy iteration over round starts: Dinkelbach's iteration where there is one, Howard's where there are more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from specmath.exact.explorer import Number
from specmath.stopping.chain import Row, gain_and_bias
from specmath.stopping.compiled import Compiled, pushed
from specmath.stopping.costs import Costs
from specmath.stopping.induction import BONUS, Layer, Problem, beyond, followed, induct
from specmath.stopping.policies.optimal import Planned

MOST_ITERATIONS = 100


@dataclass(frozen=True)
class Options:
    """Of `solve`; ``given``: whether the horizon is part of the problem."""

    horizon: int
    lag: int
    tolerance: float
    budget: int
    given: bool


def inverse(number: Number) -> Number:
    """1 / number, exact for rationals."""
    return 1 / number if isinstance(number, float) else Fraction(1) / number


def best_plan(
    process: Compiled, members: Sequence[int], own: set[int], ahead: list[float], costs: Costs, options: Options
) -> Planned:
    """Policy iteration in one closed class of round starts; ``own`` are the states that its texts can be in."""
    graph = process.graph()
    firsts = {state for key in graph for _, state in process.roots(key)} & own
    roots = [(state, 1) for state in sorted(firsts)]
    rate = inverse(costs.target)
    bias: dict[int, Number] = dict.fromkeys(graph, 0)
    iteration = 0
    while True:
        iteration += 1
        if iteration > MOST_ITERATIONS:
            raise ValueError(
                f"process: policy iteration does not settle within {MOST_ITERATIONS} steps; can "
                "a policy keep round starts apart, or is a number near rounding?"
            )
        bounds = _bounds(process, ahead, bias, options.lag)
        price = rate * costs.token
        problem = Problem(process, price, bias, options.horizon, options.lag, options.budget, bounds)
        layers = induct(problem, roots)
        gap = max(_value(problem, layers, process.roots(key), rate, costs) - bias[key] for key in members)
        if gap <= (options.tolerance if isinstance(gap, float) else 0):
            break
        rows = {key: mixed(process, key, dict.fromkeys(own, (problem, layers))) for key in members}
        rate, found = gain_and_bias(rows, members, {key: costs.round(rows[key].drafted) for key in members})
        bias = {**bias, **found}
    late = 0.0 if options.given else _late(process, problem, layers, members)
    slack = max(0.0, float(gap)) / float(costs.target)
    return Planned(problem, layers, rate, slack, late / float(costs.target), iteration)


def _value(problem: Problem, layers: list[Layer], roots: Sequence, rate: Number, costs: Costs) -> Number:
    """What a round brings in tokens, the rate's price of its time taken off."""
    found = BONUS - rate * costs.target
    for weight, state in roots:
        node = layers[0][state, 1]
        found += weight * (node.worth - problem.price * node.drafts)
    return found


def _bounds(process: Compiled, ahead: list[float], bias: dict[int, Number], lag: int) -> list[list[float]]:
    heads = [float(one) for one in bias.values()]
    spread = max(heads) - min(heads)
    found = [ahead]
    for _ in range(lag):
        found.append(pushed(process, found[-1]))
    return [[one + spread for one in row] for row in found]


def mixed(process: Compiled, key: int, plan_of: Mapping[int, tuple[Problem, Sequence[Layer]]]) -> Row:
    """The row of a round start, averaged over the states it begins in."""
    parts = [(weight, followed(*plan_of[state], root=state)) for weight, state in process.roots(key)]
    after: dict[int, Number] = {}
    for weight, row in parts:
        for place, share in row.after.items():
            after[place] = after.get(place, 0) + weight * share
    return Row(
        tokens=sum(weight * row.tokens for weight, row in parts),
        drafted=sum(weight * row.drafted for weight, row in parts),
        accepted=sum(weight * row.accepted for weight, row in parts),
        capped=sum(weight * row.capped for weight, row in parts),
        after=after,
    )


def _late(process: Compiled, problem: Problem, layers: list[Layer], members: Sequence[int]) -> float:
    """Upper bound of the tokens that a round could still gain beyond the horizon."""
    if len(layers) <= problem.horizon:
        return 0.0  # the plan ended by itself: stopping was shown best at every point that it reaches
    last = layers[problem.horizon]
    if all(problem.settled(s, node.survival, min(problem.horizon, problem.lag)) for (s, _), node in last.items()):
        return 0.0
    values = beyond(process, max(problem.horizon - problem.lag, 0), problem.ahead[0])
    return max(sum(float(w) * values[state] for w, state in process.roots(key)) for key in members)
