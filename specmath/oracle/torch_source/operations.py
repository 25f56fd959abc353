"""Torch functions that move unknown numbers, or compute with them: nothing is decided yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from specmath.oracle.draws import Draws
from specmath.oracle.term import Full, Term
from specmath.oracle.torch_source.unknown import HANDLERS, Unknown, broadcast, has_unknown, refuse, settled

Func = Callable[..., Any]
Args = tuple[Any, ...]
Kwargs = dict[str, Any]

MOVING = (
    "__getitem__ view reshape squeeze unsqueeze expand expand_as transpose permute t T mT swapaxes swapdims movedim "
    "flatten unflatten clone contiguous index_select gather select narrow repeat tile broadcast_to flip roll detach "
    "take_along_dim diagonal repeat_interleave view_as reshape_as masked_select take ravel cpu data unbind split "
    "chunk tensor_split atleast_1d atleast_2d"
)
MONOTONE = (
    "exp exp2 expm1 neg negative __neg__ sigmoid tanh relu positive __pos__ nan_to_num "
    "clamp clip clamp_min clamp_max add __add__ __radd__ sub subtract __sub__ __rsub__ rsub mul multiply __mul__ "
    "__rmul__ maximum minimum fmin fmax float double half bfloat16 type_as"
)
"""Monotone in the unknown operand, whatever the known ones are."""
TURNING = "div divide true_divide __truediv__ __rtruediv__ __rdiv__ reciprocal pow __pow__ __rpow__ square rsqrt abs"
"""Monotone for some operands, so that the values are looked at."""
BOUNDED = "log log2 log10 log1p sqrt logit"
"""Monotone where they are no nan."""

IN_PLACE = (
    "log_ exp_ neg_ clamp_ clamp_min_ clamp_max_ add_ sub_ mul_ div_ sqrt_ reciprocal_ pow_ __iadd__ __isub__ "
    "__imul__ __itruediv__ log1p_ expm1_ square_ log2_"
)


def moved(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    """Indexing, reshaping and the like: the same call on the cell numbers."""
    given, *others = args
    rest, kwargs = settled(tuple(others)), settled(kwargs)
    if has_unknown((rest, kwargs)):
        refuse(f"torch's {func.__name__} by an index that depends on them")
    if not isinstance(given, Unknown):  # a known tensor, indexed by a drawn index
        return func(given, *rest, **kwargs)
    first = func(given.term.index, *rest, **kwargs)
    if func.__name__ == "clone":
        return Unknown(draws, given.term.rearranged(torch.clone), given.dtype)
    if isinstance(first, torch.Tensor):
        return part(given, given.term.rearranged(lambda array: func(array, *rest, **kwargs)))
    return type(first)(
        part(given, given.term.rearranged(lambda array, i=i: func(array, *rest, **kwargs)[i]))
        for i in range(len(first))
    )


def part(given: Unknown, term: Term) -> Unknown:
    """An unknown tensor that shares cells with ``given``."""
    found = Unknown(given.draws, term, given.dtype)
    found.is_view = given.viewed = True
    return found


def _iterated(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    return iter(moved(draws, torch.Tensor.unbind, args, {}))


def recorded(draws: Draws, func: Func, args: Args, kwargs: Kwargs, turns: bool = False) -> Any:
    """An elementwise call: noted in the term."""
    args, kwargs = settled(args), settled(kwargs)
    if not has_unknown((args, kwargs)):
        return func(*args, **kwargs)
    unknown = [arg for arg in args if isinstance(arg, Unknown)]
    if has_unknown(kwargs) or len(unknown) > 2 or any(isinstance(arg, torch.Tensor) for arg in kwargs.values()):
        refuse(f"torch's {func.__name__} with tensors by keyword")
    if len(unknown) == 2 and not same_cells(*unknown):
        refuse(f"torch's {func.__name__} of two independent tensors")
    given = unknown[0]
    shape = broadcast(*(arg.shape for arg in args if isinstance(arg, torch.Tensor)))
    operands = tuple(operand(arg, given, shape) for arg in args)
    dtype = func(*map(_dummy, args), **kwargs).dtype
    if not dtype.is_floating_point:
        refuse(f"torch's {func.__name__} to {dtype}")
    term = next(arg for arg in operands if isinstance(arg, Term))
    turns = turns or len(unknown) == 2
    new = Term(term.kind, term.index, call=func, args=operands, kwargs=kwargs, finish=_to(dtype), turns=turns)
    return Unknown(draws, new, dtype)


def operand(arg: Any, given: Unknown, shape: torch.Size) -> Any:
    """An argument as a term keeps it: in its shape; known tensors without dimensions stay, they do not promote."""
    if isinstance(arg, Unknown):
        return arg.term if arg.shape == shape else arg.term.rearranged(lambda array: array.expand(shape))
    if isinstance(arg, torch.Tensor) and (arg.ndim or not given.ndim):
        return Full(arg.expand(shape))
    return arg


def same_cells(one: Unknown, other: Unknown) -> bool:
    """Whether two tensors are expressions in the same random numbers, element by element."""
    return one.shape == other.shape and torch.equal(one.term.index, other.term.index)


def _dummy(arg: Any) -> Any:
    """A known tensor of the same shape and dtype."""
    return torch.ones(arg.shape, dtype=arg.dtype, device=arg.term.index.device) if isinstance(arg, Unknown) else arg


def _to(dtype: torch.dtype) -> Func:
    return lambda array: array.to(dtype)


def turning(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    """An elementwise call that is monotone for some operands only: on either side of 0, which is decided first."""
    name = func.__name__
    if name.strip("_") in ("div", "divide", "true_divide", "truediv"):
        _sided(draws, args[1:2], (0,))
    else:
        _sided(draws, args[:1], (0,))
    return recorded(draws, func, args, kwargs, True)


def bounded(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    """An elementwise call that is nan outside of an interval: on which side of its ends is decided first."""
    _sided(draws, args[:1], {"log1p": (-1,), "logit": (0, 1)}.get(func.__name__, (0,)))
    return recorded(draws, func, args, kwargs)


def _sided(draws: Draws, given: Args, ends: tuple[float, ...]) -> None:
    """Decide on which sides of ``ends`` an expression in uniforms lies; a uniform itself lies in [0, 1)."""
    for one in given:
        if isinstance(one, Unknown) and one.term.kind == "uniform" and one.term.call is not None:
            for end in ends:
                HANDLERS["lt"](draws, torch.Tensor.lt, (one, end), {})


def cast(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    """A change of dtype or device; to integers it is decided at once."""
    given = args[0]
    if not isinstance(given, Unknown):
        return func(*map(_dummy, args), **kwargs)
    like = func(*map(_dummy, args), **kwargs)
    if like.device != given.device:
        refuse("a move to another device")
    if like.dtype == given.dtype:
        return given
    if given.term.kind == "category":
        term = given.term
        constant = None if term.constant is None else term.constant.to(like.dtype)
        return Unknown(draws, Term("category", term.index, term.dtype, constant), like.dtype)
    if not like.dtype.is_floating_point:
        return HANDLERS["long"](draws, torch.Tensor.to, (given, like.dtype), {})
    return recorded(draws, torch.Tensor.to, (given, like.dtype), {})


def in_place(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    """``x.log_()`` and the like on an unknown tensor that no other tensor is a view of."""
    given = args[0]
    name = func.__name__.rstrip("_") if not func.__name__.startswith("__") else f"__{func.__name__[3:]}"
    result = HANDLERS[name](draws, getattr(torch.Tensor, name), args, kwargs)
    if not isinstance(given, Unknown):
        if not isinstance(result, Unknown):
            return func(*settled(args), **settled(kwargs))
        if result.dtype != given.dtype or result.shape != given.shape:
            refuse(f"torch's {func.__name__} on a tensor of another dtype or shape")
        return draws.stores["torch"].become(given, result)
    if given.term.kind == "category":
        refuse(f"torch's {func.__name__} on a drawn index")
    if given.is_view or given.viewed:
        refuse(f"torch's {func.__name__} on a tensor and views of it")
    given.term = recorded(draws, torch.Tensor.to, (result, given.dtype), {}).term
    return given


HANDLERS.update(dict.fromkeys(MOVING.split(), moved))
HANDLERS.update(dict.fromkeys(MONOTONE.split(), recorded))
HANDLERS.update(dict.fromkeys(TURNING.split(), turning))
HANDLERS.update(dict.fromkeys(BOUNDED.split(), bounded))
HANDLERS.update({"__iter__": _iterated, "to": cast, "type": cast, "type_as": cast})
HANDLERS.update(dict.fromkeys(["float", "double", "half", "bfloat16"], cast))
HANDLERS.update(dict.fromkeys(IN_PLACE.split(), in_place))
