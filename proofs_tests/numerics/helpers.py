"""What the tests of order-independent arithmetic share: threads, exact integers, bit equality."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import torch
from torch import Tensor

ROWS = [*range(1, 18), *range(31, 66)]
"""Row counts at which libraries change kernels."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run with so many threads, and restore the number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def same(one: Tensor, other: Tensor) -> bool:
    """Equal dtype, shape and bits (0 and -0 count as equal), and all finite: NaN never passes."""
    return one.dtype == other.dtype and bool(torch.isfinite(one).all()) and torch.equal(one, other)


def exact_products(x: Tensor, matrix: Tensor) -> list[list[Fraction]]:
    """x W^T over the rationals, from the stored float64 numbers."""
    rows = [[Fraction(v) for v in row] for row in x.tolist()]
    columns = [[Fraction(v) for v in row] for row in matrix.tolist()]
    return [[sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0)) for column in columns] for row in rows]


def fractions(x: Tensor) -> list[list[Fraction]]:
    return [[Fraction(v) for v in row] for row in x.tolist()]


def normal(*shape: int, seed: int, spread: float = 1.0) -> Tensor:
    """Standard normal numbers times powers of two up to 2^+-spread, so that the entries of a row differ in size."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.exp2(torch.rand(shape, generator=generator).mul_(2).sub_(1).mul_(spread).round())
    return torch.randn(shape, generator=generator) * scale


def unit_of(values: list[Fraction]) -> Fraction:
    """The largest power of two of which all these dyadic numbers are multiples; 1 for zeros."""
    found = [v for v in values if v]
    if not found:
        return Fraction(1)
    bottom = max(v.denominator for v in found)
    whole = math.gcd(*(int(v * bottom) for v in found))
    return Fraction(whole & -whole, bottom)
