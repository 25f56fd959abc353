"""The kernels on one device against the plain versions, bit by bit, on a few operands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from reference.numerics import attend, exponential, int8
from reference.numerics.grid import power_of_two, rounder, row_grid
from reference.numerics.kernels import attention, linear
from reference.numerics.kernels import exponential as powers

Pair = tuple[str, Tensor, Tensor]


def _normal(device: torch.device, generator: torch.Generator, *shape: int) -> Tensor:
    """Float64 numbers of sizes between 2^-4 and 2^4, made on the host: the same for every device."""
    size = power_of_two(torch.randint(-4, 5, shape, generator=generator))
    return (torch.randn(shape, generator=generator, dtype=torch.float64) * size).to(device)


def _powers(device: torch.device, generator: torch.Generator, thorough: bool) -> Iterator[Pair]:
    x = _normal(device, generator, 30000 if thorough else 3000)
    yield "exp", powers.exp_(x.clone()), exponential.plain_(x.clone())


def _linear(device: torch.device, generator: torch.Generator, thorough: bool) -> Iterator[Pair]:
    """One row and several tiles of rows, widths and heights with and without remainders, both dtypes on both sides."""
    shapes = ((1, 128, 64), (17, 200, 70)) if thorough else ((3, 200, 70),)
    kinds = (torch.float32, torch.float64)
    for rows, width, height in shapes:
        matrix, bias = _normal(device, generator, height, width), _normal(device, generator, height)
        x = _normal(device, generator, rows, width)
        x[0] = x[0].sign()  # quotients of 127 and sums as large as they get
        for kind in kinds:
            for out in kinds if thorough else kinds[:1]:
                weight = int8.Int8().weight(matrix, bias, out=out)
                weight = weight._replace(matrix=weight.matrix.to(torch.int8))  # floating on older processors
                name = f"{rows} rows of {width} {kind} to {height} {out}"
                given = x.to(kind)
                yield f"linear, {name}", int8.fused_linear(given, weight), int8.plain_linear(given, weight)
                pair = int8.fused_norm_linear(given, weight, 1e-5), int8.plain_norm_linear(given, weight, 1e-5)
                yield f"norm_linear, {name}", *pair
        given = x.to(kinds[0])
        given[-1, 3] = torch.nan
        yield "linear, NaN", int8.fused_linear(given, weight).isnan(), int8.plain_linear(given, weight).isnan()
    row = torch.arange(-127.0, 128.0, 0.5, device=device)[None]  # every tie between two integers
    integers, _, squares = linear.quantise(row, 1 / int8.LARGEST, int8.least(row.dtype))
    yield "ties", integers, int8.quantise(row)[0].to(torch.int8)
    yield "squares", squares, integers.long().square().sum(-1, keepdim=True).int()


def _attention(device: torch.device, generator: torch.Generator, thorough: bool) -> Iterator[Pair]:
    """One slot and several tiles, keys cut into parts of several sizes, masks of both shapes and none."""
    shapes = ((1, 1, 1, 1, 1, 16), (2, 2, 3, 7, 75, 20)) if thorough else ((2, 2, 3, 7, 75, 20),)
    for texts, heads, shared, new, slots, width in shapes:
        budget = attend.AttentionBudget.of(width, 128)
        query = row_grid(_normal(device, generator, texts, heads * shared, new, width), budget.score_bits)
        key = row_grid(_normal(device, generator, texts, heads, slots, width), budget.score_bits)
        pull = rounder(2.0 ** (8 - budget.value_bits), 2.0**8)
        value = (_normal(device, generator, texts, heads, slots, width).clamp_(-200, 200) + pull) - pull
        visible = torch.rand(texts, 1, new, slots, generator=generator).to(device) < 0.7
        visible[..., 0] = True
        masks = (attend.additive(visible), attend.additive(visible[0, 0]), None)
        for mask in masks if thorough else masks[:1]:
            plain = attend.plain_attend(query, key, value, mask, budget)
            for part, long in ((slots, 64), (32, 32), (16, 16)) if thorough else ((32, 32),):
                name = f"attend, {new} queries, {slots} slots by {part}, mask {None if mask is None else mask.dim()}"
                found = attention.attend(query, key, value, mask, budget.weight_bits, part=part, long=long)
                yield name, found, plain
        key[0, 0, 0, 1] = torch.nan
        found = attention.attend(query, key, value, None, budget.weight_bits)
        yield "attend, NaN", found.isnan(), attend.plain_attend(query, key, value, None, budget).isnan()


CHECKS = {"exp": _powers, "linear": _linear, "attend": _attention}


def differing(device: torch.device, *, thorough: bool = False, only: Iterable[str] = tuple(CHECKS)) -> list[str]:
    """Names of the cases in which a kernel's bits are not those of the plain version.

    Each variant of a kernel is compiled at its first call, so without ``thorough`` few cases run. ``only`` is a choice
    of `CHECKS`.
    """
    generator = torch.Generator().manual_seed(0)
    found = [case for name in only for case in CHECKS[name](device, generator, thorough)]
    return [name for name, kernel, plain in found if kernel.dtype != plain.dtype or not torch.equal(kernel, plain)]
