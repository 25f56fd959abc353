"""What each relaxation is, written to be read: what an algorithm emits, a linear program, a search of the simplex."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from specmath import exact
from specmath.exact import Chance, Number
from specmath.transport.plan import Plan, drafted_sets

Weights = Sequence[Fraction]


def lenience(chance: Chance, target: Weights, draft: Weights, factor: Fraction) -> int:
    """The lenient algorithm itself: draft x, accept with p / (factor q), else draw from what p has above q."""
    token = chance.draw(draft)
    if chance.flip(min(Fraction(1), target[token] / (factor * draft[token]))):
        return token
    return chance.draw([max(p - q, Fraction(0)) for p, q in zip(target, draft, strict=True)])


def cascade_opt(chance: Chance, target: Weights, draft: Weights, alpha: Fraction) -> int:
    """Take the draft's token unless the target is surer by more than alpha times the distance."""
    distance = sum(max(q - p, Fraction(0)) for p, q in zip(target, draft, strict=True))
    return chance.draw(target if max(draft) < max(target) - alpha * distance else draft)


def cascade_token(chance: Chance, target: Weights, draft: Weights, alpha: Fraction) -> int:
    """Take the draft's token if the target has it near its top, else draw from the target."""
    token = chance.draw(draft)
    return token if target[token] >= (1 - alpha) * max(target) else chance.draw(target)


def typical(chance: Chance, target: Weights, draft: Weights, epsilon: Fraction, delta: Fraction) -> int:
    """Draw from the target as long as the token is not typical (here: conditioned on being typical)."""
    entropy = -math.fsum(float(p) * math.log(p) for p in target if p)
    typical_ones = [p if p > min(float(epsilon), float(delta) * math.exp(-entropy)) else Fraction(0) for p in target]
    return chance.draw(typical_ones)


ALGORITHMS: dict[str, Callable[..., int]] = {
    "lenience": lenience,
    "cascade_opt": cascade_opt,
    "cascade_token": cascade_token,
    "typical": typical,
}


def emitted(name: str, target: Weights, draft: Weights, parameters: Mapping[str, Any]) -> list[Number]:
    """Exact law of what the algorithm of that relaxation emits."""
    law = exact.law(lambda chance: ALGORITHMS[name](chance, target, draft, *parameters.values()))
    return [law.get(token, Fraction(0)) for token in range(len(target))]


def overlap(law: Sequence[Any], draft: Sequence[Any]) -> Any:
    """Acceptance of one draft, sum min(law, q)."""
    return sum(min(a, b) for a, b in zip(law, draft, strict=True))


def divergence(target: Sequence[Any], law: Sequence[Any]) -> float:
    """KL(target || law) in nats, term by term."""
    if any(p > 0 and x <= 0 for p, x in zip(target, law, strict=True)):
        return math.inf
    return math.fsum(float(p) * math.log(p / x) for p, x in zip(target, law, strict=True) if p > 0)


def simplex(size: int, parts: int) -> Iterator[tuple[Fraction, ...]]:
    """All laws on ``size`` tokens whose probabilities are multiples of 1 / parts."""

    def split(left: int, places: int) -> Iterator[tuple[int, ...]]:
        if places == 1:
            yield (left,)
            return
        for first in range(left + 1):
            for rest in split(left - first, places - 1):
                yield (first, *rest)

    for counts in split(parts, size):
        yield tuple(Fraction(count, parts) for count in counts)


def best_on_grid(target: Weights, draft: Weights, budget: float, parts: int) -> float:
    """The largest overlap with the draft of a grid law within the budget of KL(target || law)."""
    return max(
        (float(overlap(law, draft)) for law in simplex(len(target), parts) if divergence(target, law) <= budget),
        default=0.0,
    )


def front(target: Weights, law: Mapping[tuple[int, ...], Number], budget: float) -> float:
    """max over target' with TV(target', target) <= budget of the optimal acceptance against target', as one LP.

    Unknowns: target' (V), d >= |target' - target| (V), and the flow S(x, omega) of the transport problem.
    """
    from scipy.optimize import linprog

    size, sets = len(target), drafted_sets(law)
    pairs = [(omega, x) for omega in sets for x in omega]
    width = 2 * size + len(pairs)
    rows: list[np.ndarray] = []
    limits: list[float] = []

    def at_most(limit: float, entries: Mapping[int, float]) -> None:
        row = np.zeros(width)
        for place, value in entries.items():
            row[place] = value
        rows.append(row)
        limits.append(limit)

    for x in range(size):
        at_most(float(target[x]), {x: 1.0, size + x: -1.0})
        at_most(-float(target[x]), {x: -1.0, size + x: -1.0})
        at_most(0.0, {x: -1.0, **{2 * size + i: 1.0 for i, (_, token) in enumerate(pairs) if token == x}})
    for omega, mass in sets.items():
        at_most(float(mass), {2 * size + i: 1.0 for i, (name, _) in enumerate(pairs) if name == omega})
    at_most(2 * budget, {size + x: 1.0 for x in range(size)})
    total = np.concatenate([np.ones(size), np.zeros(width - size)])
    cost = np.concatenate([np.zeros(2 * size), -np.ones(len(pairs))])
    solved = linprog(cost, A_ub=np.array(rows), b_ub=limits, A_eq=total[None], b_eq=[1.0], method="highs")
    assert solved.success, solved.message
    return -float(solved.fun)


def selected(plan: Plan) -> list[Number]:
    """Law of the selected draft under a plan: accepted mass, and for the rest of each set its smallest token."""
    found: list[Number] = [0] * len(plan.target)
    left = dict(plan.sets)
    for (omega, token), mass in plan.flow.items():
        found[token] += mass
        left[omega] -= mass
    for omega, mass in left.items():
        found[min(omega)] += mass
    return found
