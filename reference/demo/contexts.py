"""The laws of target and draft after every prefix of a finished text, read in one pass of each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reference.decode import Options
from reference.models.protocol import LanguageModel, on_host


@dataclass(frozen=True)
class Laws:
    """Laws along one text: row t is the next-token law at the t-th emitted token, both of shape (tokens, V)."""

    target: NDArray[np.float64]
    draft: NDArray[np.float64]


def laws(
    target: LanguageModel, draft: LanguageModel, prompt: Sequence[int], tokens: Sequence[int], options: Options
) -> Laws:
    """The two laws before each of the emitted ``tokens``, after the temperature, top-k and top-p of the options."""
    text = [*prompt, *tokens]
    first, last = len(prompt) - 1, len(text) - 1
    return Laws(
        options.laws("target", on_host(target.start().extend(text[:last])[first:])),
        options.laws("draft", on_host(draft.start().extend(text[:last])[first:])),
    )


def spaced(total: int, count: int) -> NDArray[np.int64]:
    """At most ``count`` of the places 0 .. total - 1, as evenly as whole numbers allow.

    >>> spaced(10, 4)
    array([0, 3, 6, 9])
    """
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.int64))
