"""native: the library's own kernels in the model's dtype. Fast, and no promise about bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class WeightNative(NamedTuple):
    """A matrix (N, K), a bias (N,) or None, and the gain (K,) of the norm in front or None."""

    matrix: Tensor
    bias: Tensor | None
    gain: Tensor | None = None

    def row_norms(self) -> Tensor:
        return self.matrix.norm(dim=-1)


@dataclass(frozen=True)
class Native:
    """Stock kernels: a row's bits change with its batch mates, its slot and the number of threads."""

    name: str = "native"
    exact: bool = False
    stream: torch.dtype | None = None

    def weight(self, matrix: Tensor, bias: Tensor | None = None, *, out: torch.dtype | None = None) -> WeightNative:
        return WeightNative(matrix.detach(), None if bias is None else bias.detach())

    def linear(self, x: Tensor, weight: WeightNative) -> Tensor:
        return F.linear(x, weight.matrix, weight.bias)

    def norm_weight(self, matrix: Tensor, gain: Tensor, *, out: torch.dtype | None = None) -> WeightNative:
        return WeightNative(matrix.detach(), None, gain.detach())  # a product in bfloat16 would round the weights anew

    def norm_linear(self, x: Tensor, weight: WeightNative, eps: float) -> Tensor:
        return F.linear(F.rms_norm(x, (x.shape[-1],), weight.gain, eps), weight.matrix)
