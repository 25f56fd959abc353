"""When to stop drafting: what a stopping policy of a chain looks at, and what it decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Progress:
    """A chain while it is drafted.

    Attributes
    ----------
    position : number of tokens of the text at the round's start.
    drafted : the tokens drafted so far, at least one.
    laws : the draft's law (V,) that each of them was drawn from.
    """

    position: int
    drafted: Sequence[int]
    laws: Sequence[NDArray[np.float64]]

    @property
    def probabilities(self) -> list[float]:
        """Draft probability of each drafted token."""
        return [float(law[token]) for law, token in zip(self.laws, self.drafted, strict=True)]


class Policy(Protocol):
    """Decides after each drafted token. What it sees lies above the token it decides about, so every chain rule stays
    lossless; a policy that took a drafted token back would not."""

    def decide(self, state: Progress) -> bool:
        """True: draft one more."""
        ...

    def observe(self, drafted: int, accepted: int) -> None:
        """What became of a round."""
        ...

    def memory(self) -> Any:
        """JSON values from which `restore` continues; None for a policy that remembers nothing."""
        ...

    def restore(self, memory: Any) -> Policy:
        """A policy at the beginning of a text (memory None), or where `memory` was taken."""
        ...


@dataclass(frozen=True)
class Confidence:
    """Go on while the draft gave its last token at least ``threshold``, a probability in [0, 1].

    >>> law = np.array([0.9, 0.1])
    >>> [Confidence(0.4).decide(Progress(5, [token], [law])) for token in (0, 1)]
    [True, False]
    """

    threshold: float

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; allowed are probabilities from 0 to 1")

    def decide(self, state: Progress) -> bool:
        return float(state.laws[-1][state.drafted[-1]]) >= self.threshold

    def observe(self, drafted: int, accepted: int) -> None:
        pass

    def memory(self) -> None:
        return None

    def restore(self, memory: Any) -> Confidence:
        return self
