"""Triton kernels run as plain Python, one program after the other, so that random numbers in them can be followed.

The kernels' source is executed as it is. Blocks are numpy arrays, and what was drawn at random and handed over by torch
stays an unknown number, which the explorer of `specmath.oracle` decides when a kernel compares it. Triton itself is not
needed. What a kernel uses of `triton.language` and is not here is an error that names it.
"""

from specmath.oracle.adapters.eager.kernel import Interpreter
from specmath.oracle.adapters.eager.values import Value

__all__ = ["Interpreter", "Value"]
