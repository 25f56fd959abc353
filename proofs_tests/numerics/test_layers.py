"""Linear layers and norms: a row's bits depend on nothing but the row.

Why these tests are strong enough: libraries change kernels at row counts 1 to 4 and at tails of 4 and 16 columns, all
of which occur. Equality by luck would need a sum that happens not to be rounded; sums of arithmetics without a grid
are rounded in nearly every entry, as the planted ones at the end show.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from proofs_tests.numerics.helpers import ROWS, exact_products, fractions, normal, same, threads
from reference.numerics import ARITHMETICS, layer_norm, rms_norm
from reference.numerics.grid import row_grid
from reference.numerics.int8 import quantise

Layer = Callable[[Tensor], Tensor]
seeds = st.integers(0, 10**6)
widths = st.sampled_from([1, 2, 3, 7, 31, 48, 63, 64, 65, 100, 192, 257])


def differing(layer: Layer, x: Tensor, order: Tensor) -> int:
    """Rows (M, K) whose bits change among other rows, in another place, in a batch, behind padding."""
    alone = torch.cat([layer(x[i : i + 1].clone()) for i in range(x.shape[0])])
    wrong = sum(not same(a, b) for a, b in zip(layer(x), alone, strict=True))
    wrong += sum(not same(a, b) for a, b in zip(layer(x[order]), alone[order], strict=True))
    padded = layer(torch.cat([x.new_zeros(3, x.shape[1]), x, 100 * x[:2]]))[3 : 3 + x.shape[0]]
    wrong += sum(not same(a, b) for a, b in zip(padded, alone, strict=True))
    folded = layer(torch.stack([x, x.flip(0)]))
    wrong += sum(not same(a, b) for a, b in zip(folded[0], alone, strict=True))
    wrong += sum(not same(a, b) for a, b in zip(folded[1], alone.flip(0), strict=True))
    return wrong


def layers(name: str, width: int, height: int, seed: int) -> dict[str, Layer]:
    """A linear layer with bias, and a norm with the linear layer behind it."""
    a: Any = ARITHMETICS[name]
    plain = a.weight(normal(height, width, seed=seed, spread=3), normal(height, seed=seed + 1))
    behind = a.norm_weight(normal(height, width, seed=seed, spread=3), normal(width, seed=seed + 2))
    dtype = torch.float64 if name == "exact64" else torch.float32
    return {
        "linear": lambda x: a.linear(x, plain),
        "norm_linear": lambda x: a.norm_linear(x.to(dtype), behind, 1e-5),
    }


@pytest.mark.parametrize("name", ["exact64", "int8"])
@given(st.sampled_from(ROWS), widths, widths, seeds)
@settings(max_examples=20)
def test_linear_rows_are_alone(name: str, count: int, width: int, height: int, seed: int) -> None:
    x = normal(count, width, seed=seed + 3, spread=6)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    for what, layer in layers(name, width, height, seed).items():
        assert differing(layer, x, order) == 0, what


@pytest.mark.parametrize("name", ["exact64", "int8"])
def test_threads_do_not_matter(name: str) -> None:
    """Sizes at which the library splits the work."""
    x = normal(65, 257, seed=3)
    for layer in layers(name, 257, 900, 0).values():
        with threads(1):
            expected = layer(x)
        with threads(2):
            assert same(layer(x), expected)


@given(st.sampled_from(ROWS), widths, seeds)
@settings(max_examples=20)
def test_norm_rows_are_alone(count: int, width: int, seed: int) -> None:
    x = normal(count, width, seed=seed, spread=6)
    gain, bias = normal(width, seed=seed + 1), normal(width, seed=seed + 2)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    assert differing(lambda rows: rms_norm(rows, gain, 1e-6), x, order) == 0
    assert differing(lambda rows: layer_norm(rows, gain, bias, 1e-6), x, order) == 0


@given(widths, widths, seeds)
@settings(max_examples=20)
def test_order_of_the_sum(width: int, height: int, seed: int) -> None:
    """The input's columns in another order, zeros between them: the same bits, whatever the library does."""
    weight: Any = ARITHMETICS["exact64"].weight(normal(height, width, seed=seed, spread=6))
    rows = row_grid(normal(5, width, seed=seed + 1, spread=6).double(), weight.bits)
    order = torch.randperm(width, generator=torch.Generator().manual_seed(seed))
    expected = F.linear(rows, weight.matrix)
    assert same(F.linear(rows[:, order], weight.matrix[:, order]), expected)
    assert same(F.linear(F.pad(rows[:, order], (5, 2)), F.pad(weight.matrix[:, order], (5, 2))), expected)
    assert same((rows[:, None, :] * weight.matrix).sum(-1), expected)


