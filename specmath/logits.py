"""From logits to the law that is sampled: temperature, then top-k, then top-p, the same for target and draft."""

from __future__ import annotations

import math
import sys

from specmath.arrays import (
    Array,
    as_array,
    check_count,
    check_number,
    dtype_name,
    is_concrete,
    namespace,
    to_float64,
    to_numpy,
)

SMALLEST, LARGEST = math.nextafter(0.0, 1.0), sys.float_info.max
"""The smallest float above 0, and the largest finite one."""


def check_options(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """ValueError naming the option that is out of range."""
    check_number("temperature", temperature, 0.0, LARGEST, "finite numbers >= 0 (0 picks the likeliest token)")
    if top_k is not None:
        try:
            check_count("top_k", top_k)
        except ValueError as error:
            raise ValueError(f"{error}, or None for off") from None
    if top_p is not None:
        check_number("top_p", top_p, SMALLEST, 1.0, "numbers above 0 up to 1")


def law_from_logits(
    logits: Array, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Array:
    """The law that a sampler with these options draws from, in float64, for logits (..., V).

    softmax(logits / temperature), restricted to the ``top_k`` likeliest tokens (exactly k, ties by index), then to the
    smallest set of likeliest tokens whose mass reaches ``top_p``, renormalised. Temperature 0 is the one-hot law of the
    likeliest token (lowest index). Logits of -inf are masked tokens; float16, bfloat16 and float32 logits are widened
    first. Raises ValueError for options out of range, NaN or +inf logits, and rows that are masked completely.

    >>> import numpy as np
    >>> law_from_logits(np.log([0.5, 0.3, 0.2]), top_k=2)
    array([0.625, 0.375, 0.   ])
    """
    check_options(temperature, top_k, top_p)
    logits = as_array("logits", logits)
    if logits.ndim < 1 or logits.shape[-1] < 1:
        raise ValueError(f"logits: shape {tuple(logits.shape)}; the last axis must hold at least one token")
    if not dtype_name(logits).startswith(("float", "bfloat")):
        raise ValueError(f"logits: dtype {dtype_name(logits)}; allowed are floating-point numbers")
    values = to_float64(logits)
    xp = namespace(values)
    if is_concrete(values):
        host = to_numpy(values)
        peak = host.max(axis=-1)
        if not (abs(peak) < float("inf")).all():  # NaN and +-inf all fail this
            raise ValueError("logits: a row holds NaN or +inf, or is masked (-inf) completely; no law follows from it")
    top = xp.max(values, axis=-1, keepdims=True)
    if temperature == 0:
        best = xp.argmax(values, axis=-1)
        weights = xp.astype(xp.cumulative_sum(xp.ones_like(values), axis=-1) - 1 == best[..., None], values.dtype)
    else:
        weights = xp.exp((values - top) / temperature)
    law = weights / xp.sum(weights, axis=-1, keepdims=True)
    if (top_k is None or top_k >= law.shape[-1]) and (top_p is None or top_p >= 1):
        return law
    order = xp.argsort(-law, axis=-1, stable=True)
    rank = xp.argsort(order, axis=-1, stable=True)
    kept = law
    if top_k is not None:
        kept = xp.where(rank < top_k, kept, xp.zeros_like(kept))
        kept = kept / xp.sum(kept, axis=-1, keepdims=True)
    if top_p is not None:
        falling = xp.take_along_axis(kept, order, axis=-1)
        before = xp.take_along_axis(xp.cumulative_sum(falling, axis=-1) - falling, rank, axis=-1)
        kept = xp.where(before < top_p, kept, xp.zeros_like(kept))
        kept = kept / xp.sum(kept, axis=-1, keepdims=True)
    return kept
