"""Small searches that every library can do and that may be traced: no value is looked at where that is impossible."""

from __future__ import annotations

from typing import Any

import numpy as np

from specmath.arrays import Array, namespace


def pick(values: Array, index: Array) -> Array:
    """values (..., V) at index (..., k): shape (..., k); the leading axes broadcast, and no row is copied.

    >>> pick(np.array([10, 20, 30]), np.array([[0, 2], [1, 1]]))
    array([[10, 30],
           [20, 20]])
    """
    xp = namespace(values)
    if values.ndim == 1 and isinstance(values, np.ndarray):
        return values[index]
    if values.ndim == 1:
        return xp.reshape(xp.take(values, xp.reshape(index, (-1,)), axis=0), index.shape)
    while values.ndim < index.ndim:
        values = values[None, ...]
    while index.ndim < values.ndim:
        index = index[None, ...]
    return xp.take_along_axis(values, index, axis=-1)


def count(ordered: Array, needles: Array, *, strictly: bool) -> Array:
    """How many of ordered (..., V), rising, are below needles (..., k), strictly or not; leading axes broadcast.

    numpy's `searchsorted` for one row of numbers; else a bisection of ceil(log2(V + 1)) steps for all rows at once.
    """
    xp = namespace(ordered)
    if ordered.ndim == 1 and isinstance(ordered, np.ndarray):
        return ordered.searchsorted(needles, side="left" if strictly else "right")
    size = ordered.shape[-1]
    zeros = index_zeros(xp, needles)
    low, high = zeros, zeros + size
    for _ in range(size.bit_length()):
        middle = (low + high) // 2
        at = pick(ordered, xp.where(middle < size, middle, size - 1))
        below = (at < needles if strictly else at <= needles) & (low < high)
        low = xp.where(below, middle + 1, low)
        high = xp.where(below, high, middle)
    return low


def index_zeros(xp: Any, template: Array) -> Array:
    """Zeros of the template's shape, in the library's integer type for indices, on the template's device."""
    return xp.astype(xp.zeros_like(template), xp.arange(1).dtype)


def before(edges: Array, index: Array) -> Array:
    """Cumulated values (..., V) just before the token at index (..., k): edges[index - 1], and 0 before the first."""
    xp = namespace(edges)
    first = index <= 0
    return xp.where(first, 0.0, pick(edges, xp.where(first, 0, index - 1)))


def power(base: Array, n: int) -> Array:
    """base ** n by repeated squaring: the same few multiplications in every library.

    >>> power(np.array([2.0, 3.0]), 5)
    array([ 32., 243.])
    """
    found = None
    square = base
    while True:
        if n & 1:
            found = square if found is None else found * square
        n >>= 1
        if not n:
            return namespace(base).ones_like(base) if found is None else found
        square = square * square
