"""Joining unknown and known tensors: `cat`, `stack`, `where` and what else picks each element from one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from specmath.oracle.draws import Draws
from specmath.oracle.term import Kind, Term
from specmath.oracle.torch_source.operations import Args, Func, Kwargs, recorded
from specmath.oracle.torch_source.unknown import HANDLERS, Unknown, has_unknown, refuse, settled


def merged(draws: Draws, parts: list[Any], dtype: torch.dtype, join: Callable[[list[Any]], Any], name: str) -> Unknown:
    """One leaf from several: ``join`` on the cell numbers, and on the known values."""
    kinds: set[Kind] = {arg.term.kind for arg in parts if isinstance(arg, Unknown)}
    if len(kinds) != 1:
        refuse(f"torch's {name} of different kinds")
    if any(isinstance(arg, Unknown) and arg.term.call is not None for arg in parts):
        refuse(f"torch's {name} of expressions in them")
    drawn = {arg.term.dtype for arg in parts if isinstance(arg, Unknown)}
    if len(drawn) != 1:
        refuse(f"torch's {name} of different dtypes")
    index = join(
        [arg.term.index if isinstance(arg, Unknown) else torch.full_like(arg, -1, dtype=torch.int64) for arg in parts]
    )
    constant = join([_constants(arg, dtype) for arg in parts])
    return Unknown(draws, Term(kinds.pop(), index, drawn.pop(), constant), dtype)


def _constants(arg: Any, dtype: torch.dtype) -> torch.Tensor:
    if not isinstance(arg, Unknown):
        return arg.to(dtype)
    constant = arg.term.constant
    return torch.zeros(arg.shape, dtype=dtype, device=arg.term.index.device) if constant is None else constant.to(dtype)


def _joined(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    parts = list(args[0] if args else kwargs.pop("tensors"))
    if not has_unknown(parts):
        return func(parts, *args[1:], **kwargs)
    dtype = func([torch.ones(p.shape, dtype=p.dtype) for p in parts], *args[1:], **kwargs).dtype
    return merged(draws, parts, dtype, lambda arrays: func(arrays, *args[1:], **kwargs), func.__name__)


def _where(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    if func is torch.Tensor.where:
        args = (args[1], args[0], *args[2:])
    args = (settled(args[0]), *args[1:])
    if isinstance(args[0], Unknown) or len(args) != 3:
        refuse("torch's where")
    condition, one, other = args
    if not has_unknown((one, other)):
        return torch.where(condition, one, other)
    return _chosen(draws, condition, one, other, "where")


def _chosen(draws: Draws, condition: torch.Tensor, one: Any, other: Any, name: str) -> Any:
    """Elements of ``one`` where the known condition holds, of ``other`` elsewhere."""
    terms = [arg.term for arg in (one, other) if isinstance(arg, Unknown)]
    if any(term.call is not None for term in terms):
        return recorded(draws, torch.where, (condition, one, other), {}, len(terms) > 1)
    device = condition.device
    parts = [arg if isinstance(arg, torch.Tensor) else torch.tensor(arg, device=device) for arg in (one, other)]
    dtype = torch.result_type(*(_stand(arg) for arg in parts))
    if not all(isinstance(arg, torch.Tensor) for arg in (one, other)):
        dtype = next(arg.dtype for arg in (one, other) if isinstance(arg, torch.Tensor))
    return merged(draws, parts, dtype, lambda arrays: torch.where(condition, *arrays), name)


def _stand(arg: torch.Tensor) -> torch.Tensor:
    return torch.ones(arg.shape, dtype=arg.dtype) if isinstance(arg, Unknown) else arg


def _masked(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    given, mask, value = settled(args[0]) if not isinstance(args[0], Unknown) else args[0], settled(args[1]), args[2]
    return _chosen(draws, mask, value, given, "masked_fill")


def _made(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    """``torch.tensor`` and ``as_tensor`` of lists that hold unknown tensors."""
    if func is torch.Tensor.new_tensor:
        given, data, *rest = args
        return func(given, settled(data), *rest, **settled(kwargs))
    data, *rest = args
    if isinstance(data, Unknown) and data.term.kind != "category" and func is not torch.tensor:
        return HANDLERS["to"](draws, torch.Tensor.to, (data,), kwargs) if kwargs else data
    data = settled(data)
    if has_unknown(data):
        refuse(f"torch's {func.__name__}")
    return func(data, *rest, **settled(kwargs))


def _assigned(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> None:
    """``x[i] = ...``: known tensors take known values only."""
    given, place, value = args
    place = settled(place)
    if isinstance(given, Unknown):
        if given.term.kind == "category":
            refuse("an assignment into a drawn index")
        if given.term.call is not None or has_unknown(value):
            refuse("an assignment into an expression")
        constant = given.term.constant
        if constant is None:
            constant = torch.zeros(given.shape, dtype=given.dtype)
            object.__setattr__(given.term, "constant", constant)
        constant[place] = value
        given.term.index[place] = -1
        return
    value = settled(value)
    if has_unknown(value):
        refuse("an assignment into a known tensor")
    func(given, place, value)


HANDLERS.update(dict.fromkeys(["cat", "concat", "concatenate", "stack", "hstack", "vstack"], _joined))
HANDLERS.update({"where": _where, "masked_fill": _masked, "__setitem__": _assigned})
HANDLERS.update({"tensor": _made, "as_tensor": _made, "asarray": _made, "new_tensor": _made})
