"""A cache with a row for each text: the `Cache` protocol for any network that is given as a callable.

The texts that live are rows 0 to k - 1. When one leaves, the last moves into its row, so a pass over all texts reads
keys and values where they lie. Texts that join take row k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from reference.cache.layout import Piece, group, lay_out
from reference.cache.slots import Places, RowIndex, Slots
from reference.models.growth import Growth, check_reads, check_rows
from reference.models.protocol import Read

AT_ONCE = 2**26
"""Bytes up to which all slots are made at once; larger caches start with `FIRST` slots a row and double."""

FIRST = 256


class Forward(Protocol):
    """A network as the cache calls it. R rows, T new tokens, V vocabulary."""

    def __call__(
        self,
        tokens: Tensor,
        slots: Slots,
        positions: Tensor,
        places: Places,
        end: int,
        visible: Tensor | None,
        rows: RowIndex,
    ) -> Tensor:
        """Logits (R, T, V) of tokens (R, T) at ``positions`` (T,) or (R, T).

        Their keys and values are written to ``places`` of ``rows``; each token sees the slots below ``end`` of its row
        that ``visible`` names: boolean (T, end) or (R, 1, T, end), or None for all. A row may hold a token several
        times, at one place.
        """
        ...


class Rows:
    """Texts of one network; see `reference.models.protocol.Cache` for `start` and `extend`.

    ``slots(rows, size)`` makes empty storage, ``size`` is the largest number of slots of a row: the context and as
    many more as nodes may be on trial beyond it. ``passes`` counts calls of the network. A text that meets NaN keeps
    it until it is closed; other rows, and the next text in the same row, do not see it.
    """

    def __init__(
        self,
        forward: Forward,
        slots: Callable[[int, int], Slots],
        rows: int = 1,
        *,
        size: int,
        vocabulary_size: int,
        context_length: int,
    ) -> None:
        check_rows(rows)
        self._forward, self._size, self.rows = forward, size, rows
        self._vocabulary_size, self._context_length = vocabulary_size, context_length
        self.slots = slots(rows, min(size, FIRST))
        if self.slots.size < size and self.slots.bytes // self.slots.size * size <= AT_ONCE:
            self.slots = slots(rows, size)
        self.passes = 0
        self._live: list[RowState] = []  # in the order of their rows
        self._written = [0] * rows  # slots of each row that are not known to be zero
        self._kept: list[tuple[RowState, int, list[int]]] = []  # paths that still have to move: text, start, nodes

    def start(self) -> RowState:
        """A text without tokens in row k; ValueError when every row is taken."""
        if len(self._live) == self.rows:
            raise ValueError(f"rows: all {self.rows} are taken; close a state first")
        state = RowState(self, len(self._live), Growth(self._vocabulary_size, self._context_length))
        self._live.append(state)
        return state

    @torch.no_grad()
    def extend(self, reads: Sequence[Read]) -> list[Tensor]:
        """Logits (T + N, V) of each read. Reads of very different sizes take several passes; see `layout.group`."""
        check_reads(self, reads)
        pieces = [self._piece(read) for read in reads]
        if self._kept:
            self.settle()
        need = max(piece.end for piece in pieces)
        if need > self.slots.size:
            self.slots = self.slots.grown(min(self._size, max(need, 2 * self.slots.size)))
        logits: list[Tensor] = [torch.empty(0)] * len(reads)
        for numbers in group([len(piece.tokens) for piece in pieces]) if len(reads) > 1 else [[0]]:
            numbers.sort(key=lambda number: reads[number].state.row)  # type: ignore[attr-defined]
            found = self._pass([reads[n].state for n in numbers], [pieces[n] for n in numbers])  # type: ignore[misc]
            for place, number in enumerate(numbers):
                logits[number] = found[place, : len(pieces[number].tokens)]
        for read in reads:
            read.state.growth.grow(read.tokens, read.parents)  # type: ignore[attr-defined]
        return logits

    def _piece(self, read: Read) -> Piece:
        """The read as the layout takes it, after all checks."""
        growth: Growth = read.state.growth  # type: ignore[attr-defined]
        growth.check(read.tokens, read.tree, read.parents)
        parents, depths = ([], []) if len(read.tokens) else (list(growth.parents), list(growth.depths))
        for parent in read.parents:
            parents.append(int(parent))
            depths.append(1 + (depths[parent] if parent >= 0 else 0))
        piece = Piece([*read.tokens, *read.tree], len(read.tokens), growth.length, parents, depths)
        if piece.end > self._size:
            left = self._size - piece.end + len(read.tree)
            raise ValueError(f"tree: {len(read.tree)} tokens; {left} slots are left, see spare")
        return piece

    def _pass(self, states: list[RowState], pieces: list[Piece]) -> Tensor:
        """One call of the network for states in the order of their rows: (R, T, V)."""
        device = self.slots.keys.device
        made = lay_out(pieces, device)
        first, last = states[0].row, states[-1].row
        rows: RowIndex = slice(first, last + 1)
        if last - first + 1 > len(states):
            rows = torch.tensor([state.row for state in states], device=device)
        for state, piece in zip(states, pieces, strict=True):
            self._written[state.row] = max(self._written[state.row], piece.end)
            if piece.text:
                state.growth.forget()  # their slots are written over
        self.passes += 1
        return self._forward(made.tokens, self.slots, made.positions, made.places, made.end, made.visible, rows)

    @torch.no_grad()
    def settle(self) -> None:
        """Move the paths that were kept to the ends of their texts, all in one step."""
        if not self._kept:
            return
        longest = max(len(path) for _, _, path in self._kept)
        paths = [[*path, *range(len(path), longest)] for _, _, path in self._kept]
        places = torch.tensor([[state.row, start] for state, start, _ in self._kept], device=self.slots.keys.device)
        self.slots.compact(places[:, 0], places[:, 1], torch.tensor(paths, device=places.device))
        self._kept = []

    def keep(self, state: RowState, start: int, path: list[int]) -> None:
        """Note a path that has to move; nothing does if its nodes stand behind the text already."""
        if path != list(range(len(path))):
            self._kept.append((state, start, path))

    @torch.no_grad()
    def leave(self, state: RowState) -> None:
        """Empty the row of a text and move the last text into it."""
        self.settle()
        row, last = state.row, self._live.pop()
        written = self._written[row]
        if last is not state:
            used = last.length + last.nodes
            self.slots.move(last.row, row, used)
            self.slots.clear(row, used, max(used, written))
            self._written[row], written = used, self._written[last.row]
            row, last.row = last.row, row
            self._live[last.row] = last
        self.slots.clear(row, 0, written)
        self._written[row] = 0


class RowState:
    """One text in a row of a `Rows`; see `reference.models.protocol.State`."""

    def __init__(self, cache: Rows, row: int, growth: Growth) -> None:
        self._cache: Rows | None = cache
        self.row, self.growth = row, growth

    @property
    def cache(self) -> Rows:
        return self._cache  # type: ignore[return-value]

    @property
    def length(self) -> int:
        return self.growth.length

    @property
    def nodes(self) -> int:
        return len(self.growth.parents)

    def extend(self, tokens: Sequence[int], tree: Sequence[int] = (), parents: Sequence[int] = ()) -> Tensor:
        """Logits (T + N, V). See `reference.models.protocol.Cache.extend`."""
        return self._open().extend([Read(self, tokens, tree, parents)])[0]

    def keep(self, path: Sequence[int]) -> None:
        """Append the nodes of ``path`` to the text and forget all others."""
        cache, start = self._open(), self.length
        self.growth.keep(path)
        cache.keep(self, start, [int(node) for node in path])

    def rewind(self, length: int) -> None:
        """Keep the first ``length`` tokens."""
        self._open()
        self.growth.rewind(length)

    def close(self) -> None:
        """Give the row back; closing twice does nothing."""
        if self._cache is not None:
            self._cache.leave(self)
            self._cache = None

    def stored(self) -> tuple[Tensor, Tensor]:
        """Copies of the keys and values (L, G, length, d) of the text."""
        cache = self._open()
        cache.settle()
        slots = cache.slots
        return tuple(part[:, self.row, :, : self.length].clone() for part in (slots.keys, slots.values))  # type: ignore[return-value]

    def _open(self) -> Rows:
        if self._cache is None:
            raise ValueError("state: it is closed; start another")
        return self._cache
