"""A stock Llama prepared for one arithmetic: fused weights, keys in any slot, a cache that the caller lays out.

Shapes: R rows of a call, T new tokens, S slots, H query heads, G key-value heads, d head width, D model width,
V vocabulary.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reference.cache.slots import Places, RowIndex, Slots
from reference.models.llama import Llama, rotary_table
from reference.numerics.attend import AttentionBudget, additive, attend
from reference.numerics.exponential import exp
from reference.numerics.grid import MANTISSA, power_of_two, row_grid
from reference.numerics.registry import Arithmetic


class _Layer(NamedTuple):
    """Weights of one layer and the constants (G, 1, d) that round its values."""

    into: Any  # queries, keys, values
    out: Any
    gate_up: Any
    down: Any
    pull: Tensor


class _Call(NamedTuple):
    """What all layers of one call share; cos and sin (R, T, 1, d) or (T, 1, d), the mask as the arithmetic takes it."""

    cos: Tensor
    sin: Tensor
    reading: RowIndex
    writing: RowIndex  # the same rows, as numbers if places are numbers
    places: Places
    end: int
    mask: Tensor | None


class PreparedLlama:
    """Logits of a `Llama` in a given arithmetic; the model itself is left as it is.

    ``context`` is the largest number of slots S of any call: exact arithmetics take the grid of values from it, so two
    calls agree bit for bit only if their models were prepared with the same number.
    """

    def __init__(self, model: Llama, arithmetic: Arithmetic, context: int | None = None) -> None:
        config = model.config
        self.config, self.arithmetic = config, arithmetic
        self.context = config.max_position_embeddings if context is None else context
        self.budget = AttentionBudget.of(config.head_width, self.context)
        self.heads, self.shared, self.width = config.num_attention_heads, config.num_key_value_heads, config.head_width
        wide = torch.float64 if arithmetic.exact else model.cos.dtype
        self.dtype = wide
        half = self.width // 2
        cos, sin = model.cos, model.sin
        if arithmetic.exact:  # a bfloat16 model's own table is rounded
            cos, sin = (part.to(cos.device, wide) for part in rotary_table(config))
        self.cos, self.sin = cos[:, None], torch.cat([-sin[:, :half], sin[:, half:]], dim=-1)[:, None]  # (S, 1, d)
        self.embedding = model.model.embed_tokens.weight.detach()
        self.layers = [self._prepare(layer) for layer in model.model.layers]
        self.head = arithmetic.norm_weight(self.embedding, model.model.norm.weight, out=torch.float32)

    def _prepare(self, layer: Any) -> _Layer:
        a, attention, mlp, wide = self.arithmetic, layer.self_attn, layer.mlp, self.dtype
        query, key, value = (part.weight.detach() for part in (attention.q_proj, attention.k_proj, attention.v_proj))
        if a.exact:  # in float64, as bfloat16 weights would lose bits
            query, key, value = query.to(wide) * self.width**-0.5, key.to(wide), value.to(wide)
        into = a.norm_weight(torch.cat([query, key, value]), layer.input_layernorm.weight, out=wide)
        sign = -1.0 if a.exact else 1.0  # exact arithmetics compute -gate and -up, see `_gated`
        gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]) * sign
        # |value| is at most the norm of its row of weights, whatever the input: the grid follows from the weights
        bound = into.row_norms()[-self.shared * self.width :].to(torch.float64)
        exponent = torch.frexp(bound).exponent.clamp_min(-200)  # bound < 2^exponent
        step = power_of_two(exponent - self.budget.value_bits)
        return _Layer(
            into,
            a.weight(attention.o_proj.weight),
            a.norm_weight(gate_up, layer.post_attention_layernorm.weight, out=torch.float32),
            a.weight(mlp.down_proj.weight),
            (step * (1.5 * 2.0 ** (MANTISSA - 1))).view(self.shared, self.width),
        )

    def slots(self, rows: int, size: int | None = None) -> Slots:
        """Empty slots for so many texts, ``size`` each (default: the context)."""
        size, device = self.context if size is None else size, self.embedding.device
        return Slots.empty(len(self.layers), rows, self.shared, size, self.width, dtype=self.dtype, device=device)

    def early(self, layers: int) -> PreparedLlama:
        """The first ``layers`` layers with the norm and the head of the whole: every prepared weight is shared.

        Raises ValueError unless 1 <= layers <= those there are.
        """
        early = copy.copy(self)
        early.config = self.config.early(layers)
        early.layers = self.layers[:layers]
        return early

    @torch.no_grad()
    def __call__(
        self,
        tokens: Tensor,
        slots: Slots,
        positions: Tensor,
        places: Places,
        end: int,
        visible: Tensor | None,
        rows: RowIndex | None = None,
    ) -> Tensor:
        """Logits (R, T, V) of tokens (R, T) at ``positions`` (T,) or (R, T), which see the slots below ``end``.

        Their keys and values are written to ``places``: a slice of T slots, or slot numbers (R, T). ``visible`` is
        boolean, (T, end) or (R, 1, T, end); None if every token sees every slot below ``end``. ``rows`` of the slots
        are a slice or numbers (R,), by default the first R. A `reference.cache.Forward`.
        """
        if end > self.context:
            raise ValueError(f"end is {end}; the arithmetic was prepared for at most {self.context} slots")
        a, eps = self.arithmetic, self.config.rms_norm_eps
        x = F.embedding(tokens, self.embedding)
        x = x if a.stream is None else x.to(a.stream)  # (R, T, D)
        mask = additive(visible) if a.exact else visible
        reading: RowIndex = slice(0, tokens.shape[0]) if rows is None else rows
        writing = reading
        if isinstance(reading, slice) and not isinstance(places, slice):
            writing = torch.arange(reading.start, reading.stop, device=tokens.device)
        call = _Call(self.cos[positions], self.sin[positions], reading, writing, places, end, mask)
        for index, layer in enumerate(self.layers):
            mixed = self._attention(a.norm_linear(x, layer.into, eps), layer, index, slots, call)
            x = x + a.linear(mixed, layer.out)
            x = x + a.linear(self._gated(a.norm_linear(x, layer.gate_up, eps)), layer.down)
        return a.norm_linear(x, self.head, eps)

    def _attention(self, y: Tensor, layer: _Layer, index: int, slots: Slots, call: _Call) -> Tensor:
        """Mixed values (R, T, H d) from queries, keys and values side by side (R, T, (H + 2G) d)."""
        rows, new = y.shape[:2]
        y = y.view(rows, new, -1, self.width)
        turning = y[:, :, : -self.shared]  # queries and keys
        turned = (turning * call.cos).add_(turning.roll(self.width // 2, -1).mul_(call.sin))
        value = y[:, :, -self.shared :]
        exact = self.arithmetic.exact
        if exact:
            turned = row_grid(turned, self.budget.score_bits)
            value = (value + layer.pull).sub_(layer.pull)
        query = turned[:, :, : self.heads].transpose(1, 2)  # (R, H, T, d)
        slots.write(index, call.writing, call.places, turned[:, :, self.heads :], value)
        keys, values = slots.read(index, call.reading, call.end)  # (R, G, end, d)
        if exact:
            mixed = attend(query, keys, values, call.mask, self.budget)
        else:
            mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=call.mask, enable_gqa=True)
        return mixed.transpose(1, 2).reshape(rows, new, -1)

    def _gated(self, y: Tensor) -> Tensor:
        """silu(gate) up, from (-gate, -up) in an exact arithmetic: (-gate)(-up) / (1 + exp(-gate))."""
        gate, up = y.chunk(2, dim=-1)
        if self.arithmetic.exact:
            return (gate * up).div_(exp(gate).add_(1.0))
        return F.silu(gate) * up
