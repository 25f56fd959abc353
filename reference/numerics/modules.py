"""Modules that take the places of a stock model's: the same parameters, order-independent arithmetic.

Each keeps the parameter objects of the module it replaces and casts its result to the dtype of its input, as they do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from reference.numerics.norms import layer_norm, rms_norm
from reference.numerics.registry import Arithmetic


class Linear(nn.Module):
    """x W^T + b. The prepared weight is taken when the module is made: later changes of ``weight`` do not reach it."""

    def __init__(self, weight: Tensor, bias: Tensor | None, arithmetic: Arithmetic, transposed: bool) -> None:
        super().__init__()
        self.weight, self.bias, self.arithmetic = weight, bias, arithmetic
        matrix = weight.detach()
        prepared = arithmetic.weight(matrix.t().contiguous() if transposed else matrix, bias)
        self._kind = type(prepared)
        self._rest: dict[str, Any] = {}
        for name, value in prepared._asdict().items():
            if isinstance(value, Tensor):  # a buffer, so that it follows the module to another device
                self.register_buffer(f"prepared_{name}", value, persistent=False)
            else:
                self._rest[name] = value

    def forward(self, x: Tensor) -> Tensor:
        fields = {name: self._rest.get(name, getattr(self, f"prepared_{name}", None)) for name in self._kind._fields}
        wide = x if x.dtype in (torch.float32, torch.float64) else x.to(torch.float32)
        return self.arithmetic.linear(wide, self._kind(**fields)).to(x.dtype)


class RMSNorm(nn.Module):
    """x g / sqrt(mean(x^2) + eps) with g = weight + offset."""

    def __init__(self, weight: Tensor, eps: float, offset: float) -> None:
        super().__init__()
        self.weight, self.eps, self.offset = weight, eps, offset

    def forward(self, hidden_states: Tensor) -> Tensor:
        gain = self.weight.to(torch.float64) + self.offset
        return rms_norm(hidden_states, gain, self.eps).to(hidden_states.dtype)


class LayerNorm(nn.Module):
    """(x - mean) g / sqrt(variance + eps) + b."""

    def __init__(self, weight: Tensor | None, bias: Tensor | None, eps: float) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = weight, bias, eps

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight, self.bias, self.eps).to(x.dtype)


class Elementwise(nn.Module):
    """A function of one number, evaluated in float64."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x.to(torch.float64)).to(x.dtype)
