"""A tensor whose numbers are not known yet; what is asked about it is decided by the explorer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch

from specmath.oracle.draws import Draws, UnsupportedRandomness
from specmath.oracle.term import Term

Dispatch = Callable[[Draws, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
HANDLERS: dict[str, Dispatch] = {}
"""What to do with a torch function, by its name; `operations` fills it in."""


class Unknown(torch.Tensor):
    """A tensor of cells: shape, dtype and device as any other, and no data that could be read unnoticed."""

    term: Term
    draws: Draws
    is_view: bool
    viewed: bool

    @staticmethod
    def __new__(cls, draws: Draws, term: Term, dtype: torch.dtype) -> Unknown:
        """``term.index`` gives shape and device."""
        self = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, term.index.shape, dtype=dtype, device=term.index.device
        )
        self.draws, self.term, self.is_view, self.viewed = draws, term, False, False
        return self

    def __init__(self, draws: Draws, term: Term, dtype: torch.dtype) -> None:
        pass

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return dispatch(None, func, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        refuse(str(func))

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"<{self.term.kind} random tensor, shape {tuple(self.term.index.shape)}>"


_PLAIN = (
    "shape dtype device ndim is_cuda is_cpu layout requires_grad is_leaf itemsize nbytes is_sparse is_quantized is_mps "
    "is_meta grad grad_fn names"
)
_PLAIN_CALLS = (
    "size dim numel ndimension element_size is_floating_point is_complex is_contiguous __len__ get_device is_signed "
    "__hash__ requires_grad_ __repr__ stride"
)
PLAIN, PLAIN_CALLS = frozenset(_PLAIN.split()), frozenset(_PLAIN_CALLS.split())
"""Attributes and calls that tell nothing of the numbers."""


def dispatch(draws: Draws | None, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A torch function on arguments some of which are `Unknown`."""
    name = func.__name__
    if name == "__get__":
        name = func.__self__.__name__  # type: ignore[attr-defined]
        if name in PLAIN:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
    elif name in PLAIN_CALLS:
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)
    if draws is None:
        draws = _draws((args, kwargs))
    handler = HANDLERS.get(name)
    if handler is None:
        known_args, known_kwargs = settled(args), settled(kwargs)
        if has_unknown((known_args, known_kwargs)):
            refuse(f"torch's {name}")
        return func(*known_args, **known_kwargs)
    return handler(draws, func, args, kwargs)


def refuse(name: str) -> NoReturn:
    """The error for a call that cannot be followed."""
    raise UnsupportedRandomness(f"{name} of random numbers cannot be followed exactly")


def _draws(value: Any) -> Draws:
    if isinstance(value, Unknown):
        return value.draws
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ():
        if has_unknown(part):
            return _draws(part)
    raise RuntimeError("no unknown tensor among the arguments")


def has_unknown(value: Any) -> bool:
    """Whether an `Unknown` is among these (nested) arguments."""
    if isinstance(value, Unknown):
        return True
    if isinstance(value, tuple | list):
        return any(map(has_unknown, value))
    return isinstance(value, dict) and any(map(has_unknown, value.values()))


def settled(value: Any) -> Any:
    """The (nested) arguments, every index that was drawn but not looked at decided now."""
    if isinstance(value, Unknown):
        return look(value) if value.term.kind == "category" else value
    if isinstance(value, tuple | list) and has_unknown(value):
        parts = [settled(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict) and has_unknown(value):
        return {key: settled(part) for key, part in value.items()}
    return value


def look(tensor: Unknown) -> torch.Tensor:
    """A plain tensor of the drawn indices, decided now if nobody has looked before."""
    term, draws = tensor.term, tensor.draws
    numbers = term.index.reshape(-1).tolist()
    constants = numbers if term.constant is None else term.constant.reshape(-1).tolist()
    values = [draws.look(n) if n >= 0 else c for n, c in zip(numbers, constants, strict=True)]
    with torch._C.DisableTorchFunctionSubclass():
        return torch.tensor(values, dtype=tensor.dtype, device=term.index.device).reshape(term.index.shape)


def broadcast(*shapes: Any) -> torch.Size:
    """The common shape; torch's own function imports sympy."""
    return torch.Size(np.broadcast_shapes(*map(tuple, shapes)))
