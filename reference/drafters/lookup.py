"""Prompt lookup: what followed the last few tokens when they stood in the text before."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reference.drafters.protocol import Proposal, Shape, Task
from reference.models.protocol import LanguageModel, Read
from specmath.arrays import Array


@dataclass(frozen=True)
class LookupDrafter:
    """Copies a chain of up to ``draft_length`` tokens from the text itself; no model, no draft calls.

    The longest suffix of at most ``longest`` and at least ``shortest`` tokens that occurred before is looked up, and of
    its occurrences the last. Nothing is proposed where there is none. The copied tokens are certain: a rule sees a
    draft law with all mass on them.

    Source: saxena2023promptlookup.
    """

    draft_length: int = 8
    longest: int = 3
    shortest: int = 1

    def __post_init__(self) -> None:
        for name in ("draft_length", "longest", "shortest"):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
                raise ValueError(f"{name} is {value!r}; allowed are whole numbers >= 1")
        if self.shortest > self.longest:
            raise ValueError(f"shortest is {self.shortest}; allowed are at most longest, {self.longest}")

    @property
    def laws(self) -> None:
        return None

    @property
    def branches(self) -> tuple[int, ...]:
        return (1,)

    @property
    def shape(self) -> Shape:
        return "chain"

    def check(self, target: LanguageModel) -> None:
        """Any target will do."""

    def begin(self, task: Task, memory: Any = None) -> LookupDrafting:
        return LookupDrafting(self)


class LookupDrafting:
    """A `LookupDrafter` at work; all it needs is the text."""

    def __init__(self, drafter: LookupDrafter) -> None:
        self._drafter = drafter

    def propose(self, tokens: Sequence[int], most: int) -> Generator[Read, Array, Proposal]:
        yield from ()
        copied = self._copied(np.array(tokens))[: min(most, self._drafter.draft_length)]
        return Proposal(copied, tuple(range(-1, len(copied) - 1)))

    def _copied(self, text: np.ndarray) -> list[int]:
        """The tokens that followed the last occurrence of the longest suffix that has one."""
        for size in range(min(self._drafter.longest, len(text) - 1), self._drafter.shortest - 1, -1):
            windows = np.lib.stride_tricks.sliding_window_view(text[:-1], size)
            found = np.flatnonzero((windows == text[-size:]).all(axis=1))
            if len(found):
                return text[found[-1] + size :].tolist()
        return []

    def keep(self, path: Sequence[int]) -> None:
        """Nothing to remember."""

    def memory(self) -> None:
        return None

    def close(self) -> None:
        """Nothing was opened."""
