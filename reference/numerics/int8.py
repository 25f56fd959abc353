"""int8: linear layers in 8-bit integers with 32-bit sums (`torch._int_mm`), everything else as in exact64.

CPUs without instructions for 8-bit dot products add pairs in 16 bits, which overflow: there the library's kernel is
wrong, and wrong in an order-dependent way. `kernel_is_exact` asks the kernel once; where it fails the same integers are
multiplied in float32 or float64, exact for them, with the same bits as result. On CUDA calls of few rows take a kernel
of `reference.numerics.kernels.linear`, where it is usable; the library's takes no less than 17 rows.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reference.numerics.grid import FLOOR, BudgetError
from reference.numerics.kernels import usable

LARGEST = 127
WIDEST = (2**31 - 1) // LARGEST**2
"""Largest number of products of two 8-bit integers whose sum any order keeps inside 32 bits: 133,144."""

FEW = 64
"""Rows up to which a CUDA call takes the kernels."""


@functools.cache
def kernel_is_exact(device: str) -> bool:
    """Whether `torch._int_mm` gives the true sums of the largest products on this type of device."""
    for rows, sign in ((17, 1), (64, -1)):
        x = torch.full((rows, 256), LARGEST, dtype=torch.int8, device=device)
        matrix = torch.full((64, 256), sign * LARGEST, dtype=torch.int8, device=device)
        sums = torch._int_mm(x, matrix.t())  # pyright: ignore[reportPrivateImportUsage]
        if not bool((sums == sign * 256 * LARGEST**2).all()):
            return False
    return True


class Weight8(NamedTuple):
    """Integers (N', K') padded for the device, a scale (N,) per row in the dtype of the result, bias (N,) or None.

    The integers are int8, or floating numbers where the 8-bit kernel is not to be trusted.
    """

    matrix: Tensor
    scale: Tensor
    bias: Tensor | None

    def row_norms(self) -> Tensor:
        """Euclidean norm of each row (N,) as it acts, rounded up a little."""
        rows = (
            self.matrix[: self.scale.shape[0]].to(torch.float64).square_().sum(dim=-1).sqrt_()
        )  # exact: whole numbers
        return rows.mul_(self.scale.to(torch.float64)).mul_(1 + 2.0**-20)


def least(dtype: torch.dtype) -> float:
    """Added to every scale, so that none is 0."""
    return FLOOR if dtype == torch.float64 else 2.0**-60


def quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Integers of at most 127 (as floats) and the scale of each row: x is about integers * scale."""
    scale = x.abs().amax(dim=-1, keepdim=True).mul_(1 / LARGEST).add_(least(x.dtype))
    return (x / scale).round_(), scale


@dataclass(frozen=True)
class Int8:
    """One 8-bit grid per weight row and per activation row; K <= 133,144. A model of its own, not a float32 copy.

    The integers are exact whatever kernel adds them; what follows is elementwise.
    """

    name: str = "int8"
    exact: bool = True
    stream: torch.dtype = torch.float32

    def weight(self, matrix: Tensor, bias: Tensor | None = None, *, out: torch.dtype = torch.float32) -> Weight8:
        """Prepare a matrix (N, K); results have dtype ``out``. Raises BudgetError naming K above 133,144."""
        height, width = matrix.shape
        if width > WIDEST:
            raise BudgetError(f"input width K is {width}; sums of 8-bit products fit 32 bits for K up to {WIDEST}")
        integers, scale = quantise(matrix.detach().to(torch.float64))
        if matrix.device.type == "cuda":  # its kernel takes multiples of 8 only
            integers = F.pad(integers, (0, -width % 8, 0, -height % 8))
        elif width == 1:  # torch 2.13 reads memory it never wrote when K is 1
            integers = F.pad(integers, (0, 1))
        kind = torch.float32 if LARGEST**2 * width <= 2**24 else torch.float64
        if kernel_is_exact(matrix.device.type):
            kind = torch.int8
        usable(matrix.device)  # asked now, because a graph may be captured later
        return Weight8(integers.to(kind), scale[:, 0].to(out), None if bias is None else bias.detach().to(out))

    def linear(self, x: Tensor, weight: Weight8) -> Tensor:
        """x W^T + bias for x (..., K): (..., N) in the dtype of the weight's scale."""
        return fused_linear(x, weight) if _few(x, weight) else plain_linear(x, weight)

    def norm_weight(self, matrix: Tensor, gain: Tensor, *, out: torch.dtype = torch.float32) -> Weight8:
        """Prepare the matrix that follows a root-mean-square norm, with the norm's gain (K,) in its columns."""
        width = matrix.shape[-1]
        return self.weight(
            matrix.detach().to(torch.float64) * gain.detach().to(torch.float64) * math.sqrt(width), out=out
        )

    def norm_linear(self, x: Tensor, weight: Weight8, eps: float) -> Tensor:
        """`linear` of the normalised x, one grid for both: y = W q sqrt(K) / sqrt(sum q^2 + K eps / scale^2)."""
        return fused_norm_linear(x, weight, eps) if _few(x, weight) else plain_norm_linear(x, weight, eps)


