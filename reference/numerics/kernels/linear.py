"""int8: quantising rows, and products of 8-bit integers with the scales in the order of `reference.numerics.int8`.

Sums are 32-bit integers: tiles may be added in any order. What follows is elementwise, and each operation is rounded by
itself. Any number of rows from 0, any width, any height: nothing is padded.
Shapes: M rows, K width, N height of the weight.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.numerics.kernels.language import UNFUSED, jit, tl

WIDE, HIGH = 128, 64
"""Entries of K and of N that a program takes at a time."""


@jit()
def _quantise(
    X: tl.tensor, Q: tl.tensor, SCALE: tl.tensor, SQUARES: tl.tensor, width: tl.tensor, stride: tl.tensor,
    INVERSE: tl.constexpr, FLOOR: tl.constexpr, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """One row per program: its scale, its integers, the sum of their squares."""
    row = tl.program_id(0).to(tl.int64)
    k = tl.arange(0, BLOCK)
    largest = tl.zeros((BLOCK,), dtype=X.dtype.element_ty)  # pyright: ignore[reportAttributeAccessIssue]
    taint = tl.zeros((BLOCK,), dtype=X.dtype.element_ty)
    for start in range(0, width, BLOCK):
        x = tl.load(X + row * stride + start + k, mask=start + k < width, other=0.0)
        largest = tl.maximum(largest, tl.abs(x))  # which loses NaN
        taint += x - x
    scale = tl.max(largest, 0) * INVERSE + FLOOR + tl.sum(taint, 0)  # NaN where the row has one or is infinite
    tl.store(SCALE + row, scale)
    squares = tl.zeros((BLOCK,), dtype=tl.int32)
    for start in range(0, width, BLOCK):
        x = tl.load(X + row * stride + start + k, mask=start + k < width, other=0.0)
        # adding 1.5 2^52, in float32 1.5 2^23, leaves the nearest integer, ties to even, as round does
        if X.dtype.element_ty == tl.float64:
            nearest = (x / scale + 6755399441055744.0) - 6755399441055744.0
        else:  # a plain quotient of float32 is not correctly rounded
            nearest = (tl.div_rn(x, scale) + 12582912.0) - 12582912.0
        whole = nearest.to(tl.int32)
        squares += whole * whole
        tl.store(Q + row * width + start + k, whole.to(tl.int8), mask=start + k < width)
    tl.store(SQUARES + row, tl.sum(squares, 0))


@jit("rows")
def _products(
    Q: tl.tensor, W: tl.tensor, SCALE: tl.tensor, FACTOR: tl.tensor, BIAS: tl.tensor, Y: tl.tensor, rows: tl.tensor,
    height: tl.tensor, width: tl.tensor, stride: tl.tensor, DIVIDE: tl.constexpr, BIASED: tl.constexpr,
    TALL: tl.constexpr, HIGH: tl.constexpr, WIDE: tl.constexpr,
) -> None:  # fmt: skip
    """A tile (TALL, HIGH) of y = sums * scale, times or over the row's factor, plus bias."""
    m = (tl.program_id(1) * TALL + tl.arange(0, TALL)).to(tl.int64)
    n = (tl.program_id(0) * HIGH + tl.arange(0, HIGH)).to(tl.int64)
    k = tl.arange(0, WIDE)
    sums = tl.zeros((TALL, HIGH), dtype=tl.int32)
    for start in range(0, width, WIDE):
        inside = start + k < width
        q = tl.load(Q + m[:, None] * width + (start + k)[None, :], mask=(m < rows)[:, None] & inside[None, :], other=0)
        w = tl.load(
            W + n[None, :] * stride + (start + k)[:, None], mask=(n < height)[None, :] & inside[:, None], other=0
        )
        sums = tl.dot(q, w, sums, out_dtype=tl.int32)
    scale = tl.load(SCALE + n, mask=n < height, other=1.0)[None, :]
    factor = tl.load(FACTOR + m, mask=m < rows, other=1.0)[:, None]
    y = sums.to(SCALE.dtype.element_ty) * scale
    if DIVIDE:
        if Y.dtype.element_ty == tl.float64 or FACTOR.dtype.element_ty == tl.float64:
            y = y.to(tl.float64) / factor.to(tl.float64)
        else:
            y = tl.div_rn(y, factor)
    else:
        y = y * factor
    y = y.to(Y.dtype.element_ty)
    if BIASED:
        y = y + tl.load(BIAS + n, mask=n < height, other=0.0)[None, :]
    tl.store(Y + m[:, None] * height + n[None, :], y, mask=(m < rows)[:, None] & (n < height)[None, :])


def quantise(x: Tensor, inverse: float, floor: float) -> tuple[Tensor, Tensor, Tensor]:
    """Integers int8 (..., K), scales (..., 1) and sums of squares int32 (..., 1) of float32 or float64 rows."""
    x = x.contiguous()
    width = x.shape[-1]
    integers = torch.empty(x.shape, dtype=torch.int8, device=x.device)
    scale = torch.empty((*x.shape[:-1], 1), dtype=x.dtype, device=x.device)
    squares = torch.empty((*x.shape[:-1], 1), dtype=torch.int32, device=x.device)
    if scale.numel():
        block = min(max(1 << (width - 1).bit_length(), 16), 4096)
        _quantise[(scale.numel(),)](
            x, integers, scale, squares, width, width, INVERSE=inverse, FLOOR=floor, BLOCK=block, **UNFUSED
        )
    return integers, scale, squares


def linear(
    integers: Tensor, matrix: Tensor, scale: Tensor, factor: Tensor, bias: Tensor | None, *, divide: bool
) -> Tensor:
    """(sum_k q w) scale, times or divided by the rows' factors (..., 1), plus bias (N,): (..., N) in the scale's dtype.

    integers int8 (..., K), matrix int8 (N' >= N, K' >= K) whose rows are contiguous, scale (N,).
    """
    width, height = integers.shape[-1], scale.shape[0]
    rows = factor.numel()
    y = torch.empty((*integers.shape[:-1], height), dtype=scale.dtype, device=integers.device)
    if y.numel():
        tall = 16 if rows <= 16 else 32 if rows <= 32 else 64
        grid = (-(-height // HIGH), -(-rows // tall))
        _products[grid](
            integers, matrix, scale, factor, scale if bias is None else bias, y, rows, height, width, matrix.stride(0),
            DIVIDE=divide, BIASED=bias is not None, TALL=tall, HIGH=HIGH, WIDE=WIDE, **UNFUSED,
        )  # fmt: skip
    return y
