"""`reference.numerics.exponential.exp_` in one pass over memory: the same operations in the same order."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from reference.numerics import pade
from reference.numerics.kernels.language import UNFUSED, jit, tl

BLOCK = 1024
CONSTANTS: dict[str, Any] = {
    "FARTHEST": pade.FARTHEST,
    "SQUARE": pade.SQUARE,
    "LINEAR": pade.LINEAR,
    "CONSTANT": pade.CONSTANT,
    "SQUARINGS": pade.SQUARINGS,
}
"""What `power` takes: its definition is in one place."""


@jit()
def power(
    x: tl.tensor, FARTHEST: tl.constexpr, SQUARE: tl.constexpr, LINEAR: tl.constexpr, CONSTANT: tl.constexpr,
    SQUARINGS: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """exp(x) of a float64 block, each operation rounded by itself."""
    x = tl.where(x < -FARTHEST, -FARTHEST, x)  # comparisons, because minimum and maximum lose NaN
    x = tl.where(x > FARTHEST, FARTHEST, x)
    z = x * x
    b = (z * SQUARE + LINEAR) * x
    a = z + CONSTANT
    y = (a + b) / (a - b)
    for _ in tl.static_range(SQUARINGS):  # pyright: ignore[reportGeneralTypeIssues]
        y = y * y
    return y


@jit("count")
def _exp(
    X: tl.tensor, count: tl.tensor, BLOCK: tl.constexpr, FARTHEST: tl.constexpr, SQUARE: tl.constexpr,
    LINEAR: tl.constexpr, CONSTANT: tl.constexpr, SQUARINGS: tl.constexpr,
) -> None:  # fmt: skip
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(X + index, mask=index < count, other=0.0)
    tl.store(X + index, power(x, FARTHEST, SQUARE, LINEAR, CONSTANT, SQUARINGS), mask=index < count)


def exp_(x: Tensor) -> Tensor:
    """In place, float64 and contiguous."""
    if x.numel():
        _exp[(-(-x.numel() // BLOCK),)](x, x.numel(), BLOCK=BLOCK, **CONSTANTS, **UNFUSED)
    return x
