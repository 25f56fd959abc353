"""Always as many tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from specmath.stopping.policies.policy import PolicyKind, check_length
from specmath.stopping.view import View


@dataclass(frozen=True)
class Fixed:
    """Drafts ``draft_length`` tokens; ValueError unless that is a whole number >= 0.

    >>> [Fixed(2).decide(View(drafted)) for drafted in range(4)]
    [True, True, False, False]
    """

    draft_length: int
    sequential = False

    def __post_init__(self) -> None:
        check_length("draft_length", self.draft_length)

    def decide(self, state: View) -> bool:
        return state.drafted < self.draft_length

    def observe(self, drafted: int, accepted: int) -> None:
        pass

    def memory(self) -> None:
        return None

    def restore(self, memory: Any) -> Fixed:
        return self


KIND = PolicyKind("fixed", "always the same draft length", "leviathan2023fast, Algorithm 1", Fixed, "nothing")
