"""Functions of one number that give equal bits at every place of a tensor, on every processor and every device.

Library kernels of silu, sigmoid, gelu and exp2 treat the last few elements of a tensor by other code than the rest, and
the two differ in the last bit; exp, tanh and erf differ between devices. So all of them are written with
`reference.numerics.exponential.exp` and operations that are correctly rounded everywhere: sums, products, quotients.
Multiply-adds are not fused: each step is an operation of its own. Factors between 0 and 1 have an absolute error of at
most 2^-36, in float32 also its rounding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reference.numerics.exponential import exp


def silu(x: Tensor) -> Tensor:
    """x / (1 + exp(-x)).

    >>> silu(torch.tensor([0.0, 1.0], dtype=torch.float64))
    tensor([0.0000, 0.7311], dtype=torch.float64)
    """
    return x / exp(-x).add_(1.0)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return exp(-x).add_(1.0).reciprocal_()


def tanh(x: Tensor) -> Tensor:
    """1 - 2 / (1 + exp(2 x)), to an absolute error of 2^-35: small results have fewer correct bits.

    >>> tanh(torch.tensor([0.0, -1.0, 900.0], dtype=torch.float64))
    tensor([ 0.0000, -0.7616,  1.0000], dtype=torch.float64)
    """
    return exp(x + x).add_(1.0).reciprocal_().mul_(-2.0).add_(1.0)


_TAIL = (
    *(1.2530080582697067, -0.13562110612456518, -0.04756229434884729, 0.12964515869956109, -0.11927366356852191),
    *(0.06830802744988783, -0.02377051292581604, 0.002529390452772739, 0.0018886770740267188, -0.0007798233322364825),
    *(-0.00010510828672116821, 0.00012506553610247822, 4.825581532780314e-06, -2.002220059591204e-05),
    *(-5.412895409163673e-07, 3.3588357612129855e-06, 1.7009590289499836e-07, -5.152179170271155e-07),
    *(-2.7053982350151015e-08, 4.944899965435571e-08),
)
"""(1 + 2 u) exp(u^2) erfc(u) in powers of t = (u - 3) / (u + 3), u >= 0: interpolated at 20 Chebyshev points, 2^-44."""


def normal_tail(x: Tensor) -> Tensor:
    """P(normal > |x|) = erfc(|x| / sqrt 2) / 2, to an absolute error of 2^-36; float64.

    >>> normal_tail(torch.tensor([0.0, 1.96], dtype=torch.float64))
    tensor([0.5000, 0.0250], dtype=torch.float64)
    """
    u = x.detach().to(torch.float64).abs().mul_(math.sqrt(0.5)).clamp_(max=40.0)
    t = (u - 3.0).div_(u + 3.0)
    value = torch.full_like(t, _TAIL[-1])
    for coefficient in _TAIL[-2::-1]:
        value = value.mul_(t).add_(coefficient)
    return value.div_((u + u).add_(1.0)).mul_(exp((u * u).neg_())).mul_(0.5)


def gelu(x: Tensor) -> Tensor:
    """x P(normal < x) = x (1 + erf(x / sqrt 2)) / 2."""
    tail = normal_tail(x)
    return torch.where(x > 0, 1.0 - tail, tail).mul_(x).to(x.dtype)


def gelu_tanh(x: Tensor) -> Tensor:
    """x (1 + tanh(y)) / 2 = x / (1 + exp(-2 y)) with y = sqrt(2/pi) (x + 0.044715 x^3)."""
    inner = (x * x).mul_(x).mul_(0.044715).add_(x).mul_(-2.0 * math.sqrt(2.0 / math.pi))
    return x / exp(inner).add_(1.0)


def relu_squared(x: Tensor) -> Tensor:
    """max(x, 0)^2."""
    positive = x.clamp(min=0)
    return positive * positive


def quick_gelu(x: Tensor) -> Tensor:
    """x / (1 + exp(-1.702 x))."""
    return x / exp(x * -1.702).add_(1.0)
