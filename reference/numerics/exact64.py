"""exact64: every reduction in float64, on operands so coarse that it is exact. Pure torch, any device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reference.numerics.grid import MANTISSA, row_grid, split_bits, weight_grid


class Weight64(NamedTuple):
    """A matrix (N, K) on its grid, the bits left for the other operand, and a bias (N,) or None."""

    matrix: Tensor
    bits: int
    bias: Tensor | None

    def row_norms(self) -> Tensor:
        """Euclidean norm of each row (N,), rounded up a little; the same bits on every device.

        The squares of half a row add up exactly: at most K / 2 integers of 2 b <= 54 - log2 K bits.
        """
        squares = sum((half * half).sum(dim=-1) for half in self.matrix.chunk(2, dim=-1))
        return torch.as_tensor(squares).sqrt_().mul_(1 + 2.0**-20)


@dataclass(frozen=True)
class Exact64:
    """Sums of K products of a-bit by b-bit integers with a + b + log2 K <= 53; see `reference.numerics.grid`.

    Weights are put on their grid once: that is the model's definition. Activations are float64 between operations.
    ``mantissa`` exists for tests that overdraw the budget; nothing is promised for another value than 53.
    """

    name: str = "exact64"
    mantissa: int = MANTISSA
    exact: bool = True
    stream: torch.dtype = torch.float64

    def weight(self, matrix: Tensor, bias: Tensor | None = None, *, out: torch.dtype = torch.float64) -> Weight64:
        """Prepare a matrix (N, K). BudgetError naming K if too few bits are left. ``out`` is not used: float64."""
        bits, own = split_bits(matrix.shape[-1], "input width K", self.mantissa)
        return Weight64(weight_grid(matrix, own), bits, None if bias is None else bias.detach().to(torch.float64))

    def linear(self, x: Tensor, weight: Weight64) -> Tensor:
        """x W^T + bias for x (..., K): float64 (..., N)."""
        y = F.linear(row_grid(x.to(torch.float64), weight.bits), weight.matrix)
        return y if weight.bias is None else y.add_(weight.bias)

    def norm_weight(self, matrix: Tensor, gain: Tensor, *, out: torch.dtype = torch.float64) -> Weight64:
        """Prepare the matrix that follows a root-mean-square norm, with the norm's gain (K,) in its columns."""
        width = matrix.shape[-1]
        return self.weight(matrix.detach().to(torch.float64) * gain.detach().to(torch.float64) * math.sqrt(width))

    def norm_linear(self, x: Tensor, weight: Weight64, eps: float) -> Tensor:
        """`linear` of the normalised x, one grid for both sums: y = W x sqrt(K) / sqrt(sum x^2 + K eps).

        By Cauchy and Schwarz |y_c| is at most the norm of row c: no input can leave that range.
        """
        rows = row_grid(x, weight.bits)  # 2 bits + log2 K <= 53, so the sum of squares is exact, too
        size = (rows * rows).sum(dim=-1, keepdim=True).add_(x.shape[-1] * eps).sqrt_()
        return F.linear(rows, weight.matrix).div_(size)
