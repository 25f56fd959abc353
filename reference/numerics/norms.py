"""Root-mean-square and layer norms whose sums are exact (float64).

A division by a number is written as a product with its inverse: that is what CUDA makes of it, and CPUs do not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.numerics.grid import row_grid, split_bits


def _sum_of_squares(x: Tensor) -> Tensor:
    """Sum of squares of the last axis of a float64 tensor, exact for the rows' grid: 2 bits + log2 K <= 53."""
    bits, _ = split_bits(x.shape[-1], "normalised width")
    rows = row_grid(x, bits)
    return (rows * rows).sum(dim=-1, keepdim=True)


def rms_norm(x: Tensor, gain: Tensor | None, eps: float) -> Tensor:
    """x gain / sqrt(mean(x^2) + eps) over the last axis; float64.

    Raises BudgetError for rows of more than 2^29 entries.

    >>> rms_norm(torch.tensor([3.0, 4.0]), None, 0.0).mul(12.5**0.5)
    tensor([3., 4.], dtype=torch.float64)
    """
    wide = x.to(torch.float64)
    y = wide / _sum_of_squares(wide).mul_(1 / x.shape[-1]).add_(eps).sqrt_()
    return y if gain is None else y.mul_(gain)


def layer_norm(x: Tensor, gain: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """(x - mean) gain / sqrt(variance + eps) + bias over the last axis; float64.

    The mean is an exact sum over the rows' grid, divided; the centred row gets a grid of its own for the variance.

    >>> layer_norm(torch.tensor([1.0, 3.0]), None, None, 0.0)
    tensor([-1.,  1.], dtype=torch.float64)
    """
    wide = x.to(torch.float64)
    bits, _ = split_bits(x.shape[-1], "normalised width")
    mean = row_grid(wide, bits).sum(dim=-1, keepdim=True).mul_(1 / x.shape[-1])
    centred = wide - mean
    y = centred.div_(_sum_of_squares(centred).mul_(1 / x.shape[-1]).add_(eps).sqrt_())
    if gain is not None:
        y = y.mul_(gain)
    return y if bias is None else y.add_(bias)
