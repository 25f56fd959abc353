"""Where a program's randomness comes from: one interface, sampled or enumerated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from specmath.exact.explorer import Explorer, Number, normalised


class Chance(Protocol):
    """What a program asks for randomness.

    ``flip(prob)`` is True with probability ``prob``; ``draw(weights)`` is index i with probability
    ``weights[i] / sum(weights)``.
    """

    def flip(self, prob: Number) -> bool: ...

    def draw(self, weights: Sequence[Number]) -> int: ...


def _check_probability(prob: Number) -> None:
    if not 0 <= prob <= 1:
        raise ValueError(f"prob is {prob}; allowed are numbers from 0 to 1")


class Sampled:
    """Chance that samples from a seeded generator (float64 uniforms, strict ``u < prob``)."""

    def __init__(self, seed: int | np.random.Generator) -> None:
        self._generator = np.random.default_rng(seed)

    def flip(self, prob: Number) -> bool:
        _check_probability(prob)
        return self._generator.random() < prob

    def draw(self, weights: Sequence[Number]) -> int:
        probabilities = [float(probability) for probability in normalised(weights)]
        cumulative = np.cumsum(probabilities)
        place = int(np.searchsorted(cumulative, self._generator.random() * cumulative[-1], side="right"))
        last = max(index for index, probability in enumerate(probabilities) if probability > 0)
        return min(place, last)


class Enumerated:
    """Chance that asks an `Explorer`, so that every outcome of positive probability is met once."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer

    def flip(self, prob: Number) -> bool:
        _check_probability(prob)
        return self._explorer.choose([prob, 1 - prob]) == 0

    def draw(self, weights: Sequence[Number]) -> int:
        return self._explorer.choose(normalised(weights))
