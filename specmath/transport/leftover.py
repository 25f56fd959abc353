"""What a rejected draft is replaced by: a draw from (weight * target - marginal)^+ that reads two short blocks."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np

from specmath.arrays import Array, as_pytree, namespace
from specmath.draws import positive_part
from specmath.transport.search import before, count, pick


@dataclass(frozen=True)
class Leftover:
    """The residual law, cumulated over blocks of about sqrt(V) tokens.

    A draw finds the block, then the token inside it: 2 sqrt(V) numbers are read, whatever the library.

    Attributes
    ----------
    goal, marginal : (..., V) weight * target and the law of the selected draft.
    blocks : (..., B) residual mass of the first 1, 2, ... B blocks.
    empty : (...) True where nothing is left over; the goal itself stands in then, which only rounding can reach.
    none : (...) mass of the symbol V that is never drafted, 1 - weight; 0 without weights.
    """

    goal: Array
    marginal: Array
    blocks: Array
    empty: Array
    none: Array

    def draw(self, uniform: Array) -> Array:
        """Tokens (...) by inversion, V for the symbol that is never drafted; none of residual zero."""
        xp = namespace(self.goal)
        size = self.goal.shape[-1]
        width = block(size)
        mass = self.blocks[..., -1:]
        threshold = xp.astype(uniform, mass.dtype)[..., None] * (mass + self.none[..., None])
        last = self.blocks.shape[-1] - 1
        place = count(self.blocks, threshold, strictly=False)
        place = xp.where(place > last, last, place)
        start = place * width
        inside = start + xp.arange(width, device=_device(place))
        real = inside < size
        tokens = xp.where(real, inside, 0)
        weights = self._weights(pick(self.goal, tokens), pick(self.marginal, tokens))
        weights = xp.where(real, weights, 0.0)
        within = xp.cumulative_sum(weights, axis=-1) + before(self.blocks, place)
        possible = weights > 0
        beyond = possible & (within > threshold)
        final = width - 1 - xp.argmax(xp.astype(xp.flip(possible, axis=-1), xp.int32), axis=-1)
        first = xp.argmax(xp.astype(beyond, xp.int32), axis=-1)
        offset = xp.where(xp.any(beyond, axis=-1), first, final)
        token = start[..., 0] + xp.astype(offset, start.dtype)
        nothing = (self.none > 0) & (threshold >= mass)[..., 0]
        return xp.where(nothing, size, token)

    def _weights(self, goal: Array, marginal: Array) -> Array:
        xp = namespace(goal)
        return xp.where(self.empty[..., None], goal, positive_part(goal - marginal))


def block(size: int) -> int:
    """Tokens per block."""
    return isqrt(size - 1) + 1


def _device(array: Array) -> Any:
    return array.device if "torch" in type(array).__module__ else None


def _rest(goal: Array, marginal: Array) -> Array:
    """(goal - marginal)^+, with one new array where that is possible."""
    if not isinstance(goal, np.ndarray):
        return positive_part(goal - marginal)
    difference = goal - marginal
    return np.maximum(difference, 0, out=difference)


def _blocks(weights: Array, width: int) -> Array:
    """Cumulated sums of ``width`` tokens each; the last block may be shorter."""
    xp = namespace(weights)
    whole = weights.shape[-1] // width * width
    sums = xp.sum(xp.reshape(weights[..., :whole], (*weights.shape[:-1], whole // width, width)), axis=-1)
    if whole < weights.shape[-1]:
        sums = xp.concat([sums, xp.sum(weights[..., whole:], axis=-1, keepdims=True)], axis=-1)
    return xp.cumulative_sum(sums, axis=-1)


def leftover(goal: Array, marginal: Array, none: Array) -> Leftover:
    """Residual of the goal (..., V) after the marginal (..., V); ``none`` (...) is added as the symbol V."""
    xp = namespace(goal)
    width = block(goal.shape[-1])
    blocks = _blocks(_rest(goal, marginal), width)
    empty = (blocks[..., -1] <= 0) & (none <= 0)
    if not (isinstance(empty, np.ndarray) and not empty.any()):
        blocks = xp.where(empty[..., None], _blocks(goal, width), blocks)
    return as_pytree(
        Leftover(goal, marginal, blocks, empty, none), arrays=("goal", "marginal", "blocks", "empty", "none")
    )
