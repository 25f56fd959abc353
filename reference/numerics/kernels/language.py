"""Triton, where it is installed. Imported by the kernels alone, and they only when one of them is about to run."""

from __future__ import annotations

from typing import Any

try:
    import triton
    import triton.language as tl

    def jit(*varying: str) -> Any:
        """`triton.jit`; arguments named change from call to call: no code is compiled for special values of them."""
        return triton.jit(do_not_specialize=list(varying))

except ImportError:  # `usable` says no then, and nothing here is called; but tools that import every module may pass
    tl: Any = None

    def jit(*varying: str) -> Any:
        return lambda function: function


UNFUSED = {"enable_fp_fusion": False}
"""Launch option that keeps the compiler from making multiply-adds of products and sums: those round once less."""
