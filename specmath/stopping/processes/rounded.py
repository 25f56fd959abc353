"""A process with fewer distinct survivals, below or above the true one: what a solver can enumerate."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from specmath.exact.explorer import Number
from specmath.stopping.process import Law, Process, State, Token


@dataclass(frozen=True)
class Rounded:
    """Every acceptance rounded to a power of ``ratio``, so that survivals are powers of it as well.

    Rounded down, a renewal process has a best rate that is at most the true one, rounded up at least: a policy of one
    process can be played in the other, where each survival is on the other side. The two rates differ by the price
    of the rounding. For texts that go on from round to round they are near the true one, but no bounds.

    Attributes
    ----------
    process : the true process.
    ratio : a number above 0 and below 1; nearer to 1 is finer. 0 and 1 are kept as acceptances.
    up : whether acceptances are rounded up.

    Raises ValueError for a ratio outside (0, 1).

    >>> from specmath.stopping import Constant
    >>> [round(Rounded(Constant(0.8), 0.9, up=up).tokens("text")[0].acceptance, 4) for up in (False, True)]
    [0.729, 0.81]
    """

    process: Process
    ratio: float
    up: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.ratio, bool | str) or not 0 < self.ratio < 1:
            raise ValueError(f"ratio is {self.ratio!r}; allowed are numbers above 0 and below 1")

    def _power(self, acceptance: Number) -> Number:
        if acceptance in (0, 1):
            return acceptance
        steps = math.log(acceptance) / math.log(self.ratio)
        # A power of the ratio stays itself, whatever rounding does to its logarithm.
        whole = math.floor(steps + 1e-9) if self.up else math.ceil(steps - 1e-9)
        return float(self.ratio) ** whole

    def start(self) -> Law:
        return self.process.start()

    def tokens(self, state: State) -> tuple[Token, ...]:
        return tuple(replace(one, acceptance=self._power(one.acceptance)) for one in self.process.tokens(state))

    def bonus(self, state: State) -> Law | None:
        return self.process.bonus(state)
