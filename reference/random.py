"""The one source of randomness of all decoders: Philox4x32-10, a generator without a state.

A number is a function of what it is for, the counter, and of the seed, the key:

    counter = (number of the draw inside the round, position at which the round starts, stream, request)

In rejection mode the position is that of the *round*, not of the token that is drawn. A round may draft tokens that are
thrown away, and block verification looks at all of them before it decides. If a token's own position were the counter,
the next round would draft with the uniforms that the rejection before it depended on, and the output law would be wrong
although every single step is right. Rounds start at strictly increasing positions, hence no number is ever used twice.
(Coupled decoding, `reference.gumbel`, is another matter: there a token's noise is that of its own position on purpose,
and nothing else about the token depends on chance.)

Source: salmon2011random, Section 3.3 (Philox), with the constants of Random123.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[Words, Words]) -> tuple[Words, Words, Words, Words]:
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
        return fractions(bits[:count, 0], bits[:count, 1])
    return uniform_rows(seed, request, position, 1, stream, count)[0]


def uniform_rows(seed: int, request: int, first: int, many: int, stream: int, count: int) -> NDArray[np.float64]:
    """`uniforms` of ``many`` positions from ``first`` on, (many, count): one pass of the generator for all of them."""
    key, text = _check("seed", seed, 64), _check("request", request, 32)
    for place in (first, first + many - 1):
        _check("position", place, 32)
    places = np.arange(first, first + many, dtype=np.int64)[:, None]
    blocks = np.arange(-(-_check("count", count, 32) // 2), dtype=np.int64)
    a, b, c, d = np.broadcast_arrays(*philox((blocks, places, int(stream), text), (key & MASK, key >> 32)))
    return np.stack([fractions(a, b), fractions(c, d)], axis=-1).reshape(many, -1)[:, :count]


def fractions(high: Words, low: Words) -> Any:
    """53 bits of two words as numbers k * 2**-53 on [0, 1), float64; arrays of numpy or torch."""
    bits = high * 2**21 + (low >> 11)
    return (bits.astype(np.float64) if isinstance(bits, np.ndarray) else bits.double()) * 2.0**-53


@dataclass(frozen=True)
class Keyed:
    """The source of one request: `uniforms` with seed and request filled in."""

    seed: int
    request: int

    def __post_init__(self) -> None:
        _check("seed", self.seed, 64)
        _check("request", self.request, 32)

    def __call__(self, position: int, stream: int, count: int) -> NDArray[np.float64]:
        return uniforms(self.seed, self.request, position, stream, count)

    def rows(self, first: int, many: int, stream: int, count: int) -> NDArray[np.float64]:
        """The same for ``many`` positions at once, (many, count)."""
        return uniform_rows(self.seed, self.request, first, many, stream, count)
