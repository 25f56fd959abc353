"""Acceptances that are independent from token to token: one constant, or drawn from a law that the policy sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from specmath.exact.explorer import Number
from specmath.stopping.process import Law, State, Token, check_list, check_probabilities, check_probability, law_of


@dataclass(frozen=True)
class Constant:
    """Every drafted token is kept with the same probability (leviathan2023fast, Section 3.1).

    Raises ValueError for an acceptance outside [0, 1].

    >>> Constant(0.8).tokens(None)[0].acceptance
    0.8
    """

    acceptance: Number

    def __post_init__(self) -> None:
        check_probability("acceptance", self.acceptance)

    def start(self) -> Law:
        return ((1, "text"),)

    def tokens(self, state: State) -> tuple[Token, ...]:
        return (Token(1, self.acceptance, "text"),)

    def bonus(self, state: State) -> None:
        return None


@dataclass(frozen=True)
class Observable:
    """Acceptances drawn independently from a finite law; the policy sees each one as soon as the lag allows.

    Attributes
    ----------
    acceptances : the values (m,), in [0, 1].
    probabilities : their law (m,).
    confidences, entropies : draft probability and entropy in nats that come with each value (m,); None: not known.

    Raises ValueError for values outside [0, 1], probabilities that are no law, and lengths that differ.

    >>> Observable((0.2, 0.6, 1.0), (0.15, 0.15, 0.7)).mean
    0.82
    """

    acceptances: Sequence[Number]
    probabilities: Sequence[Number]
    confidences: Sequence[Number] | None = None
    entropies: Sequence[float] | None = None

    def __post_init__(self) -> None:
        size = len(check_probabilities("acceptances", self.acceptances))
        for name in ("probabilities", "confidences", "entropies"):
            values = getattr(self, name)
            if values is not None and len(check_list(name, values)) != size:
                raise ValueError(f"{name} has {len(values)} entries; allowed are {size}, one for each acceptance")
        law_of("probabilities", self.probabilities, range(size))
        if self.confidences is not None:
            check_probabilities("confidences", self.confidences)

    @property
    def mean(self) -> Number:
        """Average acceptance of a token."""
        return sum(p * a for p, a in zip(self.probabilities, self.acceptances, strict=True))

    @cached_property
    def _tokens(self) -> tuple[Token, ...]:
        size = len(self.acceptances)
        sure = [None] * size if self.confidences is None else self.confidences
        spread = [None] * size if self.entropies is None else self.entropies
        rows = zip(self.probabilities, self.acceptances, sure, spread, strict=True)
        return tuple(Token(p, a, "text", None, q, h) for p, a, q, h in rows if p)

    def start(self) -> Law:
        return ((1, "text"),)

    def tokens(self, state: State) -> tuple[Token, ...]:
        return self._tokens

    def bonus(self, state: State) -> None:
        return None
