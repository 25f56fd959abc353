"""An acceptance of its own for every text: a random effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specmath.arrays import check_count
from specmath.exact.explorer import Number
from specmath.stopping.process import Law, State, Token, check_list, check_probabilities, law_of


@dataclass(frozen=True)
class RandomEffect:
    """Each text draws one acceptance from a finite law and keeps it for all its tokens.

    Texts are taken to be long and of equal length, so the time per token is the average over the texts. A policy that
    looks at ``latent`` knows its text's acceptance.

    Attributes
    ----------
    acceptances : the values (m,), in [0, 1].
    probabilities : their law over texts (m,).

    Raises ValueError for values outside [0, 1] and probabilities that are no law.

    >>> RandomEffect((0.5, 0.9), (0.5, 0.5)).start()
    ((0.5, 0), (0.5, 1))
    """

    acceptances: Sequence[Number]
    probabilities: Sequence[Number]

    def __post_init__(self) -> None:
        size = len(check_probabilities("acceptances", self.acceptances))
        if len(check_list("probabilities", self.probabilities)) != size:
            raise ValueError(f"probabilities has {len(self.probabilities)} entries; allowed are {size}")
        law_of("probabilities", self.probabilities, range(size))

    @classmethod
    def beta(cls, a: float, b: float, *, points: int = 16) -> RandomEffect:
        """A Beta(a, b) law, as the Gauss quadrature with ``points`` values.

        All moments up to ``2 points - 1`` are those of the Beta law, hence P(the first k drafted tokens of a text are
        kept) = E[A^k] for all such k. Raises ValueError unless a and b are positive and finite.

        >>> effect = RandomEffect.beta(4, 1, points=3)
        >>> round(sum(p * a**2 for p, a in zip(effect.probabilities, effect.acceptances)), 12)  # 4/5 * 5/6
        0.666666666667
        """
        from scipy.special import roots_jacobi

        if any(isinstance(x, str | bool | None) or not 0 < x < float("inf") for x in (a, b)):
            raise ValueError(f"a is {a!r} and b is {b!r}; allowed are finite numbers above 0")
        nodes, weights = roots_jacobi(check_count("points", points), b - 1, a - 1)  # weight (1-x)^(b-1) (1+x)^(a-1)
        weights = weights / weights.sum()
        return cls(tuple(((1 + nodes) / 2).tolist()), tuple((weights / weights.sum()).tolist()))

    def start(self) -> Law:
        return law_of("probabilities", self.probabilities, range(len(self.acceptances)))

    def tokens(self, state: State) -> tuple[Token, ...]:
        return (Token(1, self.acceptances[state], state, ((1, state),)),)  # type: ignore[index]

    def bonus(self, state: State) -> Law:
        return ((1, state),)
