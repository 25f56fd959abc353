"""What a model asks of an arithmetic, and the three that exist by name."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from reference.numerics.exact64 import Exact64
from reference.numerics.int8 import Int8
from reference.numerics.native import Native


class Arithmetic(Protocol):
    """Linear layers of a model. A prepared weight belongs to the arithmetic that prepared it.

    Where ``exact`` is true a row of every result has the same bits whatever the other rows are, and attention, norms
    and elementwise functions are those of `reference.numerics`.
    """

    @property
    def name(self) -> str: ...

    @property
    def exact(self) -> bool: ...

    @property
    def stream(self) -> torch.dtype | None:
        """Dtype of the sum of residuals; None for that of the model."""
        ...

    def weight(self, matrix: Tensor, bias: Tensor | None = None, *, out: Any = ...) -> Any:
        """Prepare a matrix (N, K) and a bias (N,); results of exact arithmetics other than exact64 have dtype out."""
        ...

    def linear(self, x: Tensor, weight: Any) -> Tensor:
        """x W^T + bias, (..., K) to (..., N)."""
        ...

    def norm_weight(self, matrix: Tensor, gain: Tensor, *, out: Any = ...) -> Any:
        """Prepare the matrix behind a root-mean-square norm with gain (K,)."""
        ...

    def norm_linear(self, x: Tensor, weight: Any, eps: float) -> Tensor:
        """Norm and linear layer in one."""
        ...


ARITHMETICS: dict[str, Arithmetic] = {"exact64": Exact64(), "int8": Int8(), "native": Native()}
"""By name: the default, the fast one, and the library's own kernels."""


def arithmetic(name: str) -> Arithmetic:
    """The arithmetic of that name; ValueError naming those that exist.

    >>> arithmetic("exact64").exact
    True
    """
    if name not in ARITHMETICS:
        raise ValueError(f"arithmetic is {name!r}; allowed are {', '.join(ARITHMETICS)}")
    return ARITHMETICS[name]
