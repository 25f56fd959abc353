"""A model with a cache: what it has read is a list of (token, position), and its law depends on all of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

TextLaw = Callable[[tuple[int, ...]], np.ndarray]


class Cached:
    """``law(text)`` behind a cache. ``extend`` reads tokens and returns the law after each; ``rewind`` forgets."""

    def __init__(self, law: TextLaw) -> None:
        self._law = law
        self.read: list[int] = []

    def extend(self, tokens: list[int], start: int | None = None) -> np.ndarray:
        """Laws after each of ``tokens``, (T, V). They overwrite what was read from position ``start`` on, if given;
        slots that were never written hold token 0."""
        start = len(self.read) if start is None else start
        laws = []
        for place, token in enumerate(tokens, start):
            self.read += [0] * (place + 1 - len(self.read))
            self.read[place] = token
            laws.append(self._law(tuple(self.read)))
        return np.array(laws)

    def rewind(self, length: int) -> None:
        del self.read[length:]
