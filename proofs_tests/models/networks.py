"""Small transformers models of every family, and the judge: whole texts under transformers' own masks and cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from proofs_tests.cache.world import CONTEXT, SPARE, VOCABULARY, Op, World
from proofs_tests.numerics.families import build
from reference.models.transformers import TransformersModel
from reference.numerics import exactify

WINDOW = 5
"""Tokens of a sliding window: texts are several times as long."""

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "qwen3": {},
    "mistral": {"sliding_window": WINDOW},
    "gemma": {"num_key_value_heads": 1},
    "gemma2": {"sliding_window": WINDOW},
    "gemma3_text": {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
    "gpt2": {},
    "phi": {},
    "phi3": {"sliding_window": WINDOW},
    "olmo2": {},
    "gpt_neox": {},
}
"""What each family's config says beyond the common sizes: grouped heads, widths of 40 and 52, two layers."""

SLIDING = ("qwen2", "mistral", "gemma2", "gemma3_text", "phi3")


OPS: list[Op] = [("start", 0), ("start", 1), ("start", 2)]
"""Three texts that grow by turns in chains and trees; one is cut back, one leaves and another takes its row."""
for turn in range(8):
    OPS += [("read", turn), ("read", turn + 100), ("keep", turn)]
    OPS += {2: [("rewind", 1)], 4: [("close", 1), ("start", 3)], 6: [("rewind", 6)]}.get(turn, [])


def network(family: str, seed: int = 0, **more: Any) -> Any:
    """A network in float32 with the sizes of the worlds of `proofs_tests.cache`."""
    positions = "n_positions" if family == "gpt2" else "max_position_embeddings"
    return build(family, seed, **{"vocab_size": VOCABULARY, positions: CONTEXT, **FAMILIES[family], **more})


def model(family: str, arithmetic: str = "exact64", **more: Any) -> TransformersModel:
    return TransformersModel(network(family, **more), arithmetic, spare=SPARE)


class Whole:
    """Logits (n, V), keys and values (L, G, n, d) of whole texts by the library alone: its masks, its positions."""

    def __init__(self, network: Any, arithmetic: str | None, context: int = CONTEXT + SPARE) -> None:
        """``arithmetic`` None: the stock network."""
        self.network = network if arithmetic is None else exactify(network, arithmetic, context=context)
        self.known: dict[tuple[int, ...], tuple[Tensor, Tensor, Tensor]] = {}

    @torch.no_grad()
    def __call__(self, text: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        from transformers import DynamicCache

        key = tuple(text)
        if key not in self.known:
            stored: Any = DynamicCache()  # without the config it keeps what slides out of a window
            device = next(self.network.parameters()).device
            logits = self.network(torch.tensor([key], device=device), past_key_values=stored).logits[0]
            keys, values = (
                torch.stack([getattr(layer, name)[0] for layer in stored.layers]) for name in ("keys", "values")
            )
            self.known[key] = logits, keys, values
        return self.known[key]


@dataclass
class ModelWorld(World):
    """The operations of `proofs_tests.cache.world` on a `TransformersModel`."""

    prepared: Any
    judge: Any = field(default=None)

    def __post_init__(self) -> None:
        made: TransformersModel = self.prepared
        self.cache = made.cache(self.rows)
        self.judge = self.judge or Whole(made.network, made.arithmetic)