def _few(x: Tensor, weight: Weight8) -> bool:
    """Whether the kernels take this call: above `FEW` rows the library's larger tiles are the better choice."""
    return x.is_cuda and weight.matrix.dtype == torch.int8 and x.shape[:-1].numel() <= FEW and usable(x.device)


def plain_linear(x: Tensor, weight: Weight8) -> Tensor:
    """`Int8.linear` by the library's products."""
    integers, scale = quantise(x)
    y = _products(integers, weight).mul_(scale)
    return y if weight.bias is None else y.add_(weight.bias)


def plain_norm_linear(x: Tensor, weight: Weight8, eps: float) -> Tensor:
    """`Int8.norm_linear` by the library's products."""
    integers, scale = quantise(x)
    width = x.shape[-1]
    if LARGEST**2 * width > 2**24:  # the sum of squares must be exact as well
        squares = integers.to(torch.float64).square_().sum(dim=-1, keepdim=True).to(x.dtype)
    else:
        squares = (integers * integers).sum(dim=-1, keepdim=True)
    return _products(integers, weight).div_(_size(scale, squares, width, eps))


def fused_linear(x: Tensor, weight: Weight8) -> Tensor:
    """`plain_linear` in two kernels."""
    from reference.numerics.kernels import linear

    integers, scale, _ = linear.quantise(x, 1 / LARGEST, least(x.dtype))
    return linear.linear(integers, weight.matrix, weight.scale, scale, weight.bias, divide=False)


def fused_norm_linear(x: Tensor, weight: Weight8, eps: float) -> Tensor:
    """`plain_norm_linear` in two kernels and what `_size` takes."""
    from reference.numerics.kernels import linear

    integers, scale, squares = linear.quantise(x, 1 / LARGEST, least(x.dtype))
    size = _size(scale, squares.to(x.dtype), x.shape[-1], eps)
    return linear.linear(integers, weight.matrix, weight.scale, size, None, divide=True)


def _size(scale: Tensor, squares: Tensor, width: int, eps: float) -> Tensor:
    """sqrt(sum q^2 + K eps / scale^2) of each row."""
    return (width * eps / (scale * scale)).add_(squares).sqrt_()


def _products(integers: Tensor, weight: Weight8) -> Tensor:
    """Integer sums times the row scales of the weight, (..., N)."""
    rows = integers.to(weight.matrix.dtype).flatten(0, -2)
    count, width = rows.shape
    more = max(32 - count, 0) if rows.is_cuda else 0  # CUDA's kernel takes more than 16 rows
    if more or width != weight.matrix.shape[1]:
        rows = F.pad(rows, (0, weight.matrix.shape[1] - width, 0, more))
    if rows.dtype == torch.int8:
        sums = torch._int_mm(rows, weight.matrix.t())  # pyright: ignore[reportPrivateImportUsage]
    else:
        sums = F.linear(rows, weight.matrix).to(weight.scale.dtype)
    if rows.is_cuda:
        sums = sums[:count, : weight.scale.shape[0]]
    return (sums * weight.scale).unflatten(0, integers.shape[:-1])
