"""Order-independent arithmetic: a row's bits depend on nothing but the row and what it is asked to see.

Not on the rows beside it, their number, padding, the slots of its keys, the shape of a tree, threads or tiles.

>>> from reference.numerics import arithmetic, split_bits
>>> arithmetic("exact64").name, split_bits(512)
('exact64', (22, 22))
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from reference.numerics import kernels
from reference.numerics.attend import AttentionBudget, attention
from reference.numerics.elementwise import gelu, gelu_tanh, quick_gelu, sigmoid, silu
from reference.numerics.exactify import exactify
from reference.numerics.grid import BudgetError, split_bits
from reference.numerics.llama import PreparedLlama
from reference.numerics.norms import layer_norm, rms_norm
from reference.numerics.registry import ARITHMETICS, Arithmetic, arithmetic

__all__ = [
    "ARITHMETICS",
    "Arithmetic",
    "AttentionBudget",
    "BudgetError",
    "PreparedLlama",
    "arithmetic",
    "attention",
    "exactify",
    "gelu",
    "gelu_tanh",
    "layer_norm",
    "quick_gelu",
    "rms_norm",
    "sigmoid",
    "silu",
    "split_bits",
]


def _compared(device: torch.device) -> Iterable[str]:
    from reference.numerics.kernels import check  # imports Triton

    return check.differing(device)


kernels.compared.append(_compared)
