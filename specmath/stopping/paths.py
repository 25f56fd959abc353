"""All paths of one round under a policy, equal points joined."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from specmath.exact.explorer import BudgetError, Number
from specmath.stopping.compiled import FRESH, Compiled, Move, Starts, key_of
from specmath.stopping.costs import Costs
from specmath.stopping.policies.hindsight import Hindsight
from specmath.stopping.view import Policy, View

Fate = tuple[int, int, int]
"""(drafted, accepted, start of the next round); the first two are 0 where nobody asks for them."""


@dataclass
class Round:
    """Averages of a round, and the law of its fate."""

    drafted: Number = 0
    accepted: Number = 0
    capped: Number = 0
    fates: dict[Fate, Number] = field(default_factory=dict)

    def end(self, drafted: int, accepted: int, law: Starts, mass: Number) -> None:
        """Book ``mass`` to a fate; the next round begins by the law."""
        for weight, start in ((1, FRESH),) if law is None else law:
            fate = drafted, accepted, start
            self.fates[fate] = self.fates.get(fate, 0) + mass * weight


@dataclass
class Point:
    """Paths that look alike to the policy and go on alike.

    ``lost`` has the mass of those of them that were rejected already, by accepted tokens and by the law of the next
    start; it stays empty where only averages are asked for.
    """

    state: int
    survival: Number
    unseen: tuple[Move, ...]
    last: tuple[Number | None, float | None]
    weight: Number = 0
    lost: dict[tuple[int, Starts], Number] = field(default_factory=dict)


def walked(
    policy: Policy, process: Compiled, root: int, *, horizon: int, lag: int, budget: int, detailed: bool
) -> Round:
    """A round that begins in a state; ``detailed``: fates with the numbers of drafted and accepted tokens."""
    found = Round()
    layer: dict[Any, Point] = {None: Point(root, 1, (), (None, None), 1)}
    for drafted in range(horizon + 1):
        below: dict[Any, Point] = {}
        for point in layer.values():
            moves = process.moves[point.unseen[-1].state if point.unseen else point.state]
            view = View(drafted, point.survival, len(point.unseen), process.states[point.state], *point.last)
            if drafted == horizon or not moves or not policy.decide(view):
                _stop(process, point, drafted, found, detailed)
                found.capped += point.weight if drafted == horizon else 0
                continue
            found.drafted += point.weight
            for move in moves:
                _go(point, move, drafted, lag, below, found, detailed)
        if len(below) > budget:
            raise BudgetError(f"process: more than {budget} points of a round; allowed is estimate(), or fewer values")
        layer = below
    return found


def _go(
    point: Point, move: Move, drafted: int, lag: int, below: dict[Any, Point], found: Round, detailed: bool
) -> None:
    unseen = (*point.unseen, move)
    state, survival, last = point.state, point.survival, (move.confidence, move.entropy)
    weight = point.weight * move.probability
    lost = {fate: mass * move.probability for fate, mass in point.lost.items()}
    if len(unseen) > lag:
        seen, unseen = unseen[0], unseen[1:]
        if survival:
            kept = weight * survival * seen.acceptance
            found.accepted += kept
            if seen.acceptance < 1:
                gone = weight * survival - kept
                if detailed:
                    lost[drafted - lag, seen.rejected] = lost.get((drafted - lag, seen.rejected), 0) + gone
                else:
                    found.end(0, 0, seen.rejected, gone)
        state, survival = seen.state, survival * seen.acceptance
    key = state, key_of(survival), unseen, last
    known = below.setdefault(key, Point(state, survival, unseen, last))
    known.weight += weight
    for fate, mass in lost.items():
        known.lost[fate] = known.lost.get(fate, 0) + mass


def _stop(process: Compiled, point: Point, drafted: int, found: Round, detailed: bool) -> None:
    def end(accepted: int, law: Starts, mass: Number) -> None:
        found.end(drafted if detailed else 0, accepted if detailed else 0, law, mass)

    for (accepted, law), mass in point.lost.items():
        end(accepted, law, mass)
    alive = point.weight * point.survival
    for place, move in enumerate(point.unseen, start=drafted - len(point.unseen)):
        if move.acceptance < 1 and alive:
            end(place, move.rejected, alive * (1 - move.acceptance))
        alive = alive * move.acceptance
        found.accepted += alive
    if alive:
        end(drafted, process.bonus[point.unseen[-1].state if point.unseen else point.state], alive)


def foreseen(policy: Hindsight, process: Compiled, root: int, *, costs: Costs, horizon: int) -> Round:
    """The same for hindsight: drafted is what is kept."""
    most, found = policy.most(costs, horizon), Round()
    layer: dict[int, Number] = {root: 1}
    for place in range(most + 1):
        below: dict[int, Number] = {}
        for state, weight in layer.items():
            if place == most or not process.moves[state]:
                found.end(0, 0, process.bonus[state], weight)
                found.capped += weight if place == horizon else 0
                continue
            for move in process.moves[state]:
                kept = weight * move.probability * move.acceptance
                if move.acceptance < 1:
                    found.end(0, 0, move.rejected, weight * move.probability - kept)
                if kept:
                    below[move.state] = below.get(move.state, 0) + kept
        layer = below
        found.drafted += sum(layer.values())
    found.accepted = found.drafted
    return found
