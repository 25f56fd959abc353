"""Acceptance that follows a latent state of the text: easy and hard stretches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from specmath.exact.explorer import Number
from specmath.stopping.process import Law, State, Token, check_list, check_probabilities, law_of


@dataclass(frozen=True)
class Markov:
    """A Markov chain of m states; a token at a place in state z is kept with ``acceptances[z]``.

    The state belongs to the place in the text, so it moves on with every emitted token, kept, corrected or bonus.
    With ``renewal`` every round begins anew from ``beginning`` instead.

    Attributes
    ----------
    acceptances : acceptance in each state (m,), in [0, 1].
    transition : law of the next place's state (m, m), row z from state z.
    beginning : law of the state in which a text begins (m,).
    renewal : whether every round begins from ``beginning``.

    Raises ValueError for acceptances outside [0, 1], rows that are no laws, and sizes that differ.

    >>> Markov((0.98, 0.5), ((0.9, 0.1), (0.3, 0.7)), (0.75, 0.25)).tokens(1)[0]
    Token(probability=0.3, acceptance=0.5, state=0, rejected=((1, 0),), confidence=None, entropy=None)
    """

    acceptances: Sequence[Number]
    transition: Sequence[Sequence[Number]]
    beginning: Sequence[Number]
    renewal: bool = False

    def __post_init__(self) -> None:
        size = len(check_probabilities("acceptances", self.acceptances))
        rows = [check_list(f"transition[{z}]", row) for z, row in enumerate(check_list("transition", self.transition))]
        if len(check_list("beginning", self.beginning)) != size or [len(row) for row in rows] != [size] * size:
            raise ValueError(f"transition and beginning do not fit {size} acceptances; allowed are (m, m) and (m,)")
        for place, row in enumerate([self.beginning, *self.transition]):
            law_of("beginning" if place == 0 else f"transition[{place - 1}]", row, range(size))

    @cached_property
    def _rows(self) -> tuple[Law, ...]:
        return tuple(law_of("transition", row, range(len(row))) for row in self.transition)

    def start(self) -> Law:
        return law_of("beginning", self.beginning, range(len(self.beginning)))

    def tokens(self, state: State) -> tuple[Token, ...]:
        kept = self.acceptances[state]  # type: ignore[index]
        return tuple(
            Token(weight, kept, behind, None if self.renewal else ((1, behind),))
            for weight, behind in self._rows[state]  # type: ignore[index]
        )

    def bonus(self, state: State) -> Law | None:
        return None if self.renewal else self._rows[state]  # type: ignore[index]
