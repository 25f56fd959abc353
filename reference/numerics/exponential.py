"""exp with the same bits on every processor, for every vector width and on every device, for bounded results.

Libraries promise their exp up to a unit or so in the last place, and CPU, GPU and vector code differ there. This one is
made of sums, products and one quotient. Each is an operation of its own, never fused with its neighbour, and rounded to
nearest wherever it runs. The approximation of Pade of degree 3 at r = x / 32, squared five times:

    exp(x) = ((A + B) / (A - B))^32,   A = r^2 + 10,   B = r (r^2 / 12 + 5)

(both multiplied by 1024 below). It is exact at 0, and its relative error grows as |x|^7. What is made of it, weights
exp(x) of x <= 0 and logistic functions 1 / (1 + exp(x)), is small where that error is large: their absolute error is at
most 2^-36. The grids that they are rounded to have steps of 2^-25 or more. `proofs_tests/numerics/test_exponential.py`
checks the error, and that no operation is fused.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference.numerics.kernels import usable
from reference.numerics.pade import CONSTANT, FARTHEST, LINEAR, SQUARE, SQUARINGS

CHUNK = 32768
"""So many float64 stay in the cache of a core together with the intermediate results."""


def plain_(x: Tensor) -> Tensor:
    """`exp_` as a sequence of library calls."""
    x = x.clamp_(-FARTHEST, FARTHEST)
    z = x * x
    b = (z * SQUARE).add_(LINEAR).mul_(x)
    a = z.add_(CONSTANT)
    power = torch.add(a, b, out=x).div_(a.sub_(b))
    for _ in range(SQUARINGS):
        power = power.mul_(power)
    return power


def exp_(x: Tensor) -> Tensor:
    """exp(x) in place, x float64 and contiguous, cut to [exp(-40), exp(40)]. Gradients do not pass.

    For x <= 0 the absolute error is at most 2^-36; exp(0) is 1.

    >>> exp_(torch.tensor([0.0, -1.0, -1e9], dtype=torch.float64)).mul_(2**22).round_().tolist()
    [4194304.0, 1542998.0, 0.0]
    """
    x = x.detach()
    if x.device.type == "cpu":
        if x.numel() <= CHUNK:
            return plain_(x)
        for part in x.view(-1).split(CHUNK):
            plain_(part)
        return x
    if usable(x.device):
        from reference.numerics.kernels.exponential import exp_ as kernel

        return kernel(x)
    return plain_(x)


def exp(x: Tensor) -> Tensor:
    """`exp_` of a copy: evaluated in float64, rounded once to the dtype of x.

    >>> exp(torch.tensor([0.0, 1.0]))
    tensor([1.0000, 2.7183])
    """
    return exp_(x.detach().to(torch.float64, copy=True, memory_format=torch.contiguous_format)).to(x.dtype)