@given(widths, seeds)
@settings(max_examples=20)
def test_order_of_a_norm(width: int, seed: int) -> None:
    """A row in another order has the same norm: every entry of the result keeps its bits."""
    x = normal(9, width, seed=seed, spread=6).double().div_(3)  # all 53 bits in use: float32 numbers add up exactly
    order = torch.randperm(width, generator=torch.Generator().manual_seed(seed))
    assert same(rms_norm(x[:, order], None, 1e-6), rms_norm(x, None, 1e-6)[:, order])
    assert same(layer_norm(x[:, order], None, None, 1e-6), layer_norm(x, None, None, 1e-6)[:, order])


@pytest.mark.parametrize("name", ["exact64", "int8"])
@pytest.mark.parametrize("width", [100, 1041, 5000])
def test_order_of_norm_and_linear_layer(name: str, width: int) -> None:
    """Widths on both sides of the one up to which float32 holds a sum of squares of 8-bit integers."""
    a: Any = ARITHMETICS[name]
    matrix, gain = normal(7, width, seed=1), normal(width, seed=2)
    x = (torch.rand(20, width, generator=torch.Generator().manual_seed(3)) + 0.5).to(a.stream)  # nearly full integers
    order = torch.randperm(width, generator=torch.Generator().manual_seed(4))
    expected = a.norm_linear(x, a.norm_weight(matrix, gain), 1e-5)
    assert same(a.norm_linear(x[:, order], a.norm_weight(matrix[:, order], gain[order]), 1e-5), expected)


@given(st.integers(1, 40), seeds)
@settings(max_examples=20)
def test_norm_is_exact_up_to_its_last_operations(width: int, seed: int) -> None:
    """Sum of squares of the gridded row equals the rational one."""
    from reference.numerics.grid import split_bits

    rows = row_grid(normal(1, width, seed=seed, spread=20).double(), split_bits(width)[0])
    assert [[rational_square(rows)]] == fractions((rows * rows).sum(-1, keepdim=True))


def rational_square(rows: Tensor) -> Any:
    return exact_products(rows, rows)[0][0]


@given(st.integers(1, 9), widths, widths, seeds)
@settings(max_examples=20)
def test_faithful_to_float64(count: int, width: int, height: int, seed: int) -> None:
    """exact64 within 1e-5 of the sum of absolute products, int8 within the error of two 8-bit roundings."""
    x, matrix = normal(count, width, seed=seed).double(), normal(height, width, seed=seed + 1).double()
    gain = normal(width, seed=seed + 2).double()
    truth, size = F.linear(x, matrix), F.linear(x.abs(), matrix.abs())
    normed = F.rms_norm(x, (width,), gain, 1e-5)
    for name, error in (("exact64", 2.0**-18), ("int8", 0.5)):
        a: Any = ARITHMETICS[name]
        y = a.linear(x, a.weight(matrix, out=torch.float64))
        reach = size if name == "exact64" else width * x.abs().amax(-1, True) * matrix.abs().amax(-1) / 127 * 2.1
        assert ((y - truth).abs() <= error * reach).all()
        z = a.norm_linear(x, a.norm_weight(matrix, gain, out=torch.float64), 1e-5)
        if name == "exact64":
            assert ((z - F.linear(normed, matrix)).abs() <= 1e-4 * F.linear(normed.abs(), matrix.abs()) + 1e-9).all()
    assert torch.allclose(rms_norm(x, gain, 1e-5), normed, rtol=1e-5, atol=1e-9)
    stock = F.layer_norm(x, (width,), gain, gain, 1e-5)
    assert torch.allclose(layer_norm(x, gain, gain, 1e-5), stock, rtol=1e-4, atol=1e-4)


def test_values_stay_in_the_range_that_the_weights_declare() -> None:
    """norm_linear's bound is attained: an input along a row of weights gives that row's norm, and no more."""
    for name in ("exact64", "int8"):
        a: Any = ARITHMETICS[name]
        weight = a.norm_weight(normal(6, 40, seed=1), torch.ones(40), out=torch.float64)
        bound = weight.row_norms()
        x = torch.cat([normal(50, 40, seed=2, spread=8).double(), weight.matrix[:6, :40].double()])
        y = a.norm_linear(x, weight, 1e-12).abs()
        assert (y <= bound).all()
        assert (y.amax(0) >= 0.95 * bound).all()


def native(x: Tensor, matrix: Tensor) -> Tensor:
    return F.linear(x, matrix)


def ungridded(x: Tensor, matrix: Tensor) -> Tensor:
    """The tempting near miss: float64 sums of float32 numbers without a grid."""
    return F.linear(x.double(), matrix.double())


