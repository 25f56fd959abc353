"""Acceptance that depends on the place in the round, and what a policy that sees nothing makes of any process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specmath.arrays import check_count
from specmath.exact.explorer import Number
from specmath.stopping.process import Law, Process, State, Token, check_probabilities, check_probability


@dataclass(frozen=True)
class Position:
    """The k-th token of a round is kept with ``acceptances[k - 1]``, given that those before it were.

    Attributes
    ----------
    acceptances : by place in the round (K,), in [0, 1].
    tail : acceptance behind the last of them; None: the last one goes on; 0: nothing behind it is ever kept.

    Raises ValueError for values outside [0, 1].

    >>> [Position((0.9, 0.6)).tokens(k)[0].acceptance for k in range(3)]
    [0.9, 0.6, 0.6]
    """

    acceptances: Sequence[Number]
    tail: Number | None = None

    def __post_init__(self) -> None:
        check_probabilities("acceptances", self.acceptances)
        if self.tail is not None:
            check_probability("tail", self.tail)

    def start(self) -> Law:
        return ((1, 0),)

    def tokens(self, state: State) -> tuple[Token, ...]:
        place, size = int(state), len(self.acceptances)  # type: ignore[call-overload]
        last = self.acceptances[-1] if self.tail is None else self.tail
        return (Token(1, self.acceptances[place] if place < size else last, min(place + 1, size)),)

    def bonus(self, state: State) -> None:
        return None


@dataclass(frozen=True)
class TwoRegime:
    """Copied (n-gram) drafts: a round's match is genuine or an accident, and no one sees which.

    A genuine match is continued with acceptance ``hit``, an accidental one with ``miss``. The policy sees the place
    only. P(the first k are kept) = genuine hit^k + (1 - genuine) miss^k, so the k-th conditional acceptance rises from
    the mixture towards ``hit``: who has survived is likely genuine.

    Attributes
    ----------
    genuine : share of rounds whose match is genuine, in [0, 1].
    hit, miss : acceptance of a token in either regime, in [0, 1], miss <= hit.
    length : places that are told apart; behind them the acceptance is ``hit``, an upper bound.

    Raises ValueError for values outside [0, 1] and ``miss > hit``.

    >>> [round(TwoRegime(0.25, 0.9, 0.1).tokens(k)[0].acceptance, 3) for k in range(3)]
    [0.3, 0.7, 0.871]
    """

    genuine: Number
    hit: Number
    miss: Number = 0
    length: int = 64

    def __post_init__(self) -> None:
        for name in ("genuine", "hit", "miss"):
            check_probability(name, getattr(self, name))
        check_count("length", self.length)
        if self.miss > self.hit:
            raise ValueError(f"miss is {self.miss!r}, above hit {self.hit!r}; allowed are values up to hit")

    def survival(self, length: int) -> Number:
        """P(the first ``length`` drafted tokens of a round are kept)."""
        return self.genuine * self.hit**length + (1 - self.genuine) * self.miss**length

    def start(self) -> Law:
        return ((1, 0),)

    def tokens(self, state: State) -> tuple[Token, ...]:
        place: int = state  # type: ignore[assignment]
        if place >= self.length:
            return (Token(1, self.hit, self.length),)
        so_far = self.survival(place)
        return (Token(1, self.survival(place + 1) / so_far if so_far else 0, place + 1),)

    def bonus(self, state: State) -> None:
        return None


def blind(process: Process, length: int) -> Position:
    """The process as a policy sees it that observes nothing within a round: conditional acceptance by place.

    The k-th is E[S_k] / E[S_(k-1)] with S_k the survival after k tokens of a round that begins as a text does, for k
    up to ``length``; nothing is kept behind. The best that can be done blind is a fixed length.

    Raises ValueError for a length below 1.

    >>> from fractions import Fraction as F
    >>> from specmath.stopping import RandomEffect
    >>> blind(RandomEffect((F(1, 2), F(1)), (F(1, 2), F(1, 2))), 3).acceptances
    (Fraction(3, 4), Fraction(5, 6), Fraction(9, 10))
    """
    mass: dict[State, Number] = {}
    for weight, state in process.start():
        mass[state] = mass.get(state, 0) + weight
    found, before = [], sum(mass.values())
    for _ in range(check_count("length", length)):
        moved: dict[State, Number] = {}
        for state, weight in mass.items():
            for token in process.tokens(state):
                moved[token.state] = moved.get(token.state, 0) + weight * token.probability * token.acceptance
        after = sum(moved.values())
        found.append(min(after / before, 1) if before else 0)
        mass, before = moved, after
    return Position(tuple(found), tail=0)
