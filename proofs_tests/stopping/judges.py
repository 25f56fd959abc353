"""The judge of the solver: every deterministic policy of a tiny round, every token and every coin of it, counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from specmath.stopping import Costs, Process

FRESH = "as a text begins"


@dataclass(frozen=True)
class Counted:
    """Averages of a round: emitted tokens, cost, and the law of the state that the next round begins in."""

    tokens: Fraction
    cost: Fraction
    after: dict


def plans(process: Process, state: object, costs: Costs, horizon: int, lag: int) -> Iterator[dict]:
    """All deterministic plans of a round that begins in a state: what was seen and drafted -> draft one more?"""

    def below(state: object, seen: tuple, drafted: int) -> Iterator[dict]:
        yield {(seen, drafted): False}
        if drafted == horizon:
            return
        if drafted < lag:
            for rest in below(state, seen, drafted + 1):
                yield {(seen, drafted): True, **rest}
            return
        children = [below(t.state, (*seen, t), drafted + 1) for t in process.tokens(state)]
        if children:
            for rests in product(*map(list, children)):
                yield {(seen, drafted): True, **{key: go for rest in rests for key, go in rest.items()}}

    yield from below(state, (), 0)


def counted(process: Process, state: object, plan: dict, costs: Costs, lag: int) -> Counted:
    """A plan's round: every sequence of drafted tokens, and every place at which the first is rejected."""
    tokens, cost, after = Fraction(0), Fraction(0), {}

    def begin(law: tuple | None, mass: Fraction) -> None:
        for weight, place in ((1, FRESH),) if law is None else law:
            after[place] = after.get(place, 0) + mass * weight

    def draft(path: tuple, here: object, mass: Fraction) -> None:
        nonlocal tokens, cost
        row = process.tokens(here)
        if row and plan[path[: max(0, len(path) - lag)], len(path)]:
            for token in row:
                draft((*path, token), token.state, mass * token.probability)
            return
        cost += mass * (costs.target + len(path) * (costs.draft + costs.slot))
        alive = mass
        for place, token in enumerate(path):
            rejected = alive * (1 - token.acceptance)
            tokens += rejected * (place + 1)  # those before it, and the correction
            if rejected:
                begin(token.rejected, rejected)
            alive *= token.acceptance
        tokens += alive * (len(path) + 1)
        if alive:
            begin(process.bonus(here), alive)

    draft((), state, Fraction(1))
    return Counted(tokens, cost, after)


def best_rate(process: Process, costs: Costs, horizon: int, lag: int = 0) -> Fraction:
    """The most tokens per cost of all deterministic plans: renewal processes, or two states that rounds begin in."""
    starts = [state for _, state in process.start()]
    found = {s: [counted(process, s, p, costs, lag) for p in plans(process, s, costs, horizon, lag)] for s in starts}
    best = Fraction(0)
    for chosen in product(*found.values()):
        if set(chosen[0].after) == {FRESH}:
            weights = [weight for weight, _ in process.start()]
        elif len(starts) == 1:
            weights = [Fraction(1)]
        else:  # two states: how often each is left decides how often it is visited
            leave = [chosen[i].after.get(starts[1 - i], Fraction(0)) for i in range(2)]
            weights = [leave[1] / sum(leave), leave[0] / sum(leave)]
        tokens = sum(w * one.tokens for w, one in zip(weights, chosen, strict=True))
        best = max(best, tokens / sum(w * one.cost for w, one in zip(weights, chosen, strict=True)))
    return best
