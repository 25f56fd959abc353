"""One pass of a transformers model over the slots of `reference.cache`: masks by kind of layer, keys into their places.

Shapes: R rows, T new tokens, G key-value heads, S slots that are looked at, d head width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reference.cache.slots import Places, RowIndex, Slots

WINDOWED = {"mistral", "phi3"}
"""Families whose layers all have the sliding window of the config, if it names one."""

BY_LAYER = {"qwen2", "qwen3", "gemma2", "gemma3"}
"""Families that take one mask for layers with the window and one for those without."""


def near(visible: Tensor, window: int) -> Tensor:
    """Of the keys that each token sees, (..., T, S), the last ``window`` by position, itself included.

    A token sees its ancestors and itself, all of them, and they lie in the order of their positions whatever else lies
    between them. So the position of a key is the number of keys seen before it, and no table of positions is needed.

    >>> near(torch.tensor([[True, True, True, False, True]]), 2).int().tolist()
    [[0, 0, 1, 0, 1]]
    """
    rank = visible.cumsum(-1, dtype=torch.int32)
    return visible & (rank > rank[..., -1:] - window)


class Stored(NamedTuple):
    """What a network stores for each token: L layers, G heads of ``width`` numbers, for keys and values alike."""

    layers: int
    heads: int
    width: int
    dtype: torch.dtype


class Written:
    """What transformers takes for its cache in one pass: new keys and values go to their places, and all are read."""

    def __init__(self, slots: Slots, rows: RowIndex, places: Places, end: int) -> None:
        self._slots, self._rows, self._places, self._end = slots, rows, places, end

    def update(self, key: Tensor, value: Tensor, layer_idx: int, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
        """Store key and value (R, G, T, d) of a layer; keys and values (R, G, S, d) of all slots looked at."""
        self._slots.write(layer_idx, self._rows, self._places, key.transpose(1, 2), value.transpose(1, 2))
        return self._slots.read(layer_idx, self._rows, self._end)


class Measured:
    """In place of `Written` for one token: notes what each layer would store."""

    def __init__(self) -> None:
        self.found: dict[int, tuple[Any, ...]] = {}

    def update(self, key: Tensor, value: Tensor, layer_idx: int, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
        """Note heads, width and dtype of the layer."""
        self.found[layer_idx] = (key.shape[1], key.shape[3], key.dtype), (value.shape[1], value.shape[3], value.dtype)
        return key, value


@dataclass(frozen=True)
class Passes:
    """A transformers model as a `reference.cache.Forward`.

    Attributes
    ----------
    network : a causal model that takes boolean masks, or ``added`` ones.
    family : its package in transformers.models.
    added : its attention adds the mask to the scores, as transformers' own "eager" does.
    """

    network: Any
    family: str
    added: bool = False

    @property
    def window(self) -> int | None:
        """The sliding window of the layers that have one, in tokens."""
        windows = self.family in WINDOWED | BY_LAYER
        return getattr(self.network.config, "sliding_window", None) if windows else None

    @torch.no_grad()
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
        """Logits (R, T, V); see `reference.cache.Forward`."""
        if visible is None:
            visible = torch.ones(tokens.shape[1], end, dtype=torch.bool, device=tokens.device)
        return self.network(
            input_ids=tokens,
            position_ids=positions if positions.dim() > 1 else positions[None],
            attention_mask=self.masks(visible if visible.dim() == 4 else visible[None, None]),
            past_key_values=Written(slots, rows, places, end),
            use_cache=True,
        ).logits

    def masks(self, visible: Tensor) -> Tensor | dict[str, Tensor]:
        """The mask as the family takes it, from a boolean one (1 or R, 1, T, S)."""
        window = self.window
        cut = visible if window is None or visible.shape[-1] <= window else near(visible, window)
        if self.family in BY_LAYER:
            return {"full_attention": self._given(visible), "sliding_attention": self._given(cut)}
        return self._given(cut)

    def _given(self, visible: Tensor) -> Tensor:
        if not self.added:
            return visible
        dtype = self.network.dtype
        hidden = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=visible.device)
        return torch.where(visible, torch.zeros_like(hidden), hidden)

    @torch.no_grad()
    def measure(self, device: torch.device) -> tuple[Stored, int]:
        """What is stored, and the number V of logits, from a pass over one token.

        Raises ValueError naming the first layer that stores something else than layer 0.
        """
        seen = Measured()
        one = torch.zeros(1, 1, dtype=torch.long, device=device)
        mask = self.masks(torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device))
        logits = self.network(
            input_ids=one, position_ids=one, attention_mask=mask, past_key_values=seen, use_cache=True
        ).logits
        if not seen.found or sorted(seen.found) != list(range(len(seen.found))):
            raise ValueError(f"network: layers {sorted(seen.found)} store keys; allowed are all layers from 0 on")
        first, _ = seen.found[0]
        for layer, (key, value) in sorted(seen.found.items()):
            if key != first or value != first:
                raise ValueError(
                    f"network: layer {layer} stores keys {key} and values {value}, layer 0 keys {first} (heads, width, "
                    "dtype); allowed is one size for all"
                )
        return Stored(len(seen.found), *first), logits.shape[-1]
