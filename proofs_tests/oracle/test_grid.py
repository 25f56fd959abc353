"""The grids that the oracle assumes are those of the generators, and samples meet the law that follows from them."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
import torch

from specmath.oracle import law_of
from specmath.oracle.grid import JAX, NUMPY, PYTHON, TORCH, Grid

DRAWS = 100_000


def on_grid(values: np.ndarray, grid: Grid) -> bool:
    """Whether all values lie on the grid, and on no coarser one (which misses an odd multiple with 2^-100000)."""
    multiples = values.astype(np.float64) * grid.size
    whole = np.floor(multiples) == multiples
    return bool(whole.all() and (multiples % 2 == 1).any() and (values >= 0).all() and (values < 1).all())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("call", ["rand", "uniform_"])
def test_torch(dtype: str, call: str) -> None:
    kind = getattr(torch, dtype)
    drawn = torch.rand(DRAWS, dtype=kind) if call == "rand" else torch.empty(DRAWS, dtype=kind).uniform_()
    assert on_grid(drawn.double().numpy(), TORCH[dtype])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(), (7,), (DRAWS,)])
def test_torch_in_half_precision(dtype: str, shape: tuple[int, ...]) -> None:
    """From one seed the draws are those of float32, rounded, and 1.0 becomes 0.0: value by value what the grid says."""
    kind, grid = getattr(torch, dtype), TORCH[dtype]
    for seed in range(200 if not shape or shape == (7,) else 1):
        torch.manual_seed(seed)
        drawn = torch.rand(shape, dtype=kind).double()
        torch.manual_seed(seed)
        points = (torch.rand(shape).double() * grid.size).long().numpy()
        order = (points + grid.wrapped) % grid.size  # the last points come first, as 0.0
        assert np.array_equal(grid.values(order), drawn.numpy())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_grid_is_in_order(dtype: str) -> None:
    grid, kind = TORCH[dtype], getattr(torch, dtype)
    points = np.unique(np.concatenate([np.arange(0, grid.size, 997), np.arange(5000), grid.size - 1 - np.arange(5000)]))
    values = grid.values(points)
    assert (np.diff(values) >= 0).all()
    assert torch.equal(torch.from_numpy(values).to(kind).double(), torch.from_numpy(values)), "no value of the dtype"
    for threshold in values[:: len(values) // 50]:
        for inclusive in (False, True):
            cut = grid.below(float(threshold), inclusive=inclusive)
            around = grid.values(np.clip([cut - 1, cut], 0, grid.size - 1))
            assert cut == 0 or around[0] < threshold or (inclusive and around[0] == threshold)
            assert cut == grid.size or around[1] > threshold or (not inclusive and around[1] == threshold)


@pytest.mark.parametrize("dtype", NUMPY)
def test_numpy(dtype: str) -> None:
    assert on_grid(np.random.default_rng(0).random(DRAWS, dtype=dtype), NUMPY[dtype])  # type: ignore[arg-type]


def test_python() -> None:
    assert on_grid(np.array([random.random() for _ in range(DRAWS)]), PYTHON)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_jax(dtype: str) -> None:
    jax = pytest.importorskip("jax")
    drawn = jax.random.uniform(jax.random.key(0), (DRAWS,), dtype=dtype)
    assert on_grid(np.asarray(drawn.astype("float32")), JAX[dtype])


@pytest.mark.parametrize("bits", [23, 25])
def test_another_grid_is_seen(bits: int) -> None:
    assert not on_grid(torch.rand(DRAWS).double().numpy(), Grid(bits))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.999])
def test_sampled_law_of_low_precision(dtype: torch.dtype, threshold: float) -> None:
    """Frequency of ``u <= threshold``: a correct law fails with 1e-9 (Hoeffding), TV 0.005 passes with 1e-9."""

    def test() -> bool:
        return bool(torch.rand((), dtype=dtype) <= threshold)

    count, bound = 2_000_000, 0.0025
    assert 2 * np.exp(-2 * count * bound**2) < 1e-9
    frequency = float((torch.rand(count, dtype=dtype) <= threshold).double().mean())
    assert abs(frequency - float(law_of(test)[True])) < bound


def test_below() -> None:
    grid = Grid(3)
    values = [Fraction(k, 8) for k in range(8)]
    for threshold in (0.0, 0.1, 0.125, 0.5, 0.99, 1.0, 2.0, -0.5, float("inf")):
        assert grid.below(threshold, inclusive=False) == sum(value < threshold for value in values)
        assert grid.below(threshold, inclusive=True) == sum(value <= threshold for value in values)
    assert grid.below(float("nan"), inclusive=True) == 0
