"""Small rational processes, and one that is written by hand."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction as F

from hypothesis import strategies as st

from specmath.stopping import Constant, Costs, Markov, Observable, Position, Tables, Token, TwoRegime

COSTS = Costs(draft=F(1, 5))
OBSERVABLE = Observable((F(1, 5), F(1)), (F(3, 10), F(7, 10)))
MARKOV = Markov((F(19, 20), F(3, 10)), ((F(9, 10), F(1, 10)), (F(3, 10), F(7, 10))), (F(3, 4), F(1, 4)))
RENEWAL = Markov(MARKOV.acceptances, MARKOV.transition, MARKOV.beginning, renewal=True)
POSITION = Position((F(1, 2), F(9, 10), F(4, 5)))
REGIMES = TwoRegime(F(2, 5), F(9, 10), F(1, 10))
TABLES = Tables(
    {(0,): [F(1, 2), F(1, 2)], (1,): [F(1, 4), F(3, 4)]},
    {(0,): [F(3, 4), F(1, 4)], (1,): [F(1, 5), F(4, 5)]},
    beginning=(0,),
)
TINY = {
    "constant": Constant(F(4, 5)),
    "observable": OBSERVABLE,
    "markov": MARKOV,
    "renewal": RENEWAL,
    "position": POSITION,
    "regimes": REGIMES,
}


@dataclass(frozen=True)
class Branch:
    """A token that is right with probability ``right``, everything after it certain for ``run`` tokens; else nothing.

    After the branch token one knows which. A user's own process: nothing in the library knows it.
    """

    right: F
    run: int

    def start(self) -> tuple:
        return ((1, "branch"),)

    def tokens(self, state: object) -> tuple[Token, ...]:
        if state == "branch":
            return (Token(self.right, 1, 0), Token(1 - self.right, 0, self.run))
        place = int(state)  # type: ignore[call-overload]
        return (Token(1, int(place < self.run), min(place + 1, self.run)),)

    def bonus(self, state: object) -> None:
        return None


def shares(size: int) -> st.SearchStrategy[tuple[F, ...]]:
    weights = st.lists(st.integers(1, 5), min_size=size, max_size=size)
    return weights.map(lambda found: tuple(F(one, sum(found)) for one in found))


UNIT = st.integers(0, 10).map(lambda tenths: F(tenths, 10))
PRICES = st.builds(Costs, draft=st.integers(1, 12).map(lambda n: F(n, 10)), slot=st.sampled_from([F(0), F(1, 20)]))


@st.composite
def observables(draw: st.DrawFn) -> Observable:
    size = draw(st.integers(1, 2))
    return Observable(tuple(draw(UNIT) for _ in range(size)), draw(shares(size)))


@st.composite
def chains(draw: st.DrawFn) -> Markov:
    rows = tuple(draw(shares(2)) for _ in range(2))
    return Markov((draw(UNIT), draw(UNIT)), rows, draw(shares(2)), renewal=draw(st.booleans()))


PROCESSES = st.one_of(observables(), chains(), st.lists(UNIT, min_size=1, max_size=3).map(lambda a: Position(tuple(a))))
