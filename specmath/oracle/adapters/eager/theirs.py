"""Triton's own interpreter, against which ours is held."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np

from specmath.oracle.adapters.place import Missing


def triton_itself() -> dict[str, Any]:
    """Triton under its interpreter, by the names that engines import it under.

    `Missing` if Triton is not installed, or was imported before without TRITON_INTERPRET=1: its functions are then
    compiled, which needs a device.
    """
    if os.environ.get("TRITON_INTERPRET") != "1":
        if "triton" in sys.modules:
            raise Missing("triton is imported already, without TRITON_INTERPRET=1 in the environment")
        os.environ["TRITON_INTERPRET"] = "1"
    try:
        import triton
        import triton.language as language
        from triton.runtime.interpreter import TensorHandle
    except ImportError as error:
        raise Missing(f"triton cannot be imported: {error}") from error

    def log1p(value: Any) -> Any:
        # The interpreter knows no functions of libdevice.
        found = np.log1p(value.handle.data).astype(value.handle.data.dtype)
        return language.core.tensor(TensorHandle(found, value.handle.dtype), value.type)

    return {"triton": triton, "tl": language, "tldevice": SimpleNamespace(log1p=log1p), "HAS_TRITON": True}
