"""Storage of keys and values: every row has the same number of slots, and what stands where is the caller's business.

Shapes: L layers, B rows, G key-value heads, S slots, d head width; R rows and T tokens of one call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

RowIndex = slice | Tensor
"""Neighbouring rows as a slice, which is read without a copy, or any rows as numbers (R,)."""

Places = slice | Tensor
"""The slots of T new tokens: a slice if they are the same in every row, or slot numbers (R, T)."""


@dataclass(frozen=True)
class Slots:
    """Keys and values (L, B, G, S, d) of every slot.

    Slots that a mask hides must hold finite numbers: they are multiplied by zero. So they start as zeros, and a row
    that leaves is cleared before another text moves in.

    >>> slots = Slots.empty(1, 2, 1, 4, 3)
    >>> one = torch.ones(1, 2, 1, 3)
    >>> slots.write(0, slice(1, 2), slice(0, 2), one, 2 * one)
    >>> keys, values = slots.read(0, slice(0, 2), 2)
    >>> keys.sum((1, 2, 3)).tolist(), values.sum((1, 2, 3)).tolist()
    ([0.0, 6.0], [0.0, 12.0])
    """

    keys: Tensor
    values: Tensor

    @classmethod
    def empty(
        cls,
        layers: int,
        rows: int,
        heads: int,
        size: int,
        width: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> Slots:
        """Zeros."""
        shape = (layers, rows, heads, size, width)
        return cls(*(_zeros(shape, dtype, torch.device(device or "cpu")) for _ in range(2)))

    @property
    def rows(self) -> int:
        """Number of rows B."""
        return self.keys.shape[1]

    @property
    def size(self) -> int:
        """Number of slots S of a row."""
        return self.keys.shape[3]

    @property
    def bytes(self) -> int:
        """Memory of keys and values."""
        return self.keys.nbytes + self.values.nbytes

    def write(self, layer: int, rows: RowIndex, places: Places, key: Tensor, value: Tensor) -> None:
        """Store key and value (R, T, G, d) of one layer.

        A slot that is named twice must be given the same numbers each time: which of them stays is not defined.
        """
        if isinstance(places, slice):
            self.keys[layer][rows, :, places] = key.transpose(1, 2)
            self.values[layer][rows, :, places] = value.transpose(1, 2)
            return
        if isinstance(rows, slice):
            rows = torch.arange(rows.start or 0, (rows.start or 0) + places.shape[0], device=places.device)
        index = rows[:, None]
        self.keys[layer][index, :, places] = key
        self.values[layer][index, :, places] = value

    def read(self, layer: int, rows: RowIndex, end: int) -> tuple[Tensor, Tensor]:
        """Keys and values (R, G, end, d) of the slots below ``end``: a view for a slice of rows, else a copy."""
        keys, values = self.keys[layer, :, :, :end], self.values[layer, :, :, :end]
        return keys[rows], values[rows]

    def compact(self, rows: Tensor, start: Tensor, path: Tensor) -> None:
        """Move slot start + path[j] to start + j, for j = 0 to J - 1, in every layer.

        rows (R,) all different, start (R,), path (R, J). Rows with shorter paths are filled up with path[j] = j, which
        moves a slot to where it is. All is read before anything is written, so paths may overlap with what they are
        moved to; and no value of a tensor is looked at by the host.

        >>> slots = Slots.empty(1, 1, 1, 5, 1)
        >>> slots.keys[0, 0, 0, :, 0] = torch.arange(5.0)
        >>> slots.compact(torch.tensor([0]), torch.tensor([1]), torch.tensor([[1, 3]]))
        >>> slots.keys.flatten().tolist()
        [0.0, 2.0, 4.0, 3.0, 4.0]
        """
        index, first = rows[:, None], start[:, None]
        source = first + path  # (R, J)
        goal = first + torch.arange(path.shape[1], device=path.device)
        for store in (self.keys, self.values):
            store[:, index, :, goal] = store[:, index, :, source]  # the right side is a copy (R, J, L, G, d)

    def move(self, source: int, goal: int, used: int) -> None:
        """Copy the first ``used`` slots of one row to another."""
        for store in (self.keys, self.values):
            store[:, goal, :, :used] = store[:, source, :, :used]

    def clear(self, row: int, start: int = 0, end: int | None = None) -> None:
        """Zeros in the slots from ``start`` to ``end`` (default: all) of one row."""
        for store in (self.keys, self.values):
            store[:, row, :, start:end] = 0

    def grown(self, size: int) -> Slots:
        """The same content with ``size`` slots a row."""
        layers, rows, heads, old, width = self.keys.shape
        more = Slots.empty(layers, rows, heads, size, width, dtype=self.keys.dtype, device=self.keys.device)
        more.keys[:, :, :, :old], more.values[:, :, :, :old] = self.keys, self.values
        return more


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros; on the CPU as pages that the system makes at the first write to them, so that a short text does not pay
    for the whole context."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, dtype=np.uint8)).view(dtype).view(shape)
