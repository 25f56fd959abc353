"""Uniforms of which only an interval is known, and what names them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np

from reference.random import Stream
from specmath.exact import Chance, Number, normalised

Key = Callable[[int, int, int], Hashable]
"""(position of the round, stream, number of the draw) -> the name of a uniform; equal names are equal numbers."""


def by_round(position: int, stream: int, index: int) -> Hashable:
    """The decoders' own keying."""
    return position, stream, index


def by_token(position: int, stream: int, index: int) -> Hashable:
    """The planted defect: keyed by the token's own position, a rejected draft's uniform is used again."""
    return (position + index, stream) if stream == Stream.DRAFT else (position, stream, index)


def accept_is_draft(position: int, stream: int, index: int) -> Hashable:
    """The planted defect: a draft is accepted or not by the uniform that drew it."""
    return position, Stream.DRAFT if stream == Stream.ACCEPT else stream, index


def residual_is_draft(position: int, stream: int, index: int) -> Hashable:
    """The planted defect: the replacement of a rejected draft is drawn with the uniform that drew the draft."""
    return position, Stream.DRAFT if stream == Stream.RESIDUAL else stream, index


def bonus_is_draft(position: int, stream: int, index: int) -> Hashable:
    """The planted defect: the bonus token is drawn with the uniform that drew the first candidate."""
    return position, Stream.DRAFT if stream == Stream.TARGET else stream, index


class Coins:
    """Asked for a token, a uniform is split by the law into intervals, and one of them is chosen by its length.

    A decoder that asks twice for one name gets the same number: the second answer can only be one that the first left
    open. Everything is a Fraction, hence the law of the decoder is exact, defects of the keying included.

    Numbers are handed to the decoder as tags, from which it is told later which uniform it uses for what.
    """

    def __init__(self, chance: Chance, key: Key = by_round) -> None:
        self._chance, self._key = chance, key
        self._known: dict[Hashable, tuple[Fraction, Fraction]] = {}
        self._names: list[Hashable] = []
        self._numbers: dict[Hashable, int] = {}
        self._elsewhere: set[Hashable] = set()

    def tags(self, position: int, stream: int, count: int) -> np.ndarray:
        """What stands for ``count`` uniforms."""
        found = []
        for index in range(count):
            name = self._key(position, stream, index)
            if name not in self._numbers:
                self._numbers[name] = len(self._names)
                self._names.append(name)
            found.append(self._numbers[name] / 2**20)
        return np.array(found)

    def token(self, weights: Sequence[Number], tag: float) -> int:
        """The token that the uniform draws by inversion."""
        name = self._names[round(tag * 2**20)]
        assert name not in self._elsewhere, f"the uniform {name} is used twice"
        low, high = self._known.get(name, (Fraction(0), Fraction(1)))
        edges = [(max(low, a), min(high, b)) for a, b in pairwise(accumulate(normalised(weights), initial=Fraction(0)))]
        token = self._chance.draw([max(Fraction(0), b - a) for a, b in edges])
        self._known[name] = edges[token]
        return token

    def spend(self, tags: Sequence[float]) -> None:
        """These uniforms are decided by somebody else's independent chance: nobody may have asked for them, or will."""
        for tag in tags:
            name = self._names[round(tag * 2**20)]
            assert name not in {*self._known, *self._elsewhere}, f"the uniform {name} is used twice"
            self._elsewhere.add(name)


class Inverted:
    """Chance whose k-th question is answered by the k-th tag."""

    def __init__(self, coins: Coins, tags: Sequence[float]) -> None:
        self._coins, self._tags = coins, iter(tags)

    def draw(self, weights: Sequence[Number]) -> int:
        return self._coins.token(weights, next(self._tags))

    def flip(self, prob: Number) -> bool:
        return self.draw([prob, 1 - prob]) == 0
