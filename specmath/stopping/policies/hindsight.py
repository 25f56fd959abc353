"""What could be done if one knew what will be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from specmath.stopping.costs import Costs
from specmath.stopping.policies.policy import PolicyKind, check_length
from specmath.stopping.view import View


@dataclass(frozen=True)
class Hindsight:
    """Drafts exactly the tokens that will be kept, up to ``draft_length``; nothing if a draft costs more than a pass.

    No decoder can do this: evaluations and simulations only, which look the outcome up. ValueError for a length that
    is no whole number >= 0.
    """

    draft_length: int | None = None
    sequential = False

    def __post_init__(self) -> None:
        if self.draft_length is not None:
            check_length("draft_length", self.draft_length)

    def most(self, costs: Costs, horizon: int) -> int:
        """Most tokens that it drafts in a round."""
        if costs.token > costs.target:
            return 0
        return horizon if self.draft_length is None else min(horizon, self.draft_length)

    def decide(self, state: View) -> bool:
        raise ValueError("policy 'hindsight' knows the future; allowed are evaluate() and estimate()")

    def observe(self, drafted: int, accepted: int) -> None:
        pass

    def memory(self) -> None:
        return None

    def restore(self, memory: Any) -> Hindsight:
        return self


KIND = PolicyKind(
    "hindsight",
    "exactly what will be kept: an upper bound",
    "huang2024specdecpp, Section 4 (oracle)",
    Hindsight,
    "future",
)
