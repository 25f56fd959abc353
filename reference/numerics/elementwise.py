"""Functions of one number, written with operations that give equal bits at every place of a tensor.

Library kernels of silu, sigmoid, gelu and exp2 treat the last few elements of a tensor by other code than the rest, and
the two differ in the last bit. Sums, products, quotients and roots are correctly rounded everywhere. exp, tanh and
erf go through one code path for all elements (`proofs_tests/numerics/test_elementwise.py` checks that on the machine
that runs it). Multiply-adds are not fused: each step is an operation of its own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def silu(x: Tensor) -> Tensor:
    """x / (1 + exp(-x)).

    >>> silu(torch.tensor([0.0, 1.0], dtype=torch.float64))
    tensor([0.0000, 0.7311], dtype=torch.float64)
    """
    return x / torch.exp(-x).add_(1.0)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return torch.exp(-x).add_(1.0).reciprocal_()


def gelu(x: Tensor) -> Tensor:
    """x (1 + erf(x / sqrt 2)) / 2."""
    return torch.erf(x * math.sqrt(0.5)).add_(1.0).mul_(x).mul_(0.5)


def gelu_tanh(x: Tensor) -> Tensor:
    """x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2."""
    inner = (x * x).mul_(x).mul_(0.044715).add_(x).mul_(math.sqrt(2.0 / math.pi))
    return inner.tanh_().add_(1.0).mul_(x).mul_(0.5)


def relu_squared(x: Tensor) -> Tensor:
    """max(x, 0)^2."""
    positive = x.clamp(min=0)
    return positive * positive


def quick_gelu(x: Tensor) -> Tensor:
    """x / (1 + exp(-1.702 x))."""
    return x / torch.exp(x * -1.702).add_(1.0)
