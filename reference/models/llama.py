"""A stock Llama, small enough to read: RMSNorm, rotary positions, grouped-query attention, gated MLP, tied embedding.

Parameter names are those of ``transformers.LlamaForCausalLM``, so weights move between the two without a mapping.
It reads whole texts and keeps nothing: training and the judges of the decoders use it as it is, decoders use
`reference.numerics.PreparedLlama`, which has a cache. Shapes in comments: B batch, T tokens, H query heads, G key-value
heads, d head width, D model width, V vocabulary.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class LlamaConfig:
    """The fields of a stock Llama ``config.json`` that this model reads.

    All sizes are counts; ``rope_theta`` is the rotary base. Unknown fields of the file are checked by `read` against
    the values this implementation assumes, so that a different architecture is refused instead of misread.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0

    @classmethod
    def read(cls, path: str | Path) -> LlamaConfig:
        """Read ``config.json``; raises ValueError naming the first field that a stock Llama would not have."""
        raw: dict[str, Any] = json.loads(Path(path).read_text())
        assumed = {
            "model_type": "llama",
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "attention_bias": False,
            "mlp_bias": False,
        }
        unsaid = assumed | {"tie_word_embeddings": False}  # what a stock config means where it says nothing
        for key, value in assumed.items():
            found = raw.get(key, unsaid[key])
            if found != value:
                raise ValueError(f"{path}: {key} is {found!r}; this model allows only {value!r}")
        rope = raw.get("rope_parameters") or {}
        if rope.get("rope_type", "default") != "default":
            raise ValueError(f"{path}: rope_type is {rope['rope_type']!r}; this model allows only 'default'")
        values = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        values.setdefault("rms_norm_eps", 1e-6)  # as a stock config means it
        values.setdefault("rope_theta", rope.get("rope_theta", 10_000.0))
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        """The stock ``config.json`` of this architecture."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        theta = own.pop("rope_theta")
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            **own,
            "head_dim": self.head_width,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "attention_bias": False,
            "mlp_bias": False,
            "rope_theta": theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": theta},
            "dtype": "bfloat16",
            "bos_token_id": 0,
            "eos_token_id": 0,
            "pad_token_id": None,
        }

    def early(self, layers: int) -> LlamaConfig:
        """The same with the first ``layers`` layers only; ValueError unless 1 <= layers <= those there are."""
        if isinstance(layers, bool) or not hasattr(layers, "__index__") or not 1 <= layers <= self.num_hidden_layers:
            raise ValueError(f"layers is {layers!r}; allowed are whole numbers from 1 to {self.num_hidden_layers}")
        return replace(self, num_hidden_layers=int(layers))

    @property
    def head_width(self) -> int:
        return self.hidden_size // self.num_attention_heads


class RMSNorm(nn.Module):
    """x * weight / sqrt(mean(x^2) + eps)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rotary_table(config: LlamaConfig) -> tuple[Tensor, Tensor]:
    """cos and sin of position x frequency, each (context, d), with the two halves of a head sharing frequencies.

    Angles are computed in float32, as transformers does: at position 500 float64 angles differ by 3e-5, which would
    show in the logits. They are made on the CPU wherever the model will be, so that all devices have the same.
    """
    with torch.device("cpu"):
        half = torch.arange(0, config.head_width, 2, dtype=torch.float32) / config.head_width
        places = torch.arange(config.max_position_embeddings, dtype=torch.float32)
    angle = torch.outer(places, 1 / config.rope_theta**half)
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair (x_i, x_{i+d/2}) by its position's angle; x (B, heads, T, d), cos and sin (T, d)."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-right, left], dim=-1) * sin


class Attention(nn.Module):
    """Causal grouped-query attention."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.width = config.head_width
        query, shared = config.num_attention_heads * self.width, config.num_key_value_heads * self.width
        self.q_proj = nn.Linear(config.hidden_size, query, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, shared, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, shared, bias=False)
        self.o_proj = nn.Linear(query, config.hidden_size, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        split = (*x.shape[:2], -1, self.width)
        query = rotate(self.q_proj(x).view(split).transpose(1, 2), cos, sin)  # (B, H, T, d)
        key = rotate(self.k_proj(x).view(split).transpose(1, 2), cos, sin)  # (B, G, T, d)
        value = self.v_proj(x).view(split).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Pre-norm residual block: attention, then MLP."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    """Embedding, layers and final norm (``model.`` in the weight file)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Llama(nn.Module):
    """Next-token logits of a stock Llama with tied input and output embedding."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        cos, sin = rotary_table(config)
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) after each of the tokens (B, T)."""
        x = self.model.embed_tokens(tokens)  # (B, T, D)
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        for layer in self.model.layers:
            x = layer(x, cos, sin)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)

    def early(self, layers: int) -> Llama:
        """The first ``layers`` layers with the embedding and the norm of the whole, whose weights are shared.

        Raises ValueError unless 1 <= layers <= those there are.
        """
        config = self.config.early(layers)
        with torch.device("meta"):  # its own weights are never made
            early = Llama(config)
        early.model.embed_tokens, early.model.norm = self.model.embed_tokens, self.model.norm
        early.model.layers = self.model.layers[:layers]
        early.cos, early.sin = self.cos, self.sin
        return early.train(self.training)
