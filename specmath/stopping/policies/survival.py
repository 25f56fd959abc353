"""A threshold on the probability that something was rejected already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from specmath.exact.explorer import Number
from specmath.stopping.policies.policy import PolicyKind, check_unit
from specmath.stopping.view import View, needed


@dataclass(frozen=True)
class Survival:
    """Stops once P(a drafted token is rejected) = 1 - survival >= ``threshold``, a number from 0 to 1.

    A threshold of 0 never drafts, one of 1 stops only when a rejection is certain. The rule of SpecDec++, whose head
    estimates the survival.

    >>> [Survival(0.5).decide(View(3, survival)) for survival in (0.6, 0.5)]
    [True, False]
    """

    threshold: Number
    sequential = False

    def __post_init__(self) -> None:
        check_unit("threshold", self.threshold)

    def decide(self, state: View) -> bool:
        return 1 - needed("survival", state.survival, "survival") < self.threshold

    def observe(self, drafted: int, accepted: int) -> None:
        pass

    def memory(self) -> None:
        return None

    def restore(self, memory: Any) -> Survival:
        return self


KIND = PolicyKind(
    "survival", "until a rejection so far is likely", "huang2024specdecpp, Section 3 and Theorem 3.1", Survival
)
