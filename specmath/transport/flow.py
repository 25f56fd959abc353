"""Exact optimum of a small draft law: maximum flow over Fractions, with the minimum cut as its certificate."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise

from specmath.exact import Number
from specmath.transport.plan import DraftedSet, Plan, problem

Node = tuple[str, object]


def max_flow(target: Sequence[Number], law: Mapping[tuple[int, ...], Number]) -> Plan:
    """Optimal plan for any enumerable draft law by shortest augmenting paths; exact when the numbers are rational.

    ``target`` is p over V tokens, ``law`` maps ordered draft tuples to probabilities (`DraftLaw.law`). The network is
    source -p(x)-> x -> omega (x in omega) -P(omega)-> sink; its value is alpha*, and the tokens the source cannot
    reach any more form the cut H. Meant for a few hundred drafted sets. Raises ValueError when a tuple holds a token
    outside the target's vocabulary, and for masses that are negative, NaN or infinite.

    Source: hu2025optimal (the transport problem); edmonds1972flow (the algorithm).

    >>> from fractions import Fraction
    >>> half = Fraction(1, 2)
    >>> plan = max_flow([half, half], {(0, 0): Fraction(1, 4), (0, 1): half, (1, 1): Fraction(1, 4)})
    >>> plan.acceptance, plan.gap, plan.infeasibility()
    (Fraction(1, 1), Fraction(0, 1), 0)
    """
    target, sets = problem(target, law)
    size = len(target)
    holders: dict[int, list[DraftedSet]] = {token: [s for s in sets if token in s] for token in range(size)}
    supply = dict(enumerate(target))
    demand = dict(sets)
    flow: dict[tuple[DraftedSet, int], Number] = {}

    def reach() -> tuple[dict[Node, Node | None], DraftedSet | None]:
        """Breadth-first search of the residual network; the predecessors, and a set that can still take mass."""
        before: dict[Node, Node | None] = {("token", token): None for token in supply if supply[token] > 0}
        queue: deque[Node] = deque(before)
        while queue:
            kind, name = node = queue.popleft()
            if kind == "token":
                assert isinstance(name, int)
                following: list[Node] = [("set", drafted) for drafted in holders[name]]
            else:
                assert isinstance(name, frozenset)
                if demand[name] > 0:
                    return before, name
                following = [("token", token) for token in name if flow.get((name, token), 0) > 0]
            for step in following:
                if step not in before:
                    before[step] = node
                    queue.append(step)
        return before, None

    while True:
        before, end = reach()
        if end is None:
            break
        path: list[Node] = [("set", end)]
        while (previous := before[path[-1]]) is not None:
            path.append(previous)
        path.reverse()
        room = [supply[path[0][1]], demand[end]]  # type: ignore[index]
        hops = list(pairwise(path))
        room += [flow[a[1], b[1]] for a, b in hops if a[0] == "set"]  # type: ignore[index]
        mass = min(room)
        supply[path[0][1]] -= mass  # type: ignore[index]
        demand[end] -= mass
        for a, b in hops:
            key = (b[1], a[1]) if a[0] == "token" else (a[1], b[1])
            flow[key] = flow.get(key, 0) + (mass if a[0] == "token" else -mass)  # type: ignore[index]
    reached = {name for kind, name in before if kind == "token"}
    tokens = [0 if token in reached else 1 for token in range(size)]
    potentials = {drafted: 1 if any(token in reached for token in drafted) else 0 for drafted in sets}
    return Plan({key: mass for key, mass in flow.items() if mass > 0}, tokens, potentials, target, sets)
