"""The package's own exp: its error, its bits, and that no operation of it is fused with another."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Callable

import mpmath
import pytest
import torch

from proofs_tests.numerics.helpers import same
from reference.numerics import elementwise, exponential
from reference.numerics.exponential import exp, exp_

BITS = "3d3f8eaf374f90f48c337b378df4282f"
"""Of the results for the 40,001 numbers of `numbers`: for all processors and devices; `test_golden` asks for others."""


def numbers() -> torch.Tensor:
    """Float64 from -45 to 45, made without any function whose bits could vary."""
    return torch.arange(-20000, 20001, dtype=torch.float64).mul_(45 / 20000)


def digest(x: torch.Tensor) -> str:
    return hashlib.sha256(x.cpu().numpy().tobytes()).hexdigest()[:32]


def by_hand(x: float) -> float:
    """The formula in Python's own floats: one rounding for each operation, nothing fused."""
    x = min(max(x, -40.0), 40.0)
    z = x * x
    b = (z * (1.0 / 384.0) + 160.0) * x
    a = z + 10240.0
    y = (a + b) / (a - b)
    for _ in range(5):
        y = y * y
    return y


def fused(x: float) -> float:
    """Planted: a + x x and z s + l in one rounding each, as a compiler would have it."""
    x = min(max(x, -40.0), 40.0)
    with mpmath.workprec(200):
        wide = mpmath.mpf(x)
        z = x * x
        b = float(mpmath.mpf(z) * (1.0 / 384.0) + 160) * x
        a = float(wide * wide + 10240)
    y = (a + b) / (a - b)
    for _ in range(5):
        y = y * y
    return y


def differing(formula: Callable[[float], float]) -> int:
    x = numbers()[::7]
    return sum(a != b for a, b in zip(exp(x).tolist(), map(formula, x.tolist()), strict=True))


def test_every_operation_is_rounded_by_itself() -> None:
    assert differing(by_hand) == 0


def test_fused_operations_are_caught() -> None:
    assert differing(fused) > 100


def test_bits() -> None:
    assert digest(exp(numbers())) == BITS


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is visible to torch")
def test_bits_on_the_device() -> None:
    """Both the kernel, where it is usable, and the sequence of library calls."""
    assert digest(exp(numbers().cuda())) == BITS
    assert digest(exponential.plain_(numbers().cuda())) == BITS


def test_error_of_weights() -> None:
    """2^-36 absolute for x <= 0, against 30 digits."""
    assert worst(exp, mpmath.exp, numbers()[:20001]) <= 2.0**-36


@pytest.mark.parametrize(
    ("own", "truth", "bound"),
    [
        (elementwise.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), 2.0**-36),
        (elementwise.tanh, mpmath.tanh, 2.0**-35),
        (elementwise.normal_tail, lambda x: mpmath.erfc(abs(x) / mpmath.sqrt(2)) / 2, 2.0**-36),
    ],
    ids=["sigmoid", "tanh", "normal_tail"],
)
def test_error_of_what_is_made_of_it(own: Callable, truth: Callable, bound: float) -> None:
    assert worst(own, truth, numbers()[::5]) <= bound


def test_a_coarser_approximation_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: four squarings and their constants, an error of 2^-31."""
    monkeypatch.setattr(exponential, "SQUARINGS", 4)
    monkeypatch.setattr(exponential, "SQUARE", 1.0 / 192.0)
    monkeypatch.setattr(exponential, "LINEAR", 80.0)
    monkeypatch.setattr(exponential, "CONSTANT", 2560.0)
    assert worst(exp, mpmath.exp, numbers()[:20001]) > 2.0**-36


def worst(own: Callable, truth: Callable, x: torch.Tensor) -> float:
    """Largest absolute difference."""
    with mpmath.workdps(30):
        return float(
            max(abs(mpmath.mpf(y) - truth(mpmath.mpf(v))) for v, y in zip(x.tolist(), own(x).tolist(), strict=True))
        )


def test_portions_layout_and_dtype() -> None:
    """A tensor longer than a portion, a transposed one, float32: elementwise the same numbers."""
    x = numbers()
    expected = exp(x)
    assert x.numel() > exponential.CHUNK
    assert same(torch.cat([exp(part) for part in x.split(999)]), expected)
    assert same(exp(x[:40000].view(200, 200).t()), expected[:40000].view(200, 200).t())
    narrow = x.float()
    assert same(exp(narrow), exp(narrow.double()).float())


def test_edges() -> None:
    x = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e300], dtype=torch.float64)
    y = exp_(x.clone())
    assert y[:2].tolist() == [1.0, 1.0]
    assert y[2] == y[5] == exp(torch.tensor(40.0, dtype=torch.float64))
    assert 0 < y[3].item() < 2.0**-57
    assert y[4].isnan()


def test_never_more_than_one_and_never_falling() -> None:
    """Weights are at most 1, and a larger score has no smaller weight once both are on a grid."""
    rng = random.Random(0)
    x = torch.tensor(sorted(-rng.expovariate(0.2) for _ in range(20000)), dtype=torch.float64)
    y = exp(x)
    assert y.max().item() <= 1.0
    for bits in (12, 22, 25):
        assert (y.mul(2.0**bits).round().diff() >= 0).all()


def test_by_hand_is_float64() -> None:
    """Python's floats are the format that the comparison above takes for granted."""
    assert struct.pack("<d", by_hand(-1.0)) == struct.pack("<d", exp(torch.tensor(-1.0, dtype=torch.float64)).item())
