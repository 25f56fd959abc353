"""One pass over several texts as tensors: which token stands where and sees what.

A text of length l lies in slots 0 to l - 1 of its row, position and slot being the same number; node i on trial lies in
slot l + i and has the position of its depth. Rows of a pass that read fewer tokens repeat their last one, in its own
slot: what is written twice is the same, so there is no padding token, no slot for it and no mask that hides it.
Shapes: R rows, T new tokens of a row, N nodes on trial, S slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reference.cache.slots import Places

FREE = 16
"""Tokens of padding in a pass that cost less than another pass would."""


class Piece(NamedTuple):
    """What one row reads: ``text`` tokens after ``length`` stored ones, then nodes below nodes that are there already.

    ``tokens`` are all new tokens; ``parents`` and ``depths`` (1 below the text) are those of all nodes on trial
    after the read, the last of which are new.
    """

    tokens: Sequence[int]
    text: int
    length: int
    parents: Sequence[int] = ()
    depths: Sequence[int] = ()

    @property
    def below(self) -> int:
        """Length of the text after the read: slot of the first node."""
        return self.length + self.text

    @property
    def old(self) -> int:
        """Nodes that were there before."""
        return len(self.parents) - (len(self.tokens) - self.text)

    @property
    def start(self) -> int:
        """Slot of the first new token; the others follow."""
        return self.length if self.text else self.length + self.old

    @property
    def line(self) -> bool:
        """Whether the nodes follow each other as if they were text: a node of depth i + 1 is then node i."""
        return list(self.depths) == list(range(1, len(self.depths) + 1))

    @property
    def end(self) -> int:
        """One more than the last slot in use after the read."""
        return self.below + len(self.parents)


@dataclass(frozen=True)
class Layout:
    """A pass: tokens (R, T), positions (T,) or (R, T), places, ``end`` of the slots that are looked at, visibility.

    ``visible`` is boolean, (T, end) or (R, 1, T, end), or None where every token sees every slot below ``end``.
    """

    tokens: Tensor
    positions: Tensor
    places: Places
    end: int
    visible: Tensor | None


def lay_out(pieces: Sequence[Piece], device: torch.device | str) -> Layout:
    """Tensors of one pass. Rows that stand at the same slot and read equally many text tokens need no slot numbers.

    >>> lay_out([Piece([5, 6], 1, 3, [-1], [1]), Piece([7], 1, 9)], "cpu").places.tolist()
    [[3, 4], [9, 9]]
    """
    first, count = pieces[0].start, len(pieces[0].tokens)
    alike = all(piece.start == first and len(piece.tokens) == count for piece in pieces)
    if alike and all(piece.line for piece in pieces):
        return _same(pieces, first, count, device)
    width = max(len(piece.tokens) for piece in pieces)
    end = max(piece.end for piece in pieces)
    numbers = torch.tensor([_numbers(piece, width) for piece in pieces], device=device)  # (R, 3, T)
    tokens, positions, limits = numbers.unbind(1)
    starts = torch.tensor([(piece.start, piece.below, len(piece.tokens) - 1) for piece in pieces], device=device)
    places: Places = slice(first, first + count)
    if not alike:
        places = starts[:, :1] + torch.minimum(torch.arange(width, device=device), starts[:, 2:])  # (R, T)
    seen = None
    nodes = max(len(piece.parents) for piece in pieces)
    if nodes:
        seen = torch.from_numpy(np.stack([_seen(piece, width, nodes) for piece in pieces])).to(device)
    return Layout(tokens, positions, places, end, visible_slots(limits, starts[:, 1], seen, end))


def _same(pieces: Sequence[Piece], start: int, count: int, device: torch.device | str) -> Layout:
    """All rows read ``count`` tokens from slot ``start`` on, of text or of a line of nodes: slot and position agree."""
    end = start + count
    tokens = torch.tensor([list(piece.tokens) for piece in pieces], device=device)
    visible = None if count == 1 else torch.ones(count, end, dtype=torch.bool, device=device).tril_(start)
    return Layout(tokens, torch.arange(start, end, device=device), slice(start, end), end, visible)


def _numbers(piece: Piece, width: int) -> list[list[int]]:
    """Tokens, positions and numbers of text slots seen, (3, T)."""
    below, old = piece.below, piece.old
    positions = [*range(piece.length, below), *(below - 1 + depth for depth in piece.depths[old:])]
    limits = [*range(piece.length + 1, below + 1), *[below] * (len(piece.parents) - old)]
    more = width - len(piece.tokens)
    return [[*row, *row[-1:] * more] for row in ([int(token) for token in piece.tokens], positions, limits)]


def _seen(piece: Piece, width: int, nodes: int) -> NDArray[np.bool_]:
    """Which nodes each new token sees (T, N): a node its ancestors and itself, a token of the text none."""
    bits: list[int] = []
    for node, parent in enumerate(piece.parents):
        bits.append((bits[parent] if parent >= 0 else 0) | 1 << node)
    rows = [0] * piece.text + bits[piece.old :]
    rows += rows[-1:] * (width - len(rows))
    size = (nodes + 7) // 8
    packed = np.frombuffer(b"".join(row.to_bytes(size, "little") for row in rows), dtype=np.uint8)
    return np.unpackbits(packed.reshape(width, size), axis=1, bitorder="little")[:, :nodes].astype(bool)


def visible_slots(limits: Tensor, first: Tensor, seen: Tensor | None, size: int) -> Tensor:
    """Boolean (R, 1, T, size): the slots below limits (R, T), and slot first (R,) + n where seen (R, T, N) names n.

    Limits of tokens that see nodes are at most ``first``; ``seen`` may have one row, (1, T, N), for all.
    """
    rows, new = limits.shape
    nodes = 0 if seen is None else seen.shape[-1]
    text = torch.arange(size + nodes, device=limits.device) < limits[..., None]  # (R, T, size + N)
    if seen is None:
        return text.unsqueeze(1)
    node = first[:, None] + torch.arange(nodes, device=limits.device)  # (R, N)
    index = node[:, None].expand(rows, new, nodes)  # those of a row with fewer nodes may lie in the N slots cut off
    return text.scatter_(2, index, seen.expand(rows, new, nodes))[:, None, :, :size]


def tree_layout(lengths: Tensor, depths: Tensor, ancestors: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (R, T), places (R, T) and visibility (R, 1, T, size) of one tree below each text, from tensors only.

    lengths (R,) of the texts; depths (T,) or (R, T) of the nodes, 1 for those right below the text; ancestors boolean
    (T, T) or (R, T, T), True where a node (row) sees a node (column), itself included. A tree begins with the last
    token of the text, if that is not stored yet. No value is looked at by the host, all shapes follow from shapes and
    ``size``: the call can be part of a captured graph. Nothing is checked; lengths + T <= size is up to the caller.

    >>> ancestors = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]]).bool()
    >>> made = tree_layout(torch.tensor([2]), torch.tensor([1, 2, 2]), ancestors, 6)
    >>> made[0].tolist(), made[1].tolist()
    ([[2, 3, 3]], [[2, 3, 4]])
    >>> made[2][0, 0].int().tolist()
    [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 1, 0]]
    """
    new = ancestors.shape[-1]
    text = lengths[:, None]
    places = text + torch.arange(new, device=lengths.device)
    positions = (text + depths - 1).expand(places.shape)
    seen = ancestors if ancestors.dim() == 3 else ancestors[None]
    return positions, places, visible_slots(text.expand(places.shape), lengths, seen, size)


def group(sizes: Sequence[int]) -> list[list[int]]:
    """Reads (by number) that share a pass, larger ones first.

    k reads of at most m tokens cost a pass over k m tokens. So reads shorter than m / 2 go into another pass, unless
    all padding of the group is at most `FREE` tokens: a pass has at most twice the tokens that are read, or `FREE`
    more.

    >>> group([1, 1, 300, 1, 5])
    [[2], [4, 0, 1, 3]]
    """
    groups: list[list[int]] = []
    largest = padding = 0
    for read in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        padding += largest - sizes[read]
        if not groups or (2 * sizes[read] < largest and padding > FREE):
            groups.append([])
            largest, padding = sizes[read], 0
        groups[-1].append(read)
    return groups
