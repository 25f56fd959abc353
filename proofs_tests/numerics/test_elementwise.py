"""Equal numbers give equal bits at every place of a tensor, and the functions are the functions they claim to be."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proofs_tests.numerics.helpers import threads
from reference.numerics import elementwise

Function = Callable[[Tensor], Tensor]
OWN: list[Function] = [
    elementwise.silu,
    elementwise.sigmoid,
    elementwise.gelu,
    elementwise.gelu_tanh,
    elementwise.quick_gelu,
    elementwise.relu_squared,
]
BUILDING: list[Function] = [
    torch.exp,
    torch.tanh,
    torch.erf,
    torch.sqrt,
    torch.reciprocal,
    torch.abs,
    torch.cos,
    torch.sin,
]


def places(function: Function, dtype: torch.dtype) -> int:
    """Number of places at which some of 64 numbers got other bits than alone: in rows, columns, tails and views."""
    generator = torch.Generator().manual_seed(7)
    numbers = torch.randn(64, generator=generator, dtype=torch.float64).mul_(3).abs_().to(dtype)
    alone = torch.cat([function(numbers[i : i + 1].clone()) for i in range(64)])
    wrong = 0
    for length in [*range(2, 41), 67, 100, 2051]:
        for turn in range(0, 64, 7):
            index = (torch.arange(length) + turn) % 64
            wrong += int((function(numbers[index]) != alone[index]).sum())
    grid = numbers[torch.arange(7 * 9) % 64].view(7, 9)
    wrong += int((function(grid.t()) != alone[torch.arange(63)].view(7, 9).t()).sum())
    wrong += int((function(torch.cat([numbers, numbers])[3:67]) != torch.cat([alone, alone])[3:67]).sum())
    return wrong


@pytest.mark.parametrize("function", OWN + BUILDING, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("count", [1, 2])
def test_bits_do_not_depend_on_the_place(function: Function, dtype: torch.dtype, count: int) -> None:
    with threads(count):
        assert places(function, dtype) == 0


@pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"),
    reason="library kernels without vector code have no tails",
)
def test_the_search_finds_library_kernels() -> None:
    """Planted: at least one library kernel treats tails differently, and the search above sees it."""
    stock: list[Function] = [F.silu, torch.sigmoid, F.gelu, lambda x: F.gelu(x, approximate="tanh"), torch.exp2]
    assert any(places(function, torch.float32) for function in stock)


@pytest.mark.parametrize(
    ("own", "stock"),
    [
        (elementwise.silu, F.silu),
        (elementwise.sigmoid, torch.sigmoid),
        (elementwise.gelu, F.gelu),
        (elementwise.gelu_tanh, lambda x: F.gelu(x, approximate="tanh")),
        (elementwise.quick_gelu, lambda x: x * torch.sigmoid(1.702 * x)),
        (elementwise.relu_squared, lambda x: F.relu(x) ** 2),
    ],
    ids=lambda f: getattr(f, "__name__", "stock"),
)
def test_values(own: Function, stock: Function) -> None:
    x = torch.linspace(-30, 30, 4001, dtype=torch.float64)
    assert ((own(x) - stock(x)).abs() <= 2.0**-36 * x.abs().clamp_min(1)).all()
    far = own(torch.tensor([-800.0, 800.0, 0.0], dtype=torch.float64))
    assert torch.isfinite(far).all()
    assert abs(far[0].item()) < 1e-14
    assert math.isclose(far[1].item(), stock(torch.tensor(800.0, dtype=torch.float64)).item())


@pytest.mark.parametrize("function", [f for f in OWN if f is not elementwise.sigmoid], ids=lambda f: f.__name__)
def test_the_largest_numbers(function: Function) -> None:
    """x times a factor between 0 and 1, or x^2: nothing of it becomes NaN, and the factor stays within its error."""
    inf = math.inf
    x = torch.tensor([1e300, inf, -1e300, -inf], dtype=torch.float64)
    top, infinite, bottom, least = function(x).tolist()
    if function is elementwise.relu_squared:
        assert (top, infinite, bottom, least) == (inf, inf, 0.0, 0.0)
        return
    assert (top, infinite) == (1e300, inf)
    assert 0 <= bottom / -1e300 <= 2.0**-36
    assert least <= 0  # whatever is left of the factor, but not NaN
    assert elementwise.sigmoid(x).tolist() == pytest.approx([1, 1, 0, 0], abs=2.0**-36)
