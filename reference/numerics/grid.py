"""Power-of-two grids: numbers so coarse that a sum of their products is exact in float64, in any order.

A float64 holds every integer up to 2^53. If the x of a sum of K products x w are integers up to 2^a times one unit, and
the w integers up to 2^b times another, every product and every partial sum is an integer up to K 2^(a+b) times the
product of the units. With a + b + log2 K <= 53 none of them is ever rounded, fused multiply-add or not, and then no
order, tile, thread count or padding with zeros can change a bit. Units are powers of two and never leave the exponent
range (see `FLOOR`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MANTISSA = 53
"""Bits of a float64 significand."""

FLOOR = 2.0**-300
"""Smallest constant that rounds a row: keeps the product of two units above the smallest normal number."""

MOST = 25
"""Most bits for which the argument of `row_grid` holds."""

COARSEST = 12
"""Fewest bits of an operand that `exact64` accepts before it calls the arithmetic unfaithful."""


class BudgetError(ValueError):
    """A sum whose exactness cannot be promised: too many terms, or values out of the declared range."""


def bits_of_sum(terms: int, name: str = "terms") -> int:
    """Bits that a sum of so many products takes beyond those of a product: ceil(log2 terms).

    Raises BudgetError naming ``name`` unless terms >= 1.

    >>> bits_of_sum(192)
    8
    """
    if terms < 1:
        raise BudgetError(f"{name} is {terms}; allowed is 1 or more")
    return (terms - 1).bit_length()


def split_bits(terms: int, name: str = "terms", mantissa: int = MANTISSA) -> tuple[int, int]:
    """Bits (a, b) of the two factors of each of ``terms`` products, a <= b, a + b + ceil(log2 terms) = ``mantissa``.

    Raises BudgetError naming ``name`` when fewer than 12 bits were left to a factor.

    >>> split_bits(192)
    (22, 23)
    """
    left = mantissa - bits_of_sum(terms, name)
    if left < 2 * COARSEST:
        most = 2 ** (mantissa - 2 * COARSEST)
        raise BudgetError(
            f"{name} is {terms}: {left} of {mantissa} bits are left for two factors, which need {COARSEST} each; "
            f"allowed are at most {most}"
        )
    low = min(left // 2, MOST)
    return low, left - low


def power_of_two(exponent: Tensor) -> Tensor:
    """2^exponent as float64 from an integer tensor, built from bits: exact on every device. Range -1022 to 1023.

    >>> power_of_two(torch.tensor([-3, 10])).tolist()
    [0.125, 1024.0]
    """
    return ((exponent.to(torch.int64) + 1023) << 52).view(torch.float64)


def row_grid(x: Tensor, bits: int) -> Tensor:
    """Round each row (last axis) of a float64 tensor to integers of at most 2^bits times the row's own unit.

    Adding and subtracting C >= 2^m max|x|, m = 53 - ``bits``, rounds to a multiple of the unit in the last place of the
    sum. C need not be a power of two. Say 2^k <= C < 2^(k+1). Sums of 2^k or more are multiples of 2^(k-52), and
    max|x| < 2^(k+1-m) is less than 2^bits of it. Sums below 2^k have half that unit; a row has one only if C - max|x| <
    2^k, so that max|x| < 2^k / (2^m - 1), which is at most 2^bits units after rounding, for bits <= 25. At least
    bits - 1 bits of the largest entry survive. A maximum does not depend on order, and the rest is elementwise and
    correctly rounded. `docs/theory/numerics.md` has the argument in full.

    >>> row_grid(torch.tensor([[1.0, 0.3]], dtype=torch.float64), 4).tolist()
    [[1.0, 0.25]]
    """
    largest = x.abs().amax(dim=-1, keepdim=True)
    pull = largest.mul_(2.0 ** (MANTISSA - bits)).add_(FLOOR)  # the floor is lost unless the whole row is below 2^-220
    return (x + pull).sub_(pull)


def rounder(step: float, largest: float, name: str = "value") -> float:
    """The constant c for which (x + c) - c rounds |x| <= ``largest`` to a multiple of the power of two ``step``.

    Raises BudgetError naming ``name`` where no constant does.

    >>> c = rounder(0.25, 100.0)
    >>> (3.3 + c) - c
    3.25
    """
    mantissa, _ = math.frexp(step)
    if mantissa != 0.5:
        raise BudgetError(f"{name}: step {step} is no power of two")
    if largest / step > 2.0 ** (MANTISSA - 2):
        raise BudgetError(f"{name}: {largest} is more than 2^51 steps of {step}")
    return 1.5 * 2.0 ** (MANTISSA - 1) * step


def weight_grid(matrix: Tensor, bits: int) -> Tensor:
    """Float64 copy of a weight, each row (one output) on its own grid of at most 2^bits units.

    Unlike `row_grid` it spends log2 and exponent instructions to keep bits - 1 bits or more: it runs once.
    """
    wide = matrix.detach().to(torch.float64)
    exponent = torch.frexp(wide.abs().amax(dim=-1, keepdim=True)).exponent.clamp_min(-300)  # as FLOOR
    unit = power_of_two(exponent - bits)
    return (wide / unit).round_().mul_(unit)
