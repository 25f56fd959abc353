"""The counter-based generator behind ``triton.language.rand``: Philox 4x32 with ten rounds."""

from __future__ import annotations

from typing import Any

import numpy as np

KEYS = 0x9E3779B9, 0xBB67AE85
ROUNDS = 0xD2511F53, 0xCD9E8D57
LOW = 0xFFFFFFFF
SCALE = np.float32(4.6566127342e-10)


def philox(seed: int, offset: int) -> int:
    """The first 32 random bits for a 64-bit seed (the key) and a 64-bit offset (the counter).

    >>> hex(philox(0, 0))
    '0x6627e8d5'

    Source: salmon2011random, Section 4.3.
    """
    k0, k1 = seed & LOW, (seed >> 32) & LOW
    c0, c1, c2, c3 = offset & LOW, (offset >> 32) & LOW, 0, 0
    for _ in range(10):
        one, other = ROUNDS[0] * c0, ROUNDS[1] * c2
        c0, c1, c2, c3 = (other >> 32) ^ c1 ^ k0, other & LOW, (one >> 32) ^ c3 ^ k1, one & LOW
        k0, k1 = (k0 + KEYS[0]) & LOW, (k1 + KEYS[1]) & LOW
    return c0


def uniform(seed: int, offset: Any) -> Any:
    """Uniforms in [0, 1) in float32, one for each offset (whole numbers, any shape), with Triton's scaling."""
    bits = np.array([philox(seed, int(one)) for one in np.ravel(offset)], dtype=np.uint32)
    return scaled(bits).reshape(np.shape(offset))


def scaled(bits: Any) -> Any:
    """Uniforms in [0, 1) in float32 of 32 random bits each: the complement of those that are negative as signed."""
    signed = bits.view(np.int32)
    return np.where(signed < 0, -signed - 1, signed).astype(np.float32) * SCALE
