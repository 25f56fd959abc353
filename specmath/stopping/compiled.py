"""A process as numbered states, checked once; and how much acceptance can still come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from specmath.exact.check import check_numbers
from specmath.exact.explorer import BudgetError, Number
from specmath.stopping.process import Process, State, Token, check_probability, check_process

FRESH = -1
"""Number of the round start that stands for "as a text begins"."""

Starts = tuple[tuple[Number, int], ...] | None
"""Law of the numbered state in which the next round begins; None: `FRESH`."""

MOST_STATES = 100_000
PATIENCE = 20_000
"""Steps after which an acceptance that has not halved is taken not to decay."""
SHARP = 3_000
"""Steps up to which a sharp bound is waited for."""


class Move(NamedTuple):
    """A `Token` with numbered states."""

    probability: Number
    acceptance: Number
    state: int
    rejected: Starts
    confidence: Number | None
    entropy: float | None


@dataclass(frozen=True)
class Compiled:
    """States (s,), their moves, the bonus law of each, and the law of the first state of a text."""

    states: tuple[State, ...]
    start: tuple[tuple[Number, int], ...]
    moves: tuple[tuple[Move, ...], ...]
    bonus: tuple[Starts, ...]

    @cached_property
    def number(self) -> dict[State, int]:
        """Number of each state."""
        return {state: place for place, state in enumerate(self.states)}

    def roots(self, key: int) -> tuple[tuple[Number, int], ...]:
        """Law of the state that a round of that start begins in."""
        return self.start if key == FRESH else ((1, key),)

    def below(self, key: int) -> set[int]:
        """All states that drafting can reach in a round of that start."""
        found = {state for _, state in self.roots(key)}
        todo = deque(found)
        while todo:
            for move in self.moves[todo.popleft()]:
                if move.state not in found:
                    found.add(move.state)
                    todo.append(move.state)
        return found

    def graph(self) -> dict[int, set[int]]:
        """Round starts that can come up, and which can follow each under some policy."""
        graph: dict[int, set[int]] = {}
        todo = [FRESH]
        while todo:
            key = todo.pop()
            if key in graph:
                continue
            after: set[int] = set()
            for state in self.below(key):
                laws = [self.bonus[state], *(move.rejected for move in self.moves[state] if move.acceptance < 1)]
                for law in laws:
                    after |= {FRESH} if law is None else {place for _, place in law}
            graph[key] = after
            todo += after
        return graph

    def avoiding(self, graph: Mapping[int, set[int]], members: Iterable[int]) -> set[int]:
        """Round starts from which some policy keeps away from ``members`` for ever.

        The largest set of other starts such that from each of them a round can be drafted and stopped so that the
        next one begins in the set whatever happens. Without a lag, which only takes policies away.
        """
        found = set(graph) - set(members)

        def inside(law: Starts) -> bool:
            return FRESH in found if law is None else all(place in found for _, place in law)

        while found:
            held = {state for state in range(len(self.states)) if inside(self.bonus[state])}
            grows = True
            while grows:
                more = {
                    state
                    for state in range(len(self.states))
                    if state not in held
                    and self.moves[state]
                    and all(m.acceptance == 1 or inside(m.rejected) for m in self.moves[state])
                    and all(m.acceptance == 0 or m.state in held for m in self.moves[state])
                }
                held |= more
                grows = bool(more)
            kept = {key for key in found if all(state in held for _, state in self.roots(key))}
            if kept == found:
                break
            found = kept
        return found


def compiled(process: Process, *, most: int = MOST_STATES) -> Compiled:
    """The process with numbered states; ValueError for what is no process, BudgetError beyond ``most`` states."""
    check_process(process)
    number: dict[State, int] = {}
    states: list[State] = []

    def numbered(name: str, law: object) -> tuple[tuple[Number, int], ...]:
        pairs = tuple(law)  # type: ignore[arg-type, var-annotated]
        check_numbers(f"process: {name}", [weight for weight, _ in pairs])
        for _, state in pairs:
            if state not in number:
                number[state] = len(states)
                states.append(state)
                if len(states) > most:
                    raise BudgetError(f"process: more than {most} states; hand in one with fewer, or simulate it")
        return tuple((weight, number[state]) for weight, state in pairs if weight)

    start = numbered("start()", process.start())
    moves: list[tuple[Move, ...]] = []
    bonus: list[Starts] = []
    while len(moves) < len(states):
        state = states[len(moves)]
        tokens: Sequence[Token] = process.tokens(state)
        if tokens:
            numbered(f"tokens({state!r})", [(token.probability, token.state) for token in tokens])
        row = []
        for token in tokens:
            kept = check_probability(f"process: acceptance in {state!r}", token.acceptance)
            law = None if token.rejected is None or kept == 1 else numbered(f"rejected in {state!r}", token.rejected)
            if token.probability:
                row.append(Move(token.probability, kept, number[token.state], law, token.confidence, token.entropy))
        moves.append(tuple(row))
        law = process.bonus(state)
        bonus.append(None if law is None else numbered(f"bonus({state!r})", law))
    return Compiled(tuple(states), start, tuple(moves), tuple(bonus))


def pushed(process: Compiled, values: Sequence[float]) -> list[float]:
    """E[acceptance of the next token x value behind it], for each state, in float."""
    return [sum(float(m.probability * m.acceptance) * values[m.state] for m in row) for row in process.moves]


def future(process: Compiled, horizon: int | None) -> list[float]:
    """Upper bound, by state, of the tokens that drafting on can still have kept: E[a_1 + a_1 a_2 + ...].

    Over at most ``horizon`` tokens, or for None over all: the tokens beyond some number of them are bounded by a
    geometric series, once the survival over so many is 1e-12 or, after 3,000, one half. ValueError if that does not
    happen within 20,000: the best draft length is unbounded or very long.
    """
    ahead, total = [1.0] * len(process.states), [0.0] * len(process.states)
    for step in range(PATIENCE if horizon is None else horizon):
        before, ahead = ahead, pushed(process, ahead)
        total = [a + b for a, b in zip(total, ahead, strict=True)]
        if horizon is None and max(ahead) < (1e-12 if step < SHARP else 0.5):
            rest = (1 + max(total)) / (1 - max(ahead))
            return [(t + a * rest) * (1 + 1e-9) for t, a in zip(total, ahead, strict=True)]
        if not any(ahead) or (horizon is None and ahead == before):
            break
    if horizon is None and any(ahead):
        worst = process.states[max(range(len(ahead)), key=ahead.__getitem__)]
        raise ValueError(
            f"process: tokens drafted from state {worst!r} are kept for ever, or for more than {PATIENCE} tokens, so "
            "the best draft length is unbounded or very long; give a horizon"
        )
    return [t * (1 + 1e-9) for t in total]


def key_of(survival: Number) -> Number:
    """What survivals are compared by: exact for rationals, 15 decimals for floats, whose products depend on order."""
    return round(survival, 15) if isinstance(survival, float) else survival
