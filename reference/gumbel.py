"""Coupled randomness: noise that belongs to a place of the text, whoever asks for it.

The token at position t is argmax_v [logits(v) / temperature + G(t, v)], with Gumbel noise G = -log(-log U) that is
keyed by seed, request and t alone. That samples from the target's law. A drafter may look at the same noise, or not: no
drafter can change the text, which is a function of prompt, seed and target. With an arithmetic whose bits do not depend
on the layout (`reference.numerics`) it is equal token for token with every drafter, tree and batch. A draft that takes
the noise proposes the target's token with probability (1 - TV) / (1 + TV) or more.

Source: daliri2024coupling (drafter-invariant decoding).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.random import Keyed, Stream, Uniforms

Floats = Any
"""Float64 arrays of numpy or torch."""

AHEAD = 16
"""Positions whose noise is made at once; one pass of the generator costs little more for many than for one."""


LN2 = (0.6931471803691238, 1.9082149292705877e-10)
"""Logarithm of 2 in two parts; the first has so few bits that its product with an exponent is exact."""

TERMS = 11
"""Of the series of atanh: |f| is below 0.172, so the next term is below 2^-56 of the sum."""


def logarithm(x: Floats, xp: Any = np) -> Floats:
    """Natural logarithm of positive normal float64 numbers, numpy (``xp`` numpy) or torch (``xp`` torch), any device.

    x = m 2^e with m in [sqrt(1/2), sqrt(2)), log x = e log 2 + 2 atanh f, f = (m - 1) / (m + 1). Every operation is one
    that all libraries round correctly, and none is fused with another: the bits are the same everywhere, which those of
    a library's own logarithm are not. The error is below 2 units in the last place.

    >>> float(logarithm(np.array(10.0)))
    2.302585092994046
    """
    mantissa, exponent = xp.frexp(x)  # mantissa in [1/2, 1)
    small = mantissa < 0.7071067811865476
    mantissa = xp.where(small, mantissa * 2.0, mantissa)
    f = (mantissa - 1.0) / (mantissa + 1.0)
    exponent = xp.where(small, exponent - 1, exponent) + f * 0.0  # float64, whatever integers the library has
    square = f * f
    series = square * (1.0 / (2 * TERMS - 1))
    for k in range(TERMS - 2, 0, -1):
        series += 1.0 / (2 * k + 1)
        series *= square
    f *= 2.0
    return exponent * LN2[0] + (f + (f * series + exponent * LN2[1]))


def gumbel(uniforms: Floats, xp: Any = np) -> Floats:
    """-log(-log u) with `logarithm`; a uniform of 0 counts as 2^-54.

    >>> gumbel(np.array([0.0, 0.5])).round(3)
    array([-3.622,  0.367])
    """
    return -logarithm(-logarithm(uniforms + (uniforms == 0) * 2.0**-54, xp), xp)


def in_blocks(uniforms: NDArray[np.float64], size: int = 2**13) -> NDArray[np.float64]:
    """`gumbel` block by block: large arrays take five times as long, because they leave the processor's cache."""
    flat = uniforms.reshape(-1)
    return np.concatenate([gumbel(flat[i : i + size]) for i in range(0, len(flat), size)]).reshape(uniforms.shape)


class Noise:
    """Gumbel noise of the positions of one text over V tokens, each made once and forgotten behind the text's end."""

    def __init__(self, source: Uniforms, size: int) -> None:
        self._source, self._size = source, size
        self._rows: dict[int, NDArray[np.float64]] = {}

    def row(self, position: int) -> NDArray[np.float64]:
        """G(position, .), shape (V,)."""
        if position not in self._rows:
            self._rows = {place: row for place, row in self._rows.items() if place > position - AHEAD}
            if isinstance(self._source, Keyed):
                made = in_blocks(self._source.rows(position, AHEAD, Stream.COUPLED, self._size))
                self._rows |= {position + i: row for i, row in enumerate(made)}
            else:
                self._rows[position] = gumbel(self._source(position, Stream.COUPLED, self._size))
        return self._rows[position]


def scores(
    logits: NDArray[np.float64],
    laws: NDArray[np.float64],
    temperature: float,
    noise: Noise,
    positions: Sequence[int],
) -> NDArray[np.float64]:
    """What is maximised, (R, V): (logits - largest) / temperature + noise; at temperature 0 the logits.

    logits and laws (R, V), one position for each row; -inf where the law is zero, which it may be in all of a row. The
    largest is taken off so that no temperature overflows.
    """
    lawful = laws.any(axis=-1, keepdims=True)
    if temperature == 0:
        return np.where(lawful, logits, -np.inf)
    known = np.where(lawful, logits, 0.0)
    with np.errstate(over="ignore"):  # far below the largest: -inf is right
        noisy = (known - known.max(axis=-1, keepdims=True)) / temperature
    noisy += np.stack([noise.row(position) for position in positions])
    return np.where(laws > 0, noisy, -np.inf)


def best(row: NDArray[np.float64], count: int) -> list[int]:
    """The ``count`` tokens of highest score, best first, of equal ones the lower index; impossible ones are left out.

    >>> best(np.array([0.5, 2.0, -np.inf, 2.0]), 9)
    [1, 3, 0]
    """
    if count == 1:
        token = int(np.argmax(row))
        return [token] if row[token] > -np.inf else []
    order = np.argsort(-row, kind="stable")[:count]
    return [int(token) for token in order if row[token] > -np.inf]
