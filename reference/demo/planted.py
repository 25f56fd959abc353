"""Mistakes of tree decoding that leave a text plausible, planted in the target: the equality check must see each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from reference.cache import Rows, RowState
from reference.cache.slots import Places
from reference.models.tiny import TinyModel


def slot_numbers(places: Places) -> Tensor:
    """Slots of the new tokens, (T,) or (R, T)."""
    return torch.arange(places.start, places.stop) if isinstance(places, slice) else places


def position_is_slot(positions: Tensor, places: Places, visible: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A node's position is that of its slot, not that of its depth. Chains do not notice."""
    return slot_numbers(places).to(positions.device), visible


def sees_siblings(positions: Tensor, places: Places, visible: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A token sees all slots up to its own, those of its siblings among them."""
    if visible is None:
        return positions, None
    slots = slot_numbers(places).to(visible.device)
    seen = torch.arange(visible.shape[-1], device=visible.device) <= slots[..., None]  # (T, S) or (R, T, S)
    return positions, (seen if seen.dim() == 2 else seen[:, None]).expand(visible.shape)


class Planted:
    """A target whose passes are laid out by ``change(positions, places, visible)``, or one that does not move kept
    paths to the end of their texts (``moves`` False)."""

    def __init__(self, model: TinyModel, change: Callable[..., Any] | None = None, *, moves: bool = True) -> None:
        self._model, self._change, self._moves = model, change, moves
        self.vocabulary_size, self.context_length = model.vocabulary_size, model.context_length

    def cache(self, rows: int = 1) -> Rows:
        prepared, change = self._model.prepared, self._change

        def forward(tokens: Tensor, slots: Any, positions: Tensor, places: Places, end: int,
                    visible: Tensor | None, rows: Any) -> Tensor:  # fmt: skip
            if change is not None:
                positions, visible = change(positions, places, visible)
                positions = positions.clamp_max(self.context_length - 1)  # slots may lie beyond the last position
            return prepared(tokens, slots, positions, places, end, visible, rows)

        limits = {"vocabulary_size": self.vocabulary_size, "context_length": self.context_length}
        made = Rows(forward, prepared.slots, rows, size=prepared.context, **limits)
        if not self._moves:
            made.keep = lambda state, start, path: None
        return made

    def start(self) -> RowState:
        return self.cache().start()


DEFECTS: dict[str, Callable[[TinyModel], Planted]] = {
    "positions by slot": lambda model: Planted(model, position_is_slot),
    "siblings visible": lambda model: Planted(model, sees_siblings),
    "kept paths not moved": lambda model: Planted(model, moves=False),
}
"""What is wrong, in few words, and the target in which it is."""
