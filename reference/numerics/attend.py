"""Softmax-weighted sums over keys that lie in any order, with holes, exactly the same bits each time (float64).

Scores: query and key rows are on grids of their own, so a scalar product is exact. Weights: exp(score - largest) is
rounded to a fixed grid, a hidden key's weight is exactly 0. Mixing: values are on one grid per column, because keys
are summed with each other. Every sum is exact: in which slot a key lies and how many slots are hidden does not matter.
Shapes: B batch, H query heads, G key-value heads (H = G R), T queries, S slots, d head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reference.numerics.elementwise import tanh
from reference.numerics.exponential import exp_
from reference.numerics.grid import FLOOR, BudgetError, rounder, row_grid, split_bits
from reference.numerics.kernels import usable

KERNEL_WIDTH = 256
"""Wider heads take the library's products on CUDA as well."""

HIDDEN = -(2.0**100)
"""Added to the score of a hidden key: its weight is exactly 0 as long as one key of the row is visible."""


@dataclass(frozen=True)
class AttentionBudget:
    """Bits for heads of ``width`` and at most ``context`` slots; BudgetError where too few are left.

    >>> AttentionBudget.of(width=32, context=512)
    AttentionBudget(width=32, context=512, score_bits=24, weight_bits=22, value_bits=22)
    """

    width: int
    context: int
    score_bits: int
    weight_bits: int
    value_bits: int

    @classmethod
    def of(cls, width: int, context: int) -> AttentionBudget:
        score, _ = split_bits(width, "head width")
        weight, value = split_bits(context, "context")
        return cls(width, context, score, weight, value)


def additive(visible: Tensor | None) -> Tensor | None:
    """Float64 mask for `weights` from a boolean one (True where a key is seen); None stays None (all keys seen)."""
    if visible is None:
        return None
    if visible.dtype != torch.bool:
        raise ValueError(f"visible: dtype is {visible.dtype}; allowed is torch.bool, True where a key is seen")
    return (~visible).to(torch.float64).mul_(HIDDEN)


def weights(scores: Tensor, mask: Tensor | None, bits: int) -> Tensor:
    """exp(score - largest visible score) of each row, rounded to multiples of 2^-bits. Overwrites ``scores``.

    A row that sees no key gets equal weights: finite, and of no meaning.
    """
    pull = rounder(2.0**-bits, 1.0)
    if mask is not None:
        scores = scores.add_(mask)
    return exp_(scores.sub_(scores.amax(dim=-1, keepdim=True))).add_(pull).sub_(pull)


def grouped(query: Tensor, heads: int) -> Tensor:
    """(B, H, T, d) as (B, G, R T, d): the queries that share a key-value head stand in one matrix."""
    batch, _, new, width = query.shape
    return query.reshape(batch, heads, -1, width) if new > 1 else query.view(batch, heads, -1, width)


def spread(mixed: Tensor, heads: int) -> Tensor:
    """(B, G, R T, d) back to (B, H, T, d)."""
    return mixed.reshape(mixed.shape[0], heads, -1, mixed.shape[-1])


def scored(query: Tensor, key: Tensor, mask: Tensor | None, bits: int) -> Tensor:
    """Weights (B, G, R T, S) of queries (B, H, T, d) and keys (B, G, S, d) that are on their grids already."""
    batch, heads, new, _ = query.shape
    scores = grouped(query, key.shape[1]) @ key.transpose(-1, -2)
    if mask is None:
        return weights(scores, None, bits)
    slots = key.shape[2]
    by_row = scores.view(batch, key.shape[1], heads // key.shape[1], new, slots)
    return weights(by_row, mask.unsqueeze(-4) if mask.dim() > 3 else mask, bits).view(scores.shape)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, budget: AttentionBudget) -> Tensor:
    """Mixed values (B, H, T, d) of operands on their grids: rows for query and key, one grid per column for values.

    The scale is part of the query. ``mask`` is `additive`'s: (T, S), (B, 1, T, S) or None. On CUDA a kernel gives the
    same bits where `reference.numerics.kernels.usable` allows it.
    """
    if max(key.shape[-1], value.shape[-1]) <= KERNEL_WIDTH and usable(query.device):
        from reference.numerics.kernels.attention import attend as kernel

        return kernel(query, key, value, mask, budget.weight_bits)
    return plain_attend(query, key, value, mask, budget)


def plain_attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, budget: AttentionBudget) -> Tensor:
    """`attend` by the library's matrix products."""
    weight = scored(query, key, mask, budget.weight_bits)
    mixed = (weight @ value).div_(weight.sum(dim=-1, keepdim=True))
    return spread(mixed, query.shape[1])


def products(query: Tensor, key: Tensor, budget: AttentionBudget) -> Tensor:
    """Exact scalar products (B, G, R T, S) of query and key rows, each rounded to its grid."""
    rows = row_grid(query.to(torch.float64), budget.score_bits)
    columns = row_grid(key.to(torch.float64), budget.score_bits)
    return grouped(rows, key.shape[1]) @ columns.transpose(-1, -2)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    visible: Tensor | None,
    *,
    scale: float,
    context: int,
    cap: float | None = None,
) -> Tensor:
    """softmax(cap tanh(scale q k / cap)) v for any floating operands, whatever the size of the values; float64 out.

    query (B, H, T, d), key (B, G, S, d), value (B, G, S, d'), visible boolean (T, S) or (B, 1, T, S); ``context`` is
    the largest number of slots S ever used: it decides the grid, so it must be the same in calls that are compared.
    No range of values is assumed: a key's weight is multiplied by the largest entry of its value, whose row is divided
    by it, and the weighted row is put on its grid then. Raises BudgetError if S > context or too few bits are left.

    >>> one = torch.ones(1, 1, 2, 4)
    >>> attention(one, one, one, None, scale=0.5, context=16)[0, 0, 0].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    slots = key.shape[2]
    if slots > context:
        raise BudgetError(f"context is {context}; the call has {slots} slots. Declare the largest number of slots")
    budget = AttentionBudget.of(key.shape[-1], context)
    batch, heads, new, _ = query.shape
    scores = products(query, key, budget).mul_(scale)
    if cap is not None:
        scores = tanh(scores.mul_(1 / cap)).mul_(cap)
    mask = additive(visible)
    shared = heads // key.shape[1]
    by_row = scores.view(batch, key.shape[1], shared, new, slots)
    if mask is not None and mask.dim() == 4:
        mask = mask.unsqueeze(2)  # (B, 1, 1, T, S)
    weight = weights(by_row, mask, budget.weight_bits).view(scores.shape)
    wide = value.to(torch.float64)
    largest = wide.abs().amax(dim=-1, keepdim=True).add_(FLOOR)  # (B, G, S, 1)
    pull = rounder(2.0**-budget.value_bits, 1.0)
    unit = (wide / largest).add_(pull).sub_(pull)
    weighted = row_grid(weight * largest.transpose(-1, -2), budget.weight_bits)
    mixed = (weighted @ unit).div_(weight.sum(dim=-1, keepdim=True))
    return spread(mixed, heads)
