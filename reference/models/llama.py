"""A stock Llama, small enough to read: RMSNorm, rotary positions, grouped-query attention, gated MLP, tied embedding.

Parameter names are those of ``transformers.LlamaForCausalLM``, so weights move between the two without a mapping.
Shapes in comments: B batch, T new tokens, S tokens in the cache after this call, H query heads, G key-value heads,
d head width, D model width, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

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
        for key, value in assumed.items():
            if raw.get(key, value) != value:
                raise ValueError(f"{path}: {key} is {raw[key]!r}; this model allows only {value!r}")
        rope = raw.get("rope_parameters") or {}
        if rope.get("rope_type", "default") != "default":
            raise ValueError(f"{path}: rope_type is {rope['rope_type']!r}; this model allows only 'default'")
        values = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
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
    show in the logits.
    """
    half = torch.arange(0, config.head_width, 2, dtype=torch.float32) / config.head_width
    angle = torch.outer(torch.arange(config.max_position_embeddings, dtype=torch.float32), 1 / config.rope_theta**half)
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair (x_i, x_{i+d/2}) by its position's angle; x (B, heads, T, d), cos and sin (T, d)."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-right, left], dim=-1) * sin


Store = tuple[Tensor, Tensor, int]
"""Keys and values of one layer, and how many tokens of them are in use."""


class Tree(NamedTuple):
    """N tokens that hang below the last of the new tokens: each sees the text, its ancestors and itself.

    ``positions`` (T,) of all new tokens, a tree token's being that of its parent plus one; ``mask`` (T, S) says who
    sees whom; ``size`` is N. A tree is read, not stored.
    """

    positions: Tensor
    mask: Tensor
    size: int

    @classmethod
    def below(cls, parents: Sequence[int], new: int, start: int, device: torch.device) -> Tree:
        """The tree of ``parents`` (-1 for the text) below ``new`` tokens that are appended to ``start`` stored ones."""
        end, size = start + new, len(parents)
        mask = torch.ones(new + size, end + size, dtype=torch.bool).tril(start)
        mask[new:, end:] = False
        positions = list(range(start, end))
        for node, parent in enumerate(parents):
            positions.append(positions[new + parent] + 1 if parent >= 0 else end)
            if parent >= 0:
                mask[new + node, end:] = mask[new + parent, end:]
            mask[new + node, end + node] = True
        return cls(torch.tensor(positions, device=device), mask.to(device), size)


class Attention(nn.Module):
    """Causal grouped-query attention; with a cache, new tokens also see everything stored before them."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.width = config.head_width
        query, shared = config.num_attention_heads * self.width, config.num_key_value_heads * self.width
        self.q_proj = nn.Linear(config.hidden_size, query, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, shared, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, shared, bias=False)
        self.o_proj = nn.Linear(query, config.hidden_size, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, store: Store | None, tree: Tree | None = None) -> Tensor:
        split = (*x.shape[:2], -1, self.width)
        query = rotate(self.q_proj(x).view(split).transpose(1, 2), cos, sin)  # (B, H, T, d)
        key = rotate(self.k_proj(x).view(split).transpose(1, 2), cos, sin)  # (B, G, T, d)
        value = self.v_proj(x).view(split).transpose(1, 2)
        mask = None
        if store is not None:
            keys, values, start = store
            kept = x.shape[1] - (0 if tree is None else tree.size)
            end = start + kept
            keys[:, :, start:end], values[:, :, start:end] = key[:, :, :kept], value[:, :, :kept]
            if tree is None:
                key, value = keys[:, :, :end], values[:, :, :end]  # (B, G, S, d)
                if x.shape[1] > 1:  # row t sees cached tokens and new tokens up to itself
                    mask = torch.ones(x.shape[1], end, dtype=torch.bool, device=x.device).tril(start)
            else:  # the tree's keys stand behind those of the text and are not stored
                key = torch.cat([keys[:, :, :end], key[:, :, kept:]], dim=2)
                value = torch.cat([values[:, :, :end], value[:, :, kept:]], dim=2)
                mask = tree.mask
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=store is None, enable_gqa=True
        )
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

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, store: Store | None, tree: Tree | None = None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, store, tree)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    """Embedding, layers and final norm (``model.`` in the weight file)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class KeyValueCache:
    """Keys and values of every layer for B sequences of equal length; ``length`` counts the tokens stored."""

    def __init__(self, config: LlamaConfig, batch: int, like: Tensor) -> None:
        shape = (
            config.num_hidden_layers,
            2,
            batch,
            config.num_key_value_heads,
            config.max_position_embeddings,
            config.head_width,
        )
        self.store = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.length = 0


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

    def forward(
        self, tokens: Tensor, cache: KeyValueCache | None = None, *, parents: Sequence[int] | None = None
    ) -> Tensor:
        """Logits (B, T, V) after each of the new tokens (B, T); a cache is read and extended in place.

        With ``parents`` the last ``len(parents)`` tokens are a tree below the others (see `Tree`): they need a cache,
        and leave no trace in it. ValueError for a tree without a cache.
        """
        if parents and cache is None:
            raise ValueError("parents: a tree needs a cache; none is given")
        start = 0 if cache is None else cache.length
        x = self.model.embed_tokens(tokens)  # (B, T, D)
        tree = None
        if parents:
            tree = Tree.below(parents, tokens.shape[1] - len(parents), start, tokens.device)
            cos, sin = self.cos[tree.positions], self.sin[tree.positions]
        else:
            cos, sin = self.cos[start : start + tokens.shape[1]], self.sin[start : start + tokens.shape[1]]
        for index, layer in enumerate(self.model.layers):
            store = None if cache is None else (cache.store[index, 0], cache.store[index, 1], start)
            x = layer(x, cos, sin, store, tree)
        if cache is not None:
            cache.length = start + tokens.shape[1] - (0 if tree is None else tree.size)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)
