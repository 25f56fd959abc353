"""Small vectorised steps that every draft law and rule is made of; no step looks at a value on the host.

Shapes: ``...`` batch axes, V vocabulary. Written against the array-API standard (numpy, torch, jax).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from specmath.arrays import Array, namespace, to_float64


def ones_hot(tokens: Array, size: int, xp: Any) -> Array:
    """Boolean (..., size): True at the token."""
    return xp.arange(size, device=_device(tokens)) == tokens[..., None]


def _device(array: Array) -> Any:
    # jax tracers have no single device; leaving it out then means "where the computation runs".
    device = getattr(array, "device", None)
    return device if device is not None and not callable(device) and "torch" in type(array).__module__ else None


def take(values: Array, tokens: Array) -> Array:
    """values (..., V) at tokens (...): shape (...)."""
    xp = namespace(values)
    return xp.take_along_axis(values, tokens[..., None], axis=-1)[..., 0]


def positive_part(values: Array) -> Array:
    """max(x, 0), elementwise."""
    xp = namespace(values)
    return xp.where(values > 0, values, xp.zeros_like(values))


def ratio(numerator: Array, denominator: Array) -> Array:
    """numerator / denominator, and 0 where the denominator is 0 (never NaN)."""
    xp = namespace(numerator, denominator)
    safe = xp.where(denominator > 0, denominator, xp.ones_like(denominator))
    with np.errstate(over="ignore"):  # inf is the answer, and no news
        found = numerator / safe
    return xp.where(denominator > 0, found, xp.zeros_like(found))


def normalise_or(weights: Array, fallback: Array) -> Array:
    """Weights (..., V) divided by their sum; where the sum is zero, ``fallback``: the zero residual's own branch."""
    xp = namespace(weights)
    total = xp.sum(weights, axis=-1, keepdims=True)
    return xp.where(total > 0, ratio(weights, total), fallback)


def residual(target: Array, draft: Array) -> Array:
    """(target - draft)^+ normalised, and ``target`` where nothing is left over (target == draft)."""
    return normalise_or(positive_part(target - draft), target)


def categorical(weights: Array, uniform: Array) -> Array:
    """Inverse-CDF draw: the first token whose cumulative weight exceeds ``uniform * sum``; tokens (...).

    A token of weight zero is never returned, whatever the uniform in [0, 1) and the rounding of the cumulative sum.
    The sum is taken in float64: in float32 its rounding alone biases a draw from 128,000 tokens by a total variation
    of 8e-4 (jax without x64 has only float32).
    """
    xp = namespace(weights)
    cumulative = xp.cumulative_sum(to_float64(weights), axis=-1)
    threshold = to_float64(uniform)[..., None] * cumulative[..., -1:]
    possible = weights > 0
    beyond = possible & (cumulative > threshold)
    last = weights.shape[-1] - 1 - xp.argmax(xp.astype(xp.flip(possible, axis=-1), xp.int32), axis=-1)
    first = xp.argmax(xp.astype(beyond, xp.int32), axis=-1)
    return xp.where(xp.any(beyond, axis=-1), first, last)


def without(law: Array, tokens: Array) -> Array:
    """The law conditioned on not being ``tokens`` (...); all zeros where nothing is left."""
    xp = namespace(law)
    kept = xp.where(ones_hot(tokens, law.shape[-1], xp), xp.zeros_like(law), law)
    return normalise_or(kept, kept)


def first_match(tokens: Array, emitted: Array) -> Array:
    """Index of the first of tokens (..., n) equal to emitted (...), or -1."""
    xp = namespace(tokens)
    same = tokens == emitted[..., None]
    first = xp.argmax(xp.astype(same, xp.int32), axis=-1)
    return xp.where(xp.any(same, axis=-1), first, xp.full_like(first, -1))


def stack_last(columns: list[Array]) -> Array:
    """Columns (...) stacked to (..., len(columns))."""
    return namespace(*columns).stack(columns, axis=-1)


def ranked(law: Array) -> Array:
    """Tokens by falling probability, ties by index; (..., V)."""
    xp = namespace(law)
    return xp.argsort(-law, axis=-1, stable=True)


def likeliest(law: Array, count: int) -> Array:
    """The first ``count`` tokens of `ranked` (..., count), without sorting the others; all V if count exceeds V."""
    if count > 16:
        return ranked(law)[..., :count]
    xp = namespace(law)
    found, left = [], law
    for _ in range(min(count, law.shape[-1])):
        found.append(xp.argmax(left, axis=-1))
        left = xp.where(ones_hot(found[-1], law.shape[-1], xp), xp.full_like(left, -1.0), left)
    return stack_last(found) if found else xp.argsort(law[..., :0], axis=-1)
