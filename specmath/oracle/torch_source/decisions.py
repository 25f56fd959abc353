"""Torch functions whose result is discrete: comparisons, conversions to integers, searches, races. They are decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from specmath.oracle import race
from specmath.oracle.draws import Draws, Exponential, Uniform, UnsupportedRandomness
from specmath.oracle.index import index
from specmath.oracle.resolve import answer, side
from specmath.oracle.scalar import Scalar
from specmath.oracle.term import Full, Term
from specmath.oracle.torch_source.operations import Args, Func, Kwargs, operand, recorded, same_cells
from specmath.oracle.torch_source.unknown import HANDLERS, Unknown, broadcast, has_unknown, refuse, settled

ORDERS = {
    "lt": (False, True), "less": (False, True), "__lt__": (False, True),
    "le": (True, True), "less_equal": (True, True), "__le__": (True, True),
    "gt": (True, False), "greater": (True, False), "__gt__": (True, False),
    "ge": (False, False), "greater_equal": (False, False), "__ge__": (False, False),
}  # fmt: skip
"""Of ``uniform < threshold`` and the like: whether the threshold itself lies below the cut, and the answer below it."""
WHOLE = "long int short byte floor ceil round trunc isinf isnan isfinite"
MIRROR = {"l": "g", "g": "l"}


def _compared(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    args, kwargs = settled(args), settled(kwargs)
    if not has_unknown((args, kwargs)):
        return func(*args, **kwargs)
    if kwargs or len(args) != 2:
        refuse(f"torch's {func.__name__} with keywords")
    one, other = args
    name = func.__name__
    if isinstance(one, Unknown) and isinstance(other, Unknown):
        if not same_cells(one, other):
            refuse(f"torch's {name} of two independent tensors")
        terms = one.term, other.term
        both = Unknown(draws, Term(terms[0].kind, terms[0].index, call=func, args=terms, turns=True), one.dtype)
        return _asked(draws, both, both.term.at, name, torch.bool)
    mirrored = not isinstance(one, Unknown)
    given, known = (other, one) if mirrored else (one, other)
    if name in ORDERS and given.term.call is None and given.term.kind == "uniform":
        if mirrored:
            plain = name.strip("_")
            name = MIRROR[plain[0]] + plain[1:] if len(plain) == 2 else refuse(f"torch's {name}")
        dtype = torch.result_type(torch.empty(given.shape, dtype=given.dtype), known)
        if torch.promote_types(dtype, given.dtype) == dtype:  # the grid point is compared as it is
            return _cut(draws, given, known, dtype, *ORDERS[name])
    shape = broadcast(given.shape, known.shape if isinstance(known, torch.Tensor) else ())
    terms = tuple(operand(arg, given, shape) for arg in args)
    (term,) = [arg for arg in terms if isinstance(arg, Term)]
    equal = name.strip("_") in ("eq", "ne", "equal", "not_equal")
    call = _sign if equal else func
    both = Unknown(draws, Term(term.kind, term.index, call=call, args=terms), given.dtype)
    if not equal:
        return _asked(draws, both, both.term.at, func.__name__, torch.bool)
    signs = _asked(draws, both, both.term.at, func.__name__, torch.int8)
    return signs == 0 if name.strip("_") in ("eq", "equal") else signs != 0


def _sign(one: Any, other: Any) -> torch.Tensor:
    """-1 below, 0 equal, 1 above, 2 where one is nan: an expression that changes with a monotone one only."""
    below, above = torch.lt(one, other), torch.gt(one, other)
    known = below | above | torch.eq(one, other)
    return torch.where(known, above.to(torch.int8) - below.to(torch.int8), 2)


def _cut(draws: Draws, given: Unknown, known: Any, dtype: torch.dtype, inclusive: bool, below: bool) -> torch.Tensor:
    """A plain uniform against thresholds: the cut is counted, not searched."""
    device = given.term.index.device
    thresholds = torch.as_tensor(known, device=device).to(dtype)
    shape = broadcast(given.shape, thresholds.shape)
    numbers = given.term.index.expand(shape).reshape(-1).tolist()
    constant = given.term.constant
    constants = None if constant is None else constant.to(dtype).expand(shape).reshape(-1).tolist()
    found = []
    for place, (number, threshold) in enumerate(
        zip(numbers, thresholds.expand(shape).reshape(-1).tolist(), strict=True)
    ):
        if number < 0:
            assert constants is not None
            value = constants[place]
            found.append(((value <= threshold) if inclusive else (value < threshold)) == below)
            continue
        cell = draws.cells[number]
        assert isinstance(cell, Uniform)
        if threshold != threshold:  # nan: every comparison is false
            found.append(False)
            continue
        found.append(side(draws, cell, cell.grid.below(threshold, inclusive=inclusive)) == below)
    return torch.tensor(found, dtype=torch.bool, device=device).reshape(shape)


Ask = Callable[[int, torch.Tensor], torch.Tensor]


def _asked(draws: Draws, given: Unknown, ask: Ask, what: str, dtype: torch.dtype) -> torch.Tensor:
    """``ask(place, values of the cell)`` for every element, decided."""
    found: list[Any] = []
    term = given.term
    device = term.index.device
    for place, number in enumerate(term.index.reshape(-1).tolist()):
        if number < 0:
            refuse(f"torch's {what} of known and random numbers together")
        cell = draws.cells[number]
        if not isinstance(cell, Uniform):
            refuse(f"torch's {what} of exponentials (races by argmax, argmin and topk can)")

        def answers(points: Any, place: int = place, cell: Uniform = cell) -> list[Any]:
            values = torch.from_numpy(cell.grid.values(points)).to(device=device, dtype=term.drawn)
            return ask(place, values).tolist()

        found.append(answer(draws, cell, answers, what=f"torch's {what}", monotone=term.monotone))
    return torch.tensor(found, dtype=dtype, device=device).reshape(given.shape)


def _whole(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    """``long``, ``floor`` and the like: the whole number is decided."""
    args, kwargs = settled(args), settled(kwargs)
    given, *rest = args
    if not isinstance(given, Unknown):
        return func(*args, **kwargs)
    dtype = func(torch.ones((), dtype=given.dtype), *rest, **kwargs).dtype
    return _asked(
        draws, given, lambda place, leaf: func(given.term.at(place, leaf), *rest, **kwargs), func.__name__, dtype
    )


def _searched(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    """``searchsorted(cumulative, u)`` and ``bucketize(u, cumulative)``."""
    args, kwargs = settled(args), settled(kwargs)
    rows, given = args[:2] if func is torch.searchsorted else (args[1], args[0])
    if not isinstance(given, Unknown) or has_unknown((rows, kwargs)) or "sorter" in kwargs:
        refuse(f"torch's {func.__name__}")
    wide = rows if rows.ndim == 1 else rows.unsqueeze(-2).expand(*given.shape, rows.shape[-1])
    flat = wide.reshape(-1, rows.shape[-1])

    def ask(place: int, leaf: torch.Tensor) -> torch.Tensor:
        row = flat[place if len(flat) > 1 else 0]
        return torch.searchsorted(row, given.term.at(place, leaf).contiguous(), **kwargs)

    return _asked(draws, given, ask, func.__name__, torch.int32 if kwargs.get("out_int32") else torch.int64)


def _item(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    (given,) = args
    if given.term.kind == "category" and given.numel() == 1:
        return _indices(given.reshape(-1))[0]
    if given.numel() != 1:
        refuse(f"torch's {func.__name__} of several")
    return Scalar(recorded(draws, torch.Tensor.to, (given.reshape(()), torch.float64), {}), _python)


def _listed(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    (given,) = args
    if given.term.kind == "category":
        return _nested(_indices(given.reshape(-1)), list(given.shape))
    return [_listed(draws, func, (part,), {}) for part in given] if given.ndim else _item(draws, func, args, kwargs)


def _indices(given: Unknown) -> list[Any]:
    """Drawn indices as Python numbers, not looked at; a single dimension."""
    term = given.term
    numbers = term.index.tolist()
    constants = numbers if term.constant is None else term.constant.tolist()
    values = [index(given.draws, n) if n >= 0 else c for n, c in zip(numbers, constants, strict=True)]
    return [float(v) if given.dtype.is_floating_point else v for v in values]


def _nested(values: list[Any], shape: list[int]) -> Any:
    if not shape:
        return values[0]
    size = len(values) // shape[0] if shape[0] else 0
    return [_nested(values[i * size : (i + 1) * size], shape[1:]) for i in range(shape[0])]


def _python(value: Any) -> Any:
    """A decided tensor without dimensions as a Python number."""
    return value.item() if isinstance(value, torch.Tensor) and not isinstance(value, Unknown) else value


def _boolean(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> bool:
    (given,) = settled(args)
    return bool(given) if not isinstance(given, Unknown) else bool(_compared(draws, torch.Tensor.ne, (given, 0), {}))


def _float(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> float:
    (given,) = settled(args)
    return (
        float(given) if not isinstance(given, Unknown) else refuse("float() in a module that is not the function's own")
    )


def _int(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> int:
    (given,) = settled(args)
    return int(given) if not isinstance(given, Unknown) else int(_whole(draws, torch.Tensor.long, (given,), {}))


def _best(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    """``argmax`` and ``argmin`` along one dimension: an index per race, not yet looked at."""
    args, kwargs = settled(args), settled(kwargs)
    given = args[0]
    if not isinstance(given, Unknown):
        return func(*args, **kwargs)
    dim = args[1] if len(args) > 1 else kwargs.get("dim")
    keep = args[2] if len(args) > 2 else kwargs.get("keepdim", False)
    largest = func.__name__ == "argmax"
    rows = _rows(given, dim)
    numbers = [
        draws.category(*_race(draws, given, row, largest, func.__name__))
        for row in rows.reshape(-1, rows.shape[-1]).tolist()
    ]
    winners = torch.tensor(numbers, dtype=torch.int64, device=given.term.index.device)
    shape = rows.shape[:-1]
    winners = winners.reshape(shape)
    if keep:
        winners = winners.reshape([1] * given.ndim) if dim is None else winners.unsqueeze(dim)
    return Unknown(draws, Term("category", winners, torch.int64), torch.int64)


def _rows(given: Unknown, dim: int | None) -> torch.Tensor:
    """Flat places of the elements, the raced dimension last."""
    places = torch.arange(given.numel()).reshape(given.shape)
    return places.reshape(-1) if dim is None else places.movedim(dim, -1)


def _race(draws: Draws, given: Unknown, places: list[int], largest: bool, what: str) -> tuple[list[float], Any]:
    term = given.term
    numbers = term.index.reshape(-1)[places].tolist()
    cells = [draws.cells[n] for n in numbers if n >= 0]
    if (
        len(cells) < len(places)
        or len(set(numbers)) < len(numbers)
        or (term.constant is not None and (term.index < 0).any())
    ):
        refuse(f"torch's {what} over numbers that are not independent and random")
    direct = _ratio(term, places) if largest and term.kind == "exponential" else None
    if direct is not None:
        return direct, tuple(cells)
    exact = _in_float64(term)

    def field(values: race.Floats) -> race.Floats:
        found = exact.rows(places, torch.from_numpy(np.ascontiguousarray(values)).to(term.index.device))
        return found.expand(values.shape).cpu().numpy()

    try:
        exponential = term.kind == "exponential"
        found = race.solved(field, len(places), exponential=exponential, largest=largest, known=draws.races)
        return found, tuple(cells)
    except race.NoRace as error:
        raise UnsupportedRandomness(f"torch's {what}: {error}") from error


def _ratio(term: Term, places: list[int]) -> list[float] | None:
    """The weights w of a race of ``w / E``, read off."""
    if term.call is None or term.call.__name__ not in ("div", "__truediv__", "true_divide", "divide") or term.kwargs:
        return None
    over, under = term.args
    if isinstance(over, Full) and isinstance(under, Term) and under.call is None:
        weights = over.array.reshape(-1)[places].to(torch.float64).tolist()
        return weights if all(0 <= weight < float("inf") for weight in weights) and sum(weights) > 0 else None
    return None


def _in_float64(term: Term) -> Term:
    """The term with float64 arithmetic: a race is computed on the continuum."""
    if term.call is None:
        return Term(term.kind, term.index, torch.float64, term.constant)
    args = tuple(
        _in_float64(arg)
        if isinstance(arg, Term)
        else Full(arg.array.to(torch.float64))
        if isinstance(arg, Full) and arg.array.is_floating_point()
        else torch.float64
        if isinstance(arg, torch.dtype)
        else arg
        for arg in term.args
    )
    return Term(term.kind, term.index, call=term.call, args=args, kwargs=term.kwargs)


def _top(draws: Draws, func: Func, args: Args, kwargs: Kwargs) -> Any:
    """``topk`` of a race: without replacement, decided at once. The values are not given."""
    args, kwargs = settled(args), settled(kwargs)
    given, *rest = args
    if not isinstance(given, Unknown):
        return func(*args, **kwargs)
    bound = {**dict(zip(("k", "dim", "largest"), rest, strict=False)), **kwargs}
    k, dim, largest = bound["k"], bound.get("dim", -1), bound.get("largest", True)
    rows = _rows(given, dim)
    found = []
    for row in rows.reshape(-1, rows.shape[-1]).tolist():
        weights, cells = _race(draws, given, row, largest, "topk")
        weights, order = list(weights), []
        for cell in cells:
            if isinstance(cell, Exponential) and cell.spent:
                raise UnsupportedRandomness("two races by the same random numbers were both looked at")
            if isinstance(cell, Exponential):
                cell.spent = True
            else:
                cell.high = cell.low
        for _ in range(k):
            if not sum(weights) > 0:
                refuse("torch's topk with fewer positive weights than k")
            order.append(draws.choose(weights))
            weights[order[-1]] = 0.0
        found.append(order)
    places = torch.tensor(found, device=given.term.index.device).reshape(*rows.shape[:-1], k).movedim(-1, dim)
    return torch.return_types.topk((recorded(draws, torch.Tensor.mul, (given, 1), {}).gather(dim, places), places))


HANDLERS.update(dict.fromkeys([*ORDERS, "eq", "ne", "__eq__", "__ne__", "equal", "not_equal"], _compared))
HANDLERS.update(dict.fromkeys(WHOLE.split(), _whole))
HANDLERS.update({"searchsorted": _searched, "bucketize": _searched, "item": _item, "tolist": _listed})
HANDLERS.update({"__bool__": _boolean, "__float__": _float, "__int__": _int, "__index__": _int})
HANDLERS.update({"argmax": _best, "argmin": _best, "topk": _top})
