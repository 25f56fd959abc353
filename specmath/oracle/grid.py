"""The values a generator can return: uniforms lie on a grid, and the grid has a law."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """A uniform in [0, 1) as a generator makes it: one of ``2**bits`` equally likely points, in order of their values.

    The points are ``k / 2**bits`` for k = 0 .. 2**bits - 1, so 0.0 is one of them. Where ``digits`` is given, they are
    rounded to that many binary digits (to even), and those that round to 1.0 are returned as 0.0: so torch draws in
    half precision, and several points have one value.

    Attributes
    ----------
    bits : random bits of a draw.
    digits : binary digits of the dtype where draws are rounded to it, None where they fit.

    >>> TORCH["float32"].zero, TORCH["float32"].largest, TORCH["bfloat16"].largest
    (Fraction(1, 16777216), 0.9999999403953552, 0.99609375)
    """

    bits: int
    digits: int | None = None

    @property
    def size(self) -> int:
        """Number of points."""
        return 1 << self.bits

    @property
    def atom(self) -> Fraction:
        """Probability of a single point."""
        return Fraction(1, self.size)

    @property
    def wrapped(self) -> int:
        """How many points round to 1.0; they come first in the order, with the value 0.0."""
        return 0 if self.digits is None else 1 << (self.bits - self.digits - 1)

    @property
    def zero(self) -> Fraction:
        """Probability of 0.0."""
        return Fraction(self.below(0.0, inclusive=True), self.size)

    @property
    def largest(self) -> float:
        """The largest value."""
        return float(self.values([self.size - 1])[0])

    def values(self, points: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Values of these points, exactly.

        >>> Grid(3).values([0, 1, 7]).tolist(), Grid(4, digits=2).values([0, 1, 2, 3, 4, 15]).tolist()
        ([0.0, 0.125, 0.875], [0.0, 0.0, 0.0, 0.0625, 0.125, 0.75])
        """
        numbers = np.asarray(points, dtype=np.int64) - self.wrapped
        plain = np.maximum(numbers, 0) * 2.0**-self.bits
        if self.digits is None:
            return plain
        mantissa, exponent = np.frexp(plain)
        return np.ldexp(np.round(mantissa * 2.0**self.digits), exponent - self.digits)

    def below(self, threshold: float, *, inclusive: bool) -> int:
        """How many points have a value below ``threshold``, itself counted where ``inclusive``; none is below NaN.

        >>> Grid(3).below(0.5, inclusive=False), Grid(3).below(0.5, inclusive=True), Grid(3).below(7.0, inclusive=True)
        (4, 5, 8)
        """
        if not threshold >= 0:
            return 0
        if threshold >= 1:
            return self.size
        if self.digits is None:
            scaled = threshold * float(self.size)  # a power of two: exact
            return math.floor(scaled) + 1 if inclusive else math.ceil(scaled)
        low, high = 0, self.size
        while low < high:  # the first point that is not below
            middle = (low + high) // 2
            value = float(self.values([middle])[0])
            if value < threshold or (inclusive and value == threshold):
                low = middle + 1
            else:
                high = middle
        return low


TORCH = {"float64": Grid(53), "float32": Grid(24), "float16": Grid(24, digits=11), "bfloat16": Grid(24, digits=8)}
"""`torch.rand` and `Tensor.uniform_` on the CPU, by dtype; held against the generator by a test."""

NUMPY = {"float64": Grid(53), "float32": Grid(24)}
"""`Generator.random` and the functions of `numpy.random`."""

PYTHON = Grid(53)
"""`random.random`."""

JAX = {"float64": Grid(52), "float32": Grid(23), "float16": Grid(10), "bfloat16": Grid(7)}
"""`jax.random.uniform`: the bits of the mantissa."""

FLOAT32_ZERO = TORCH["float32"].zero
"""Uniforms that are 0.0 more often than this are judged by the eps of float32, however coarse the laws are."""
