"""The transport problem of n drafts in the open: token masses, set masses, a plan, and the potentials that certify it.

Primal: S(x, omega) >= 0 for x in omega, sum_omega S <= p(x), sum_x S <= P(omega); maximise sum S.
Dual: y, z >= 0 with y(x) + z(omega) >= 1 for x in omega; minimise sum p y + sum P z.
A feasible pair with equal values proves both optimal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from specmath.exact import Number

DraftedSet = frozenset[int]


def drafted_sets(law: Mapping[tuple[int, ...], Number]) -> dict[DraftedSet, Number]:
    """Law of the set of drafted tokens, from the law of the ordered tuple.

    >>> drafted_sets({(0, 1): 1, (1, 0): 2, (1, 1): 3})
    {frozenset({0, 1}): 3, frozenset({1}): 3}
    """
    masses: dict[DraftedSet, Number] = {}
    for tokens, probability in law.items():
        drafted = frozenset(tokens)
        masses[drafted] = masses.get(drafted, 0) + probability
    return masses


def problem(
    target: Sequence[Number], law: Mapping[tuple[int, ...], Number]
) -> tuple[list[Number], dict[DraftedSet, Number]]:
    """Token masses and set masses, checked: non-negative, and no drafted token outside the target's vocabulary."""
    sets = drafted_sets(law)
    size = len(target)
    outside = [token for drafted in sets for token in drafted if not 0 <= token < size]
    if outside:
        raise ValueError(f"law: token {outside[0]} is drafted; the target has tokens 0 to {size - 1}")
    for name, masses in (("target", target), ("law", law.values())):
        for mass in masses:
            if not 0 <= mass < float("inf"):
                raise ValueError(f"{name}: holds {mass}; allowed are finite numbers >= 0")
    if not sets:
        raise ValueError("law: is empty; allowed is at least one draft tuple")
    return list(target), sets


@dataclass(frozen=True)
class Plan:
    """A primal-dual pair of the transport problem.

    Attributes
    ----------
    flow : S(x, omega) as {(omega, x): mass}; accept x when omega was drafted with probability S / P(omega).
    token_potentials : y, one per token.
    set_potentials : z, one per drafted set.
    target, sets : the problem's data, p and P.
    """

    flow: Mapping[tuple[DraftedSet, int], Number]
    token_potentials: Sequence[Number]
    set_potentials: Mapping[DraftedSet, Number]
    target: Sequence[Number]
    sets: Mapping[DraftedSet, Number]

    @property
    def acceptance(self) -> Number:
        """Primal value, sum of the flow: a lower bound of the optimum when the plan is feasible."""
        return sum(self.flow.values())

    @property
    def bound(self) -> Number:
        """Dual value, sum p y + sum P z: an upper bound of the optimum when the potentials are feasible."""
        tokens = sum(p * y for p, y in zip(self.target, self.token_potentials, strict=True))
        return tokens + sum(mass * self.set_potentials[drafted] for drafted, mass in self.sets.items())

    @property
    def gap(self) -> Number:
        """Upper minus lower bound; zero (over Fractions) proves the plan optimal."""
        return self.bound - self.acceptance

    def infeasibility(self) -> Number:
        """Largest violation of any primal or dual constraint; zero for an exact plan."""
        used: list[Number] = [0] * len(self.target)
        spent: dict[DraftedSet, Number] = dict.fromkeys(self.sets, 0)
        worst: Number = 0
        for (drafted, token), mass in self.flow.items():
            if token not in drafted:
                return 1
            used[token] += mass
            spent[drafted] += mass
            worst = max(worst, -mass)
        worst = max(worst, *(u - p for u, p in zip(used, self.target, strict=True)))
        worst = max(worst, *(spent[drafted] - mass for drafted, mass in self.sets.items()))
        worst = max(worst, *(-y for y in self.token_potentials), *(-z for z in self.set_potentials.values()))
        for drafted, z in self.set_potentials.items():
            worst = max(worst, *(1 - self.token_potentials[token] - z for token in drafted))
        return worst

    def slackness(self) -> Number:
        """Largest violation of complementary slackness: y (p - used), z (P - spent) and S (y + z - 1) all vanish."""
        used: list[Number] = [0] * len(self.target)
        spent: dict[DraftedSet, Number] = dict.fromkeys(self.sets, 0)
        worst: Number = 0
        for (drafted, token), mass in self.flow.items():
            used[token] += mass
            spent[drafted] += mass
            worst = max(worst, abs(mass * (self.token_potentials[token] + self.set_potentials[drafted] - 1)))
        for token, p in enumerate(self.target):
            worst = max(worst, abs(self.token_potentials[token] * (p - used[token])))
        for drafted, mass in self.sets.items():
            worst = max(worst, abs(self.set_potentials[drafted] * (mass - spent[drafted])))
        return worst
