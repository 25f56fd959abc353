"""What the checks of logs return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from specmath.oracle.logs.excess import Excess, TwoSided
from specmath.oracle.logs.followed import Followed

Kind = Literal["impossible", "biased", "inconsistent"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong in a log.

    Attributes
    ----------
    check : name of the check.
    kind : "impossible" (no correct decoder does this), "biased" (statistics, with a stated error) or "inconsistent"
        (two numbers of the log contradict each other).
    message : what was seen, and what is possible.
    place : number of the round, position or token; None where the whole log is meant.
    """

    check: str
    kind: Kind
    message: str
    place: int | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.message} [{self.check}]"


@dataclass(frozen=True)
class LogReport:
    """The findings of a log, and the statistics behind them.

    Attributes
    ----------
    findings : in the order of the log.
    rounds : how many were read.
    excess : acceptance of the first drafted position against the optimum, where laws were logged.
    statistics : name -> tokens against their laws ("draft_law", "target_law"), accept tests counted ("accept_test").
    """

    findings: tuple[Finding, ...]
    rounds: int
    excess: Excess | None = None
    statistics: tuple[tuple[str, Followed | TwoSided], ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was found; that is no proof of losslessness."""
        return not self.findings

    def __str__(self) -> str:
        head = f"{self.rounds} rounds, " + ("nothing found" if self.passed else f"{len(self.findings)} findings")
        return "\n".join([head, *(f"  {finding}" for finding in self.findings)])
