"""Planted defects of the cache: what a state stores, where it lies, what is seen, and where it moves."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from reference.cache import Layout, Piece, Rows, Slots, layout, rows

Planted = AbstractContextManager[Any]


def sibling_is_seen() -> Planted:
    """The mask shows a node the sibling before it."""
    real = layout._seen

    def seen(piece: Piece, width: int, nodes: int) -> np.ndarray:
        made, parents = real(piece, width, nodes), list(piece.parents)
        for node in range(piece.old, len(parents)):
            before = [other for other in range(node) if parents[other] == parents[node]]
            if before:
                made[piece.text + node - piece.old, before[-1]] = True
        return made

    return patch.object(layout, "_seen", seen)


def cousin_is_not_hidden() -> Planted:
    """The mask of a tree is that of a chain: every node sees all nodes before it."""
    real = layout._seen

    def seen(piece: Piece, width: int, nodes: int) -> np.ndarray:
        made = real(piece, width, nodes)
        for node in range(piece.old, len(piece.parents)):
            made[piece.text + node - piece.old, : node + 1] = True
        return made

    return patch.object(layout, "_seen", seen)


def empty_slot_is_seen() -> Planted:
    """Every token also sees the slot behind the last one in use, which is empty or holds what was rejected."""
    real = rows.lay_out

    def made(pieces: Sequence[Piece], device: Any) -> Layout:
        one = real(pieces, device)
        if one.visible is not None:
            more = torch.ones(*one.visible.shape[:-1], 1, dtype=torch.bool, device=one.visible.device)
            return replace(one, end=one.end + 1, visible=torch.cat([one.visible, more], dim=-1))
        return replace(one, end=one.end + 1)

    return patch.object(rows, "lay_out", made)


def hidden_by_token() -> Planted:
    """Token 0 is taken for padding: later tokens of the pass do not see it."""
    real = rows.lay_out

    def made(pieces: Sequence[Piece], device: Any) -> Layout:
        one = real(pieces, device)
        if one.visible is None or isinstance(one.places, Tensor):
            return one
        visible = one.visible.clone()
        start, count = one.places.start, one.tokens.shape[1]
        padding = (one.tokens == 0).all(dim=0)  # (T,)
        block = visible[..., start : start + count]
        block &= ~padding | torch.eye(count, dtype=torch.bool, device=padding.device)
        return replace(one, visible=visible)

    return patch.object(rows, "lay_out", made)


def position_is_slot() -> Planted:
    """A node's position is its slot, not its depth."""
    real = layout._numbers

    def numbers(piece: Piece, width: int) -> list[list[int]]:
        tokens, positions, limits = real(piece, width)
        for node in range(piece.old, len(piece.parents)):
            positions[piece.text + node - piece.old] = piece.below + node
        return [tokens, [min(one, piece.below + 7) for one in positions], limits]

    return patch.object(layout, "_numbers", numbers)


def _shifted(by: int, from_length: int) -> Planted:
    real = rows.lay_out

    def made(pieces: Sequence[Piece], device: Any) -> Layout:
        one = real(pieces, device)
        if min(piece.length for piece in pieces) < from_length:
            return one
        return replace(one, positions=one.positions + by)

    return patch.object(rows, "lay_out", made)


def positions_shifted() -> Planted:
    """All positions are one too large, the prompt's too: rotary attention is relative, so next to nothing changes."""
    return _shifted(1, 0)


def positions_shifted_after_prefill() -> Planted:
    """Positions after the prompt are one too large."""
    return _shifted(1, 1)


def _compacted(change: Any) -> Planted:
    real = Slots.compact

    def compact(self: Slots, index: Tensor, start: Tensor, path: Tensor) -> None:
        real(self, index, start, change(path))

    return patch.object(Slots, "compact", compact)


def compaction_off_by_one() -> Planted:
    """Kept nodes are fetched from one slot too far."""
    return _compacted(lambda path: path + 1)


def compaction_in_disorder() -> Planted:
    """Kept nodes are written in the reverse order."""
    real = Rows.keep
    return patch.object(Rows, "keep", lambda self, state, start, path: real(self, state, start, path[::-1]))


def no_compaction() -> Planted:
    """Kept nodes stay where they are."""
    return patch.object(Rows, "keep", lambda self, state, start, path: None)


def stale_after_rejection() -> Planted:
    """A slot that was written once is not written again: what was rejected stays."""
    real = Slots.write

    def write(self: Slots, layer: int, index: Any, places: Any, key: Tensor, value: Tensor) -> None:
        keys, values = self.keys[layer].clone(), self.values[layer].clone()
        real(self, layer, index, places, key, value)
        old = keys.abs().sum((1, 3)) > 0  # (B, S)
        old = old[:, None, :, None]
        self.keys[layer].copy_(torch.where(old, keys, self.keys[layer]))
        self.values[layer].copy_(torch.where(old, values, self.values[layer]))

    return patch.object(Slots, "write", write)


def _value_of_slot(change: Any, slot: int = 3) -> Planted:
    """Change the value of one slot in every row of the first layer, as it is written."""
    real = Slots.write

    def write(self: Slots, layer: int, index: Any, places: Any, key: Tensor, value: Tensor) -> None:
        real(self, layer, index, places, key, value)
        if layer == 0:
            self.values[0][:, :, slot] = change(self.values[0][:, :, slot])

    return patch.object(Slots, "write", write)


def value_zeroed() -> Planted:
    """One cached value is zero."""
    return _value_of_slot(torch.zeros_like)


def value_rounded() -> Planted:
    """One cached value went through bfloat16."""
    return _value_of_slot(lambda value: value.to(torch.bfloat16).to(value.dtype))


def moved_without_its_end() -> Planted:
    """A text that moves to another row leaves its last slot behind."""
    real = Slots.move
    return patch.object(Slots, "move", lambda self, source, goal, used: real(self, source, goal, used - 1))


def not_moved() -> Planted:
    """A text gets another row, and its keys and values stay where they were."""
    return patch.object(Slots, "move", lambda self, source, goal, used: None)


def batch_mates_mixed() -> Planted:
    """Two rows of a pass get each other's logits."""
    real = Rows._pass

    def mixed(self: Rows, states: Any, pieces: Any) -> Tensor:
        found = real(self, states, pieces)
        return found[[1, 0, *range(2, len(found))]] if len(found) > 1 else found

    return patch.object(Rows, "_pass", mixed)


DEFECTS = {
    "mask shows a rejected sibling": sibling_is_seen,
    "mask of a tree is that of a chain": cousin_is_not_hidden,
    "empty slot attended": empty_slot_is_seen,
    "padding recognised by token id": hidden_by_token,
    "position is the slot": position_is_slot,
    "all positions shifted": positions_shifted,
    "positions shifted after the prompt": positions_shifted_after_prefill,
    "compaction off by one": compaction_off_by_one,
    "compaction in reverse order": compaction_in_disorder,
    "compaction not done": no_compaction,
    "stale keys and values after rejection": stale_after_rejection,
    "one cached value zeroed": value_zeroed,
    "one cached value rounded to bfloat16": value_rounded,
    "row moved without its last slot": moved_without_its_end,
    "row moved without its content": not_moved,
    "batch mates mixed": batch_mates_mixed,
}
