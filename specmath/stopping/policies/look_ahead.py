"""Goes on while the next token alone pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specmath.exact.explorer import Number
from specmath.stopping.costs import Costs
from specmath.stopping.policies.policy import PolicyKind, check_length
from specmath.stopping.process import Process, State
from specmath.stopping.view import View, needed


@dataclass(frozen=True)
class LookAhead:
    """Drafts the next token if and only if survival x P(it is kept) > ``price``: one step ahead.

    Attributes
    ----------
    price : tokens that the time of one drafted token is worth, rate x cost, >= 0.
    kept : P(the next token is kept | survival so far), by state, or one number for all states. A sequence of them is
        indexed by the number of unseen tokens, which are then kept too.

    Raises ValueError for a negative price.

    >>> [LookAhead(0.4, 0.8).decide(View(2, survival)) for survival in (0.6, 0.5)]
    [True, False]
    """

    price: Number
    kept: Number | Mapping[State, Number] | tuple[Mapping[State, Number], ...]
    sequential = False

    def __post_init__(self) -> None:
        if isinstance(self.price, bool | str) or not self.price >= 0:
            raise ValueError(f"price is {self.price!r}; allowed are numbers >= 0")

    @classmethod
    def of(cls, process: Process, costs: Costs, rate: Number, *, lag: int = 0) -> LookAhead:
        """For a process at a rate of tokens per cost; ValueError for a lag below 0."""
        from specmath.stopping.compiled import compiled

        numbered = compiled(process)
        ahead: list[Number] = [1] * len(numbered.states)
        tables = []
        for _ in range(check_length("lag", lag) + 1):
            ahead = [sum(m.probability * m.acceptance * ahead[m.state] for m in row) for row in numbered.moves]
            tables.append(dict(zip(numbered.states, ahead, strict=True)))
        return cls(rate * costs.token, tuple(tables))

    def decide(self, state: View) -> bool:
        kept = self.kept[state.unseen] if isinstance(self.kept, tuple) else self.kept
        if isinstance(kept, Mapping):
            if state.latent not in kept:
                raise ValueError(f"latent is {state.latent!r}; policy 'look_ahead' knows {len(kept)} other states")
            kept = kept[state.latent]
        return needed("look_ahead", state.survival, "survival") * kept > self.price

    def observe(self, drafted: int, accepted: int) -> None:
        pass

    def memory(self) -> None:
        return None

    def restore(self, memory: Any) -> LookAhead:
        return self


KIND = PolicyKind(
    "look_ahead", "while the next token alone is worth its time", "proof in docs/theory/stopping.md", LookAhead
)