@pytest.mark.parametrize("planted", [native, ungridded])
def test_planted_arithmetic_is_caught(planted: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Another order of the sum changes bits; random rows differ on any library, as the sums are rounded."""
    x, matrix = normal(9, 100, seed=1), normal(33, 100, seed=2)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(3))
    assert not torch.equal(planted(x, matrix), planted(x[:, order], matrix[:, order]))


@pytest.mark.parametrize("width", [1, 2, 63, 300, 2000])
def test_int8_without_its_kernel(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the 8-bit kernel overflows, floating products of the same integers take its place: the same bits."""
    a: Any = ARITHMETICS["int8"]
    matrix, x = normal(70, width, seed=1), normal(9, width, seed=2)
    matrix[:3] = matrix[:3].sign()  # the largest products, all at once
    x[:2] = matrix[:2, :]
    expected = {out: a.linear(x, a.weight(matrix, out=out)) for out in (torch.float32, torch.float64)}
    gain = torch.ones(width)
    normed = a.norm_linear(x, a.norm_weight(matrix, gain), 1e-5)
    monkeypatch.setattr("reference.numerics.int8.kernel_is_exact", lambda device: False)
    for out, rows in expected.items():
        weight = a.weight(matrix, out=out)
        assert weight.matrix.dtype != torch.int8
        assert same(a.linear(x, weight), rows)
    assert same(a.norm_linear(x, a.norm_weight(matrix, gain), 1e-5), normed)


def nearly_full(rows: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers that become integers from 114 to 127: float32 (rows, width), and what they become, int64."""
    x = torch.rand(rows, width, generator=torch.Generator().manual_seed(seed)).mul_(0.1).add_(0.95)
    return x, quantise(x)[0].to(torch.int64)


@pytest.mark.parametrize("width", [1200, 2080, 4160])
@pytest.mark.parametrize("kernel", [True, False])
def test_int8_sums_are_those_of_the_integers(width: int, kernel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of more than 24 bits, which float32 does not hold, against 64-bit integers: every odd one would show."""
    if not kernel:
        monkeypatch.setattr("reference.numerics.int8.kernel_is_exact", lambda device: False)
    a: Any = ARITHMETICS["int8"]
    (x, rows), (matrix, _) = nearly_full(9, width, 1), nearly_full(21, width, 2)
    columns = quantise(matrix.double())[0].to(torch.int64)
    weight = a.weight(matrix, out=torch.float64)
    sums = (rows[:, None] * columns).sum(-1)
    assert bool(((sums > 2**24) & (sums % 2 == 1)).any())
    assert same(a.linear(x, weight), sums * weight.scale * quantise(x)[1])


@pytest.mark.parametrize("width", [1500, 2080])
def test_int8_sums_of_squares_are_those_of_the_integers(width: int) -> None:
    """Behind a norm: widths from which on float32 does not hold the sum, against 64-bit integers rounded once."""
    a: Any = ARITHMETICS["int8"]
    x, rows = nearly_full(400, width, 1)
    matrix = normal(33, width, seed=2)
    weight = a.norm_weight(matrix, torch.ones(width))
    columns = quantise(matrix.double().mul_(math.sqrt(width)))[0].to(torch.int64)
    squares = (rows * rows).sum(-1, keepdim=True)
    assert bool(((squares > 2**24) & (squares % 2 == 1)).any())
    scale = quantise(x)[1]
    size = (width * 1e-5 / (scale * scale)).add_(squares.to(torch.float32)).sqrt_()
    expected = (rows @ columns.t()).to(torch.float32) * weight.scale / size
    assert same(a.norm_linear(x, weight, 1e-5), expected)


@pytest.mark.slow
def test_int8_on_older_processors() -> None:
    """A library told to use no 8-bit dot products overflows, is found out, and the results stay as they are."""
    code = (
        "import torch, hashlib; from reference.numerics import ARITHMETICS; from reference.numerics.int8 import *;"
        "torch.manual_seed(0); a = ARITHMETICS['int8']; m = torch.randn(70, 300); m[:3] = 1.0;"
        "y = a.linear(torch.cat([m[:3], torch.randn(5, 300)]), a.weight(m));"
        "print(hashlib.sha256(y.numpy().tobytes()).hexdigest(), kernel_is_exact('cpu'))"
    )
    found = set()
    for level in ("DEFAULT", "AVX2", "SSE41"):
        env = {**os.environ, "ONEDNN_MAX_CPU_ISA": level}
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        found.add(run.stdout.split()[0])
    assert len(found) == 1
