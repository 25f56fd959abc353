"""Calling foreign functions by keyword, and only if their signature is one that the adapter knows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from specmath.oracle.adapters.place import Missing


def bind(function: Callable[..., Any], known: Sequence[str]) -> Callable[..., Any]:
    """The function itself, once its parameters are known to be those an adapter hands over.

    `Missing` for a parameter that the adapter would hand over and the function does not have, and for one that it needs
    and the adapter does not know.
    """
    parameters = inspect.signature(function).parameters
    lacking = [name for name in known if name not in parameters]
    needed = [
        name
        for name, one in parameters.items()
        if one.default is inspect.Parameter.empty and one.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    unknown = [name for name in needed if name not in known]
    if lacking or unknown:
        what = f"without {', '.join(lacking)}" if lacking else f"with {', '.join(unknown)}"
        raise Missing(f"{function.__name__}: a signature {what} is not known")
    return function
