"""The laws of target and draft after every prefix of a finished text, read in one pass of each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reference.decode import Options
from reference.models.protocol import LanguageModel, State, on_host


@dataclass(frozen=True)
class Laws:
    """Laws along one text: row t is the next-token law at the t-th emitted token, both of shape (tokens, V)."""

    target: NDArray[np.float64]
    draft: NDArray[np.float64]


class Contexts:
    """Reads texts; those of one prompt, one after the other, share what was read of it."""

    def __init__(self, target: LanguageModel, draft: LanguageModel) -> None:
        self._models = {"target": target, "draft": draft}
        self._states: dict[str, State] = {}
        self._prompt: list[int] = []

    def laws(self, prompt: Sequence[int], tokens: Sequence[int], options: Options) -> Laws:
        """The two laws before each of the emitted ``tokens``, after the temperature, top-k and top-p of the options."""
        text = [*prompt, *tokens]
        first, last = len(prompt) - 1, len(text) - 1
        if list(prompt) != self._prompt:
            self._states, self._prompt = {name: model.start() for name, model in self._models.items()}, list(prompt)
        rows = {}
        for name, state in self._states.items():
            if state.length:
                state.rewind(first)
            read = on_host(state.extend(text[state.length : last]))
            rows[name] = options.laws(name, read[-len(tokens) :])  # (tokens, V)
        return Laws(**rows)


def spaced(total: int, count: int) -> NDArray[np.int64]:
    """At most ``count`` of the places 0 .. total - 1, as evenly as whole numbers allow.

    >>> spaced(10, 4)
    array([0, 3, 6, 9])
    """
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))
