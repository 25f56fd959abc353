"""The bit budget, argued again in whole numbers: what the grid promises, and that sums on it are the rational sums."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from proofs_tests.numerics.helpers import exact_products, fractions, normal, same, unit_of
from reference.numerics.exact64 import Exact64
from reference.numerics.grid import BudgetError, power_of_two, rounder, row_grid, split_bits, weight_grid
from reference.numerics.int8 import WIDEST, Int8

ordinary = st.floats(-(2.0**100), 2.0**100, allow_nan=False)
rows = st.lists(ordinary, min_size=1, max_size=12)


@given(rows, st.integers(2, 25))
@settings(max_examples=200)
def test_rows_are_few_units(row: list[float], bits: int) -> None:
    """At most 2^bits units of one power of two, and no further off than half of 2^(2-bits) of the largest entry."""
    x = torch.tensor([row], dtype=torch.float64)
    got = fractions(row_grid(x, bits))[0]
    largest = max(abs(Fraction(v)) for v in row)
    assert max(abs(v) for v in got) <= 2**bits * unit_of(got)
    for value, rounded in zip(row, got, strict=True):
        assert abs(Fraction(value) - rounded) <= largest / 2 ** (bits - 1) / 2 + Fraction(1, 2**300)


@given(st.integers(2, 25), st.integers(-60, 60), st.integers(-3, 3), st.integers(0, 2**20))
@settings(max_examples=200)
def test_rows_at_the_edge_of_a_power_of_two(bits: int, exponent: int, off: int, small: int) -> None:
    """The constant near a power of two: sums fall below it for one sign and not for the other."""
    edge = math.ldexp(1.0, exponent) * (1 + off * 2.0**-52)
    row = [edge, -edge, edge * small * 2.0**-21, -edge * small * 2.0**-21]
    got = fractions(row_grid(torch.tensor([row], dtype=torch.float64), bits))[0]
    assert max(abs(v) for v in got) <= 2**bits * unit_of(got)


@given(rows, rows, st.integers(2, 25))
def test_a_row_is_alone(one: list[float], other: list[float], bits: int) -> None:
    width = max(len(one), len(other))
    pair = torch.zeros(2, width, dtype=torch.float64)
    pair[0, : len(one)] = torch.tensor(one, dtype=torch.float64)
    pair[1, : len(other)] = torch.tensor(other, dtype=torch.float64)
    assert same(row_grid(pair, bits)[1:], row_grid(pair[1:], bits))


@given(rows, st.integers(2, 30))
def test_weights_are_few_units(row: list[float], bits: int) -> None:
    got = fractions(weight_grid(torch.tensor([row], dtype=torch.float64), bits))[0]
    largest = max(abs(Fraction(v)) for v in row)
    assert max(abs(v) for v in got) <= 2**bits * unit_of(got)
    for value, rounded in zip(row, got, strict=True):
        assert abs(Fraction(value) - rounded) <= largest / 2**bits + Fraction(1, 2**300)


@given(st.integers(1, 70), st.integers(1, 4), st.integers(0, 10**6), st.sampled_from([0.0, 8.0, 30.0]))
@settings(max_examples=40)
def test_float64_sum_is_the_rational_sum(width: int, count: int, seed: int, spread: float) -> None:
    """x W^T in float64 equals the same sum over the rationals: nothing was rounded, so no order can matter."""
    arithmetic = Exact64()
    weight = arithmetic.weight(normal(3, width, seed=seed, spread=spread))
    x = row_grid(normal(count, width, seed=seed + 1, spread=spread).double(), weight.bits)
    assert fractions(F.linear(x, weight.matrix)) == exact_products(x, weight.matrix)


def worst_case(width: int, mantissa: int) -> tuple[Tensor, Tensor]:
    """Operands as large and as odd as a budget of ``mantissa`` bits allows, all of one sign: the last sum is full."""
    bits, own = split_bits(width, mantissa=mantissa)
    x = torch.full((1, width), 2.0**bits - 1, dtype=torch.float64)
    weight = torch.full((1, width), 2.0**own - 1, dtype=torch.float64)
    weight[0, 1::2] -= 2.0  # not all alike
    return x, weight


@pytest.mark.parametrize("width", [32, 64, 1024, 4096])
def test_the_budget_is_sharp(width: int) -> None:
    """53 bits hold the worst case exactly, 54 do not."""
    x, weight = worst_case(width, 53)
    assert fractions(F.linear(x, weight)) == exact_products(x, weight)
    x, weight = worst_case(width, 54)
    assert max(max(row) for row in exact_products(x, weight)) > 2**53
    running, exact, rounded = 0.0, Fraction(0), 0
    for a, b in zip(x[0].tolist(), weight[0].tolist(), strict=True):
        running += a * b
        exact += Fraction(a) * Fraction(b)
        rounded += running != exact
    assert rounded, "a budget of 54 bits must round at least one partial sum of the worst case"


@pytest.mark.parametrize(("mantissa", "caught"), [(52, False), (53, False), (54, True), (55, True)])
def test_one_bit_too_many_is_caught(mantissa: int, caught: bool) -> None:
    """The same comparison on full operands of one sign, with arithmetics that take float64 for more than it is."""
    arithmetic = Exact64(mantissa=mantissa)
    generator = torch.Generator().manual_seed(5)
    weight = arithmetic.weight(torch.rand(8, 64, generator=generator, dtype=torch.float64).mul_(0.1).add_(0.9))
    x = torch.rand(8, 64, generator=generator, dtype=torch.float64).mul_(0.1).add_(0.9)
    rows = row_grid(x, weight.bits)
    wrong = fractions(F.linear(rows, weight.matrix)) != exact_products(rows, weight.matrix)
    assert wrong == caught


@given(st.integers(-40, 40), st.integers(1, 50), st.floats(-1, 1))
def test_rounder_rounds_to_the_step(exponent: int, bits: int, share: float) -> None:
    """The nearest multiple of the step, even up to the largest number that is allowed."""
    step = 2.0**exponent
    value = share * step * 2.0**bits
    pull = rounder(step, step * 2.0**bits)
    assert Fraction((value + pull) - pull) == round(Fraction(value) / Fraction(step)) * Fraction(step)


def test_powers_of_two_from_bits() -> None:
    exponents = torch.arange(-1022, 1024)
    assert power_of_two(exponents).tolist() == [math.ldexp(1.0, e) for e in range(-1022, 1024)]


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e-310, 2.0**-299, 1e-80, 1e200])
def test_extreme_rows_stay_exact(value: float) -> None:
    """Products of two units never become subnormal, where a float64 holds fewer bits than the budget counts on."""
    x = torch.tensor([[value, -value / 3, value / 7]], dtype=torch.float64)
    got = row_grid(x, 22)
    unit = unit_of(fractions(got)[0])
    assert not got.any() or unit >= Fraction(1, 2**354)
    tiny = row_grid(torch.tensor([[2.0**-300, 2.0**-310, 2.0**-320]], dtype=torch.float64), 22)
    assert fractions(F.linear(got, tiny)) == exact_products(got, tiny)


def test_long_sums_are_refused() -> None:
    assert split_bits(2**29) == (12, 12)
    with pytest.raises(BudgetError, match=r"context is 536870913.*at most 536870912"):
        split_bits(2**29 + 1, "context")
    with pytest.raises(BudgetError, match="width is 0"):
        split_bits(0, "width")
    with pytest.raises(BudgetError, match=r"step 3\.0"):
        rounder(3.0, 1.0)
    with pytest.raises(BudgetError, match=r"2\^51"):
        rounder(1.0, 2.0**52)


def test_int8_sums_fit_32_bits() -> None:
    assert WIDEST * 127**2 < 2**31 <= (WIDEST + 1) * 127**2
    with pytest.raises(BudgetError, match="input width K is 133145"):
        Int8().weight(torch.zeros(1, WIDEST + 1))
    full = torch.ones(1, WIDEST)
    assert Int8().linear(full, Int8().weight(full)).item() == pytest.approx(WIDEST, rel=1e-6)
