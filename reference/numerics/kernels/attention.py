"""`reference.numerics.attend.attend` in two passes over the keys, which may be cut anywhere.

The first pass finds the largest score of each part of the slots, the second adds up weights and weighted values, each
part by a program of its own and all into one place. The sums are exact, so neither the parts nor the order in which
they arrive can change a bit; nor can the slots of the keys, or how many queries there are.
Shapes as in `attend`: B batch, H = G R heads, T queries, S slots, d width; the R T queries of a key-value head are its
rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.numerics.grid import rounder
from reference.numerics.kernels.exponential import CONSTANTS, power
from reference.numerics.kernels.language import UNFUSED, jit, tl

TALL = 16
"""Rows of a tile."""

PROGRAMS = 512
"""About so many programs are started where there are slots enough."""


@jit()
def _scores(
    Q: tl.tensor, K: tl.tensor, MASK: tl.tensor, text: tl.tensor, head: tl.tensor, row: tl.tensor, rows: tl.tensor,
    slot: tl.tensor, end: tl.tensor, new: tl.tensor, shared: tl.tensor, width: tl.tensor, q_text: tl.tensor,
    q_head: tl.tensor, q_new: tl.tensor, k_text: tl.tensor, k_head: tl.tensor, k_slot: tl.tensor, m_text: tl.tensor,
    m_new: tl.tensor, MASKED: tl.constexpr, WIDTH: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Exact products of a tile of rows and slots plus the mask, -inf beyond the last row and slot."""
    d = tl.arange(0, WIDTH)
    which = (head * shared + row // new).to(tl.int64)
    at = Q + text * q_text + which * q_head + (row % new) * q_new
    q = tl.load(at[:, None] + d[None, :], mask=(row < rows)[:, None] & (d < width)[None, :], other=0.0)
    at = K + text * k_text + head * k_head + slot.to(tl.int64) * k_slot
    k = tl.load(at[None, :] + d[:, None], mask=(slot < end)[None, :] & (d < width)[:, None], other=0.0)
    inside = (row < rows)[:, None] & (slot < end)[None, :]
    scores = tl.dot(q, k, out_dtype=tl.float64)
    if MASKED:
        at = MASK + text * m_text + (row % new).to(tl.int64) * m_new
        scores += tl.load(at[:, None] + slot[None, :], mask=inside, other=0.0)
    return tl.where(inside, scores, -float("inf"))


@jit("rows", "slots", "new", "part")
def _peaks(
    Q: tl.tensor, K: tl.tensor, MASK: tl.tensor, PEAK: tl.tensor, rows: tl.tensor, slots: tl.tensor, new: tl.tensor,
    shared: tl.tensor, width: tl.tensor, part: tl.tensor, q_text: tl.tensor, q_head: tl.tensor, q_new: tl.tensor,
    k_text: tl.tensor, k_head: tl.tensor, k_slot: tl.tensor, m_text: tl.tensor, m_new: tl.tensor, HEADS: tl.constexpr,
    MASKED: tl.constexpr, WIDTH: tl.constexpr, TALL: tl.constexpr, LONG: tl.constexpr,
) -> None:  # fmt: skip
    """Largest score of each row among the slots of one part: PEAK (B G, parts, R T)."""
    pair = tl.program_id(0).to(tl.int64)
    text, head = pair // HEADS, pair % HEADS
    row = tl.program_id(1) * TALL + tl.arange(0, TALL)
    start = tl.program_id(2) * part
    end = tl.minimum(start + part, slots)
    peak = tl.full((TALL,), -float("inf"), tl.float64)
    for first in range(start, end, LONG):
        scores = _scores(
            Q, K, MASK, text, head, row, rows, first + tl.arange(0, LONG), end, new, shared, width,
            q_text, q_head, q_new, k_text, k_head, k_slot, m_text, m_new, MASKED, WIDTH,
        )  # fmt: skip
        peak = tl.maximum(peak, tl.max(scores, 1))
    tl.store(PEAK + (pair * tl.num_programs(2) + tl.program_id(2)) * rows + row, peak, mask=row < rows)


@jit("rows", "slots", "new", "part")
def _mix(
    Q: tl.tensor, K: tl.tensor, V: tl.tensor, MASK: tl.tensor, PEAK: tl.tensor, SUMS: tl.tensor, rows: tl.tensor,
    slots: tl.tensor, new: tl.tensor, shared: tl.tensor, width: tl.tensor, wide: tl.tensor, part: tl.tensor,
    q_text: tl.tensor, q_head: tl.tensor, q_new: tl.tensor, k_text: tl.tensor, k_head: tl.tensor, k_slot: tl.tensor,
    v_text: tl.tensor, v_head: tl.tensor, v_slot: tl.tensor, m_text: tl.tensor, m_new: tl.tensor, HEADS: tl.constexpr,
    MASKED: tl.constexpr, WIDTH: tl.constexpr, WIDE: tl.constexpr, TALL: tl.constexpr, LONG: tl.constexpr,
    PULL: tl.constexpr, FARTHEST: tl.constexpr, SQUARE: tl.constexpr, LINEAR: tl.constexpr, CONSTANT: tl.constexpr,
    SQUARINGS: tl.constexpr,
) -> None:  # fmt: skip
    """Adds one part's weighted values and weights to SUMS (B G, R T, wide + 1)."""
    pair = tl.program_id(0).to(tl.int64)
    text, head = pair // HEADS, pair % HEADS
    row = tl.program_id(1) * TALL + tl.arange(0, TALL)
    start = tl.program_id(2) * part
    end = tl.minimum(start + part, slots)
    e = tl.arange(0, WIDE)
    peak = tl.load(PEAK + pair * rows + row, mask=row < rows, other=0.0)
    mixed = tl.zeros((TALL, WIDE), dtype=tl.float64)
    total = tl.zeros((TALL,), dtype=tl.float64)
    for first in range(start, end, LONG):
        slot = first + tl.arange(0, LONG)
        scores = _scores(
            Q, K, MASK, text, head, row, rows, slot, end, new, shared, width,
            q_text, q_head, q_new, k_text, k_head, k_slot, m_text, m_new, MASKED, WIDTH,
        )  # fmt: skip
        weight = power(scores - peak[:, None], FARTHEST, SQUARE, LINEAR, CONSTANT, SQUARINGS)
        weight = (weight + PULL) - PULL  # beyond the last slot exp(-40) is left, which is rounded to 0
        at = V + text * v_text + head * v_head + slot.to(tl.int64) * v_slot
        v = tl.load(at[:, None] + e[None, :], mask=(slot < end)[:, None] & (e < wide)[None, :], other=0.0)
        mixed = tl.dot(weight, v, mixed, out_dtype=tl.float64)
        total += tl.sum(weight, 1)
    at = SUMS + (pair * rows + row) * (wide + 1)
    tl.atomic_add(at[:, None] + e[None, :], mixed, mask=(row < rows)[:, None] & (e < wide)[None, :])
    tl.atomic_add(at + wide, total, mask=row < rows)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    bits: int,
    *,
    part: int | None = None,
    long: int | None = None,
) -> Tensor:
    """Mixed values (B, H, T, d') of operands on their grids, as `reference.numerics.attend.attend` gives them.

    ``mask`` is float64 and added to the scores, (T, S) or (B, 1, T, S); weights are rounded to multiples of 2^-bits.
    ``part`` slots go to one program (default: so that there are enough of them), ``long`` of them at a time (default:
    what the fast memory of every GPU holds for widths to 256); neither changes a bit.
    """
    query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key, value))
    texts, all_heads, new, width = query.shape
    heads, slots, wide = key.shape[1], key.shape[2], value.shape[-1]
    shared, rows, pairs = all_heads // heads, all_heads // heads * new, texts * heads
    m_text = m_new = 0
    if mask is not None:
        mask = mask if mask.stride(-1) == 1 or slots == 1 else mask.contiguous()
        m_text, m_new = (mask.stride(0), mask.stride(2)) if mask.dim() == 4 else (0, mask.stride(0))
        m_text = 0 if mask.dim() == 4 and mask.shape[0] == 1 else m_text
    across = -(-rows // TALL)
    if long is None:
        long = 32 if _room(max(width, wide)) <= 64 else 16
    if part is None:
        part = max(-(-slots * pairs * across // PROGRAMS), 1)
    part = -(-part // long) * long
    grid = (pairs, across, -(-slots // part))
    peaks = torch.empty((pairs, grid[2], rows), dtype=torch.float64, device=query.device)
    sums = torch.zeros((pairs, rows, wide + 1), dtype=torch.float64, device=query.device)
    hidden = query if mask is None else mask
    q, k, v = query.stride()[:3], key.stride()[:3], value.stride()[:3]
    options = {"HEADS": heads, "MASKED": mask is not None, "WIDTH": _room(width), "TALL": TALL, "LONG": long}
    options |= {"num_stages": 2, **UNFUSED}
    _peaks[grid](query, key, hidden, peaks, rows, slots, new, shared, width, part, *q, *k, m_text, m_new, **options)
    peak = peaks.amax(dim=1)  # (B G, R T)
    _mix[grid](
        query, key, value, hidden, peak, sums, rows, slots, new, shared, width, wide, part, *q, *k, *v, m_text, m_new,
        WIDE=_room(wide), PULL=rounder(2.0**-bits, 1.0), **options, **CONSTANTS,
    )  # fmt: skip
    return (sums[..., :wide] / sums[..., wide:]).view(texts, all_heads, new, wide)


def _room(width: int) -> int:
    """The power of two, at least 16, that holds a width."""
    return max(16, 1 << (width - 1).bit_length())
