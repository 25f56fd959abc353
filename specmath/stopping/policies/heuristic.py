"""Two more after a round that was kept whole, one less after any other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from specmath.stopping.policies.policy import PolicyKind, check_length
from specmath.stopping.view import View


@dataclass
class Heuristic:
    """The schedule "heuristic" of transformers: draft_length + 2 if all drafted tokens were kept, else max(1, - 1).

    Attributes
    ----------
    draft_length : where it begins, a whole number >= 1.
    at_most : largest draft length; None: without bound, as in transformers.

    With independent tokens of acceptance alpha the length settles where it is kept whole one time in three,
    alpha^length = 1/3, whatever drafting costs.

    >>> policy = Heuristic(5)
    >>> for accepted in (5, 3):
    ...     policy.observe(policy.draft_length, accepted)
    >>> policy.draft_length
    6
    """

    draft_length: int = 5
    at_most: int | None = None
    sequential = False

    def __post_init__(self) -> None:
        for name in ("draft_length", "at_most"):
            value = getattr(self, name)
            if value is not None and check_length(name, value) < 1:
                raise ValueError(f"{name} is {value!r}; allowed are whole numbers >= 1")
        self._first = self.draft_length

    def decide(self, state: View) -> bool:
        return state.drafted < self.draft_length

    def observe(self, drafted: int, accepted: int) -> None:
        moved = self.draft_length + 2 if accepted == drafted else max(1, self.draft_length - 1)
        self.draft_length = int(min(moved, math.inf if self.at_most is None else self.at_most))

    def memory(self) -> int:
        return self.draft_length

    def restore(self, memory: Any) -> Heuristic:
        made = Heuristic(self._first if memory is None else int(memory), self.at_most)
        made._first = self._first
        return made


KIND = PolicyKind(
    "heuristic",
    "+2 after a round kept whole, else -1",
    "gante2023assisted; transformers, schedule 'heuristic'",
    Heuristic,
    "rounds",
)
