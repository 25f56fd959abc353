"""Exact optimal selection of one of n drafts: its marginal by water levels, and a plan that has this marginal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from specmath import draft_laws
from specmath.exact import Number
from specmath.transport.flow import max_flow
from specmath.transport.plan import DraftedSet, drafted_sets


@dataclass(frozen=True)
class Selection:
    """Which draft to select, given the set of drafted tokens.

    Attributes
    ----------
    marginal : r, the law of the selected token; sums to 1.
    plan : {drafted set: weights over the vocabulary}, P(select x and omega drafted), zero outside the set.
    """

    marginal: tuple[Number, ...]
    plan: Mapping[DraftedSet, tuple[Number, ...]]


def set_masses(draft: Sequence[Number], n: int, drafts: str = "iid") -> dict[DraftedSet, Number]:
    """P(the set of drafted tokens is omega), for all omega of positive probability.

    For i.i.d. drafts q(omega)^n minus the masses of the smaller sets inside omega; else by enumeration.

    >>> set_masses([0.5, 0.5], 2)
    {frozenset({0}): 0.25, frozenset({1}): 0.25, frozenset({0, 1}): 0.5}
    """
    if drafts != "iid":
        return drafted_sets(draft_laws.get(drafts).law(draft, n))
    possible = [token for token, q in enumerate(draft) if q > 0]
    within = {frozenset(s): sum(draft[x] for x in s) ** n for k in range(n + 1) for s in combinations(possible, k)}
    found: dict[DraftedSet, Number] = {}
    for drafted in within:  # smaller sets come first
        inside = (frozenset(s) for k in range(1, len(drafted)) for s in combinations(sorted(drafted), k))
        mass = within[drafted] - sum(found[s] for s in inside) if drafted else 0
        if mass > 0:
            found[drafted] = mass
    return found


def water_levels(target: Sequence[Number], draft: Sequence[Number], n: int) -> tuple[Number, ...]:
    """Optimal marginal of the selected one of n i.i.d. drafts: max(p, lo q) on the cut H, min(p, hi q) outside.

    H is the prefix of the tokens in rising order of p/q with the largest q(H)^n - p(H); lo and hi are such that
    r(H) = q(H)^n and r sums to 1. Then r >= p on H, r <= p outside, and sum min(p, r) is the optimum. ``target`` may
    sum to less than 1: the rest is on a symbol that is never drafted. Exact when the numbers are rational.

    >>> from fractions import Fraction as F
    >>> water_levels([F(1, 2), F(1, 2)], [F(1, 5), F(4, 5)], 2)
    (Fraction(9, 25), Fraction(16, 25))
    """
    order = sorted((x for x, q in enumerate(draft) if q > 0), key=lambda x: target[x] / draft[x])
    p, q = [target[x] for x in order], [draft[x] for x in order]
    total = sum(q)
    gains = [(sum(q[:m]) / total) ** n - sum(p[:m]) for m in range(len(order) + 1)]
    cut = gains.index(max(gains))
    mass = (sum(q[:cut]) / total) ** n
    below = _filled(p[:cut], q[:cut], mass)
    above = _capped(p[cut:], q[cut:], 1 - mass)
    found: list[Number] = [0] * len(target)
    for token, r in zip(order, [*below, *above], strict=True):
        found[token] = r
    return tuple(found)


def _filled(p: Sequence[Number], q: Sequence[Number], mass: Number) -> list[Number]:
    """max(p, level q), with the level at which it sums to ``mass`` >= sum p; p/q rises."""
    level: Number = 0
    for m in range(1, len(p) + 1):  # the first m tokens are lifted
        level = (mass - sum(p[m:])) / sum(q[:m])
        if m == len(p) or level * q[m] <= p[m]:
            break
    return [max(a, level * b) for a, b in zip(p, q, strict=True)]


def _capped(p: Sequence[Number], q: Sequence[Number], mass: Number) -> list[Number]:
    """min(p, level q), with the level at which it sums to ``mass`` <= sum p; p/q rises."""
    level: Number = 0
    for m in reversed(range(len(p))):  # the tokens from m on are capped
        level = (mass - sum(p[:m])) / sum(q[m:])
        if m == 0 or level * q[m - 1] >= p[m - 1]:
            break
    return [min(a, level * b) for a, b in zip(p, q, strict=True)]


@lru_cache(maxsize=4096)  # an enumeration asks for the same node on every path
def selection(
    target: tuple[Number, ...], draft: tuple[Number, ...], n: int, drafts: str = "iid", weight: Number = 1
) -> Selection:
    """Optimal selection of one of n drafts for the target ``weight * target``, the rest on a symbol never drafted.

    Exact over Fractions, for tiny vocabularies: the marginal by `water_levels` for i.i.d. drafts and from the flow
    itself for the other draft laws; the plan is a maximum flow of the marginal into the drafted sets.

    >>> from fractions import Fraction as F
    >>> selection((F(1, 2), F(1, 2)), (F(1, 5), F(4, 5)), 2).plan[frozenset({0, 1})]
    (Fraction(8, 25), 0)
    """
    goal = tuple(weight * p for p in target)
    sets = set_masses(draft, n, drafts)
    law = {tuple(sorted(drafted)): mass for drafted, mass in sets.items()}
    if drafts == "iid":
        marginal = water_levels(goal, draft, n)
        flow = _spent(max_flow(marginal, law).flow, sets)  # exactly spent already; floats leave a rounding error
    else:
        flow = _spent(max_flow(goal, law).flow, sets)
        marginal = tuple(sum(mass for (_, x), mass in flow.items() if x == token) for token in range(len(target)))
    plan = {drafted: tuple(flow.get((drafted, x), 0) for x in range(len(target))) for drafted in sets}
    return Selection(marginal, plan)


def _spent(
    flow: Mapping[tuple[DraftedSet, int], Number], sets: Mapping[DraftedSet, Number]
) -> dict[tuple[DraftedSet, int], Number]:
    """The flow, and what each set has left on its first token: this mass is rejected whichever token it selects."""
    found = dict(flow)
    for drafted, mass in sets.items():
        key = (drafted, min(drafted))
        left = mass - sum(m for (s, _), m in flow.items() if s == drafted)
        found[key] = found.get(key, 0) + max(left, 0)
    return found
