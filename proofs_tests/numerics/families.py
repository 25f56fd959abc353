"""Small random transformers models of every supported family, widths that are no multiples of 64."""

from __future__ import annotations

from typing import Any

import torch

VOCABULARY, CONTEXT = 61, 64

SIZES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 12},
    "mistral": {"sliding_window": 5},
    "gemma": {"head_dim": 12},
    "gemma2": {"head_dim": 12, "sliding_window": 5},
    "gemma3_text": {"head_dim": 12, "sliding_window": 5},
    "gpt2": {},
    "phi": {"hidden_size": 64},
    "phi3": {},
    "olmo2": {},
    "gpt_neox": {},
}
"""model_type of each family's config and what it wants beyond the common sizes."""


def build(family: str, seed: int = 0, **more: Any) -> Any:
    """A causal model in float32 whose weights spread the logits: default ones give nearly equal logits.

    ``more`` sizes go into the config, under the names that the family gives them.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 40,
        "intermediate_size": 52,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4 if family == "gpt_neox" else 2,
        "max_position_embeddings": CONTEXT,
        **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id")),
        **SIZES[family],
    }
    if family == "gpt2":
        sizes = {"vocab_size": VOCABULARY, "n_positions": CONTEXT, "n_embd": 40, "n_layer": 2, "n_head": 4}
        sizes |= dict.fromkeys(("bos_token_id", "eos_token_id"))
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **(sizes | more))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=1.5 * parameter.shape[-1] ** -0.5)
    return model
