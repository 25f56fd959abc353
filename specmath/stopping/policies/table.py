"""Boundaries as plain numbers: the best policy to be written down, shipped and looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specmath.exact.explorer import Number
from specmath.stopping.policies.policy import PolicyKind, check_unit
from specmath.stopping.process import State
from specmath.stopping.view import View, needed


@dataclass(frozen=True)
class Table:
    """Drafts one more token if and only if the survival lies above the boundary of its place and state.

    Attributes
    ----------
    boundaries : for each number of drafted tokens (K,) state -> boundary in [0, 1]; nothing is drafted beyond K. Where
        a place has one state only, the state is not looked at.

    Raises ValueError for boundaries outside [0, 1], and for a state that its place does not have.

    >>> policy = Table([{"text": 0.2}, {"text": 0.5}])
    >>> [policy.decide(View(drafted, 0.4)) for drafted in range(3)]
    [True, False, False]
    """

    boundaries: Sequence[Mapping[State, Number]]
    sequential = False

    def __post_init__(self) -> None:
        for drafted, row in enumerate(self.boundaries):
            for state, boundary in row.items():
                check_unit(f"boundaries[{drafted}][{state!r}]", boundary)

    def decide(self, state: View) -> bool:
        if state.drafted >= len(self.boundaries):
            return False
        row = self.boundaries[state.drafted]
        latent = next(iter(row)) if len(row) == 1 else state.latent
        if latent not in row:
            raise ValueError(f"latent is {latent!r}; allowed are the {len(row)} states of the table")
        return needed("table", state.survival, "survival") > row[latent]

    def observe(self, drafted: int, accepted: int) -> None:
        pass

    def memory(self) -> None:
        return None

    def restore(self, memory: Any) -> Table:
        return self


KIND = PolicyKind(
    "table", "survival above a boundary by place and state", "proof in docs/theory/stopping.md, Theorem 1", Table
)
