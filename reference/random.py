"""The one source of randomness of all decoders: Philox4x32-10, a generator without a state.

A number is a function of what it is for, the counter, and of the seed, the key:

    counter = (number of the draw inside the round, position at which the round starts, stream, request)

The position is that of the *round*, not of the token that is drawn. A round may draft tokens that are thrown away, and
block verification looks at all of them before it decides. If a token's own position were the counter, the next round
would draft with the uniforms that the rejection before it depended on, and the output law would be wrong although
every single step is right. Rounds start at strictly increasing positions, hence no number is ever used twice.
(Coupled decoding, `decode.coupled`, is another matter: there a token's noise is that of its own position on purpose,
and nothing else about the token depends on chance.)

Source: salmon2011random, Section 3.3 (Philox), with the constants of Random123.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

MASK = 0xFFFFFFFF
ROUNDS = 10
Words = Any
"""32-bit words: Python integers, or int64 arrays of numpy, torch or jax (with x64)."""

Uniforms = Callable[[int, int, int], NDArray[np.float64]]
"""(position of the round, stream, count) -> ``count`` uniforms on [0, 1); how decoders ask for randomness."""


class Stream(IntEnum):
    """What a number is drawn for; equal counters of different streams are unrelated."""

    TARGET = 0
    DRAFT = 1
    ACCEPT = 2
    RESIDUAL = 3
    COUPLED = 4


def _multiply(word: Words, factor: int) -> tuple[Words, Words]:
    """High and low 32 bits of word * factor, in 16-bit limbs: no intermediate result exceeds 49 bits."""
    low, high = (word & 0xFFFF) * factor, (word >> 16) * factor
    middle = low + ((high & 0xFFFF) << 16)
    return (high >> 16) + (middle >> 32), middle & MASK


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Philox4x32-10: four 32-bit words from four counter words and two key words.

    Counter words may be Python integers or int64 arrays that broadcast; the bits are the same everywhere.

    >>> [hex(word) for word in philox((0, 0, 0, 0), (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    a, b, c, d = counter
    first, second = key
    for _ in range(ROUNDS):
        high_a, low_a = _multiply(a, 0xD2511F53)
        high_c, low_c = _multiply(c, 0xCD9E8D57)
        a, b, c, d = high_c ^ b ^ first, low_c, high_a ^ d ^ second, low_a
        first, second = (first + 0x9E3779B9) & MASK, (second + 0xBB67AE85) & MASK
    return a, b, c, d


def _check(name: str, value: int, bits: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value < 2**bits:
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers from 0 to 2**{bits} - 1")
    return int(value)


def uniforms(seed: int, request: int, position: int, stream: int, count: int) -> NDArray[np.float64]:
    """``count`` uniforms k * 2**-53 on [0, 1), shape (count,): a function of the arguments, a prefix of longer calls.

    Raises ValueError unless seed is a 64-bit and request, position, stream and count are 32-bit unsigned integers.

    >>> uniforms(0, 0, 0, Stream.TARGET, 2)
    array([0.39904647, 0.73571278])
    """
    key = _check("seed", seed, 64)
    place, kind, text = _check("position", position, 32), _check("stream", stream, 32), _check("request", request, 32)
    blocks = -(-_check("count", count, 32) // 2)  # four words make two numbers
    if blocks <= 8:  # plain integers: ten times faster than arrays for the few numbers of a round
        drawn = [philox((block, place, kind, text), (key & MASK, key >> 32)) for block in range(blocks)]
        bits = np.array(drawn, dtype=np.int64).reshape(-1, 2)
    else:
        columns = philox((np.arange(blocks, dtype=np.int64), place, kind, text), (key & MASK, key >> 32))
        bits = np.stack(columns, axis=-1).reshape(-1, 2)
    return (bits[:count, 0] * 2**21 + (bits[:count, 1] >> 11)).astype(np.float64) * 2.0**-53


def keyed(seed: int, request: int) -> Uniforms:
    """The source of one request: `uniforms` with seed and request filled in."""
    _check("seed", seed, 64)
    _check("request", request, 32)
    return lambda position, stream, count: uniforms(seed, request, position, stream, count)
