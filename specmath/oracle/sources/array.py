"""A numpy array whose numbers are not known yet; the same object stands for eager jax arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specmath.oracle import race
from specmath.oracle.draws import Draws, Exponential, Uniform, UnsupportedRandomness
from specmath.oracle.resolve import answer, side
from specmath.oracle.scalar import Scalar
from specmath.oracle.term import Full, Term

MOVING = (
    "reshape ravel squeeze expand_dims transpose swapaxes moveaxis broadcast_to take take_along_axis repeat tile flip "
    "roll copy asarray array atleast_1d atleast_2d split array_split"
)
MONOTONE = "add subtract multiply log log1p log2 log10 exp expm1 exp2 negative positive sqrt maximum minimum clip tanh"
TURNING = "divide true_divide reciprocal power float_power square"
ORDERS = {"less": (False, True), "less_equal": (True, True), "greater": (True, False), "greater_equal": (False, False)}
MIRROR = {"less": "greater", "less_equal": "greater_equal", "greater": "less", "greater_equal": "less_equal"}
WHOLE = "floor ceil trunc rint isinf isnan isfinite"


class UnknownArray:
    """An array of cells: operators, ufuncs and a set of numpy functions work on it; others raise by name.

    ``out`` turns what was decided into what the code expects, a jax array for jax.
    """

    unknown_numbers = True
    __array_priority__ = 1000

    def __init__(self, draws: Draws, term: Term, dtype: Any, out: Callable[[Any], Any] | None = None) -> None:
        self.draws, self.term, self.dtype = draws, term, np.dtype(dtype)
        self.out = out

    @property
    def shape(self) -> tuple[int, ...]:
        """As of any array."""
        return self.term.index.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.term.index.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.term.index.size

    @property
    def T(self) -> UnknownArray:
        """Transposed."""
        return self.moved(np.transpose)

    def __len__(self) -> int:
        return len(self.term.index)

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(self))])

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise UnsupportedRandomness("a conversion of random numbers to a plain array cannot be followed exactly")

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        import array_api_compat.numpy

        return array_api_compat.numpy  # code written against the array-API standard finds numpy's functions

    def __repr__(self) -> str:
        return f"<{self.term.kind} random array, shape {self.shape}>"

    def moved(self, move: Callable[[Any], Any]) -> UnknownArray:
        """The same numbers in other places."""
        return UnknownArray(self.draws, self.term.rearranged(move), self.dtype, self.out)

    def __getitem__(self, place: Any) -> Any:
        place = tuple(map(_host, place)) if isinstance(place, tuple) else _host(place)
        return self.moved(lambda array: np.asarray(array[place]))

    def __getattr__(self, name: str) -> Any:
        if name in ("argmax", "argmin", *MOVING.split(), *MONOTONE.split()):
            return lambda *args, **kwargs: self.function(name, (self, *args), kwargs)
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnsupportedRandomness(f"numpy's {name} of random numbers cannot be followed exactly")

    def astype(self, dtype: Any, **kwargs: Any) -> Any:
        """Another dtype; to integers it is decided."""
        if np.dtype(dtype).kind in "iub":
            return self._asked(lambda place, leaf: self.term.at(place, leaf).astype(dtype), "astype", dtype)
        term = Term(self.term.kind, self.term.index, call=lambda a: np.asarray(a).astype(dtype), args=(self.term,))
        return UnknownArray(self.draws, term, dtype, self.out)

    def beside(self, other: Any) -> tuple[UnknownArray, Any]:
        """Itself and a known array in one dtype: for a Python number beside an array of any library."""
        known = _host(other)
        return UnknownArray(self.draws, self.astype(known.dtype).term, known.dtype, _like(other)), known

    def floor(self) -> Any:
        """Rounded down: decided."""
        return self.function("floor", (self,), {})

    def item(self) -> Scalar:
        """A random Python number."""
        return Scalar(self.moved(lambda array: np.asarray(array).reshape(())).astype(np.float64), _python)

    def tolist(self) -> Any:
        """Random Python numbers, nested as the array."""
        return self.item() if not self.ndim else [part.tolist() for part in map(self.part, range(len(self)))]

    def part(self, i: int) -> UnknownArray:
        """Row i."""
        return self.moved(lambda array: np.asarray(array[i]))

    def __float__(self) -> float:
        raise UnsupportedRandomness("float() of a random number, in a module that is not the function's own")

    def __int__(self) -> int:
        return int(self.floor())

    def __bool__(self) -> bool:
        return bool(self != 0)

    __hash__ = None  # type: ignore[assignment]

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs.get("out") is not None:
            raise UnsupportedRandomness(f"numpy's {ufunc.__name__}.{method} or out= with random numbers")
        return self.function(ufunc.__name__, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.function(func.__name__, args, kwargs)

    def function(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A numpy function by its name, on arguments of which some are unknown."""
        args = tuple(_host(arg) for arg in args)
        if name in _MOVING:
            first, *rest = args
            if name in ("asarray", "array", "copy"):
                return first
            if name in ("split", "array_split"):
                parts = getattr(np, name)(first.term.index, *rest, **kwargs)
                return [first.moved(lambda a, i=i: getattr(np, name)(a, *rest, **kwargs)[i]) for i in range(len(parts))]
            return first.moved(lambda array: getattr(np, name)(array, *rest, **kwargs))
        if name in _MONOTONE or name in _TURNING:
            self._sided(name, args)
            return self._recorded(getattr(np, name), args, kwargs, name in _TURNING)
        if name in ORDERS or name in ("equal", "not_equal"):
            return self._compared(name, args)
        if name in _WHOLE:
            call = getattr(np, name)
            kind = np.dtype(bool) if name.startswith("is") else self.dtype
            return self._asked(lambda place, leaf: call(self.term.at(place, leaf)), name, kind)
        if name in ("searchsorted", "digitize"):
            rows, given = args[:2] if name == "searchsorted" else (args[1], args[0])
            call = getattr(np, name)
            if name == "searchsorted":
                return self._asked(
                    lambda p, leaf: call(rows, given.term.at(p, leaf), *args[2:], **kwargs), name, np.int64
                )
            return self._asked(lambda p, leaf: call(given.term.at(p, leaf), rows, *args[2:], **kwargs), name, np.int64)
        if name in ("argmax", "argmin"):
            return self._best(name, *args[1:], **kwargs)
        if name == "where" and len(args) == 3 and not isinstance(args[0], UnknownArray):
            return self._recorded(np.where, args, kwargs, False)
        if name in ("concatenate", "stack", "hstack"):
            return self._joined(name, list(args[0]), args[1:], kwargs)
        if name == "append" and len(args) == 2 and all(isinstance(arg, UnknownArray) for arg in args) and not kwargs:
            return self._joined("concatenate", [arg.moved(np.ravel) for arg in args], (), {})
        if name in ("ones_like", "zeros_like", "full_like", "empty_like"):
            return self._given(getattr(np, name)(np.empty(self.shape, self.dtype), *args[1:], **kwargs))
        if name in ("shape", "ndim", "size"):
            return getattr(self, name)
        raise UnsupportedRandomness(f"numpy's {name} of random numbers cannot be followed exactly")

    def _sided(self, name: str, args: tuple[Any, ...]) -> None:
        """Decide on which side of 0 an expression lies whose call turns there, or is nan below."""
        turning = name in _TURNING and "divide" not in name
        given = args[1:2] if "divide" in name else args[:1] if turning or name in _BOUNDED else ()
        for one in given:
            if isinstance(one, UnknownArray) and one.term.kind == "uniform" and one.term.call is not None:
                one.function("less", (one, -1 if name == "log1p" else 0), {})

    def _recorded(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any], turns: bool) -> UnknownArray:
        unknown = [arg for arg in args if isinstance(arg, UnknownArray)]
        name = call.__name__
        if len(unknown) > 2 or (len(unknown) == 2 and not _same(*unknown)):
            raise UnsupportedRandomness(f"numpy's {name} of two independent random arrays")
        shape = np.broadcast_shapes(*(np.shape(arg) for arg in args if not isinstance(arg, int | float | None)))
        operands = tuple(_operand(arg, shape) for arg in args)
        dummies = [np.ones(arg.shape, arg.dtype) if isinstance(arg, UnknownArray) else arg for arg in args]
        with np.errstate(all="ignore"):
            dtype = call(*dummies, **kwargs).dtype
        term = next(arg for arg in operands if isinstance(arg, Term))

        def quiet(*values: Any, **options: Any) -> Any:
            with np.errstate(all="ignore"):
                return call(*values, **options)

        quiet.__name__ = name
        new = Term(
            term.kind, term.index, call=quiet, args=operands, kwargs=kwargs,
            finish=lambda array: array.astype(dtype), turns=turns or len(unknown) == 2,
        )  # fmt: skip
        return UnknownArray(self.draws, new, dtype, self.out)

    def _compared(self, name: str, args: tuple[Any, ...]) -> Any:
        one, other = args
        given, known = (one, other) if isinstance(one, UnknownArray) else (other, one)
        plain = not isinstance(known, UnknownArray) and given.term.call is None and given.term.kind == "uniform"
        if plain and name in ORDERS:
            order = name if given is one else MIRROR[name]
            python = isinstance(known, int | float) and not isinstance(known, np.generic)
            dtype = np.result_type(given.dtype, known) if not python else given.dtype
            return given._cut(known, dtype, *ORDERS[order])
        shape = np.broadcast_shapes(given.shape, np.shape(known))
        call = getattr(np, name)
        terms = tuple(_operand(arg, shape) for arg in args)
        term = next(arg for arg in terms if isinstance(arg, Term))
        if isinstance(known, UnknownArray) and not _same(given, known):
            raise UnsupportedRandomness(f"numpy's {name} of two independent random arrays")
        equal, turns = name in ("equal", "not_equal"), isinstance(known, UnknownArray)
        new = Term(term.kind, term.index, call=_sign if equal else call, args=terms, turns=turns)
        both = UnknownArray(self.draws, new, bool, given.out)
        if not equal:
            return both._asked(both.term.at, name, bool)
        signs = both._asked(both.term.at, name, np.int8)
        return signs == 0 if name == "equal" else signs != 0

    def _cut(self, known: Any, dtype: Any, inclusive: bool, below: bool) -> Any:
        thresholds = np.asarray(known, dtype=dtype)
        shape = np.broadcast_shapes(self.shape, thresholds.shape)
        numbers = np.broadcast_to(self.term.index, shape).reshape(-1).tolist()
        found = []
        for number, threshold in zip(numbers, np.broadcast_to(thresholds, shape).reshape(-1).tolist(), strict=True):
            cell = self.draws.cells[number]
            assert isinstance(cell, Uniform)
            cut = cell.grid.below(threshold, inclusive=inclusive)
            found.append(threshold == threshold and side(self.draws, cell, cut) == below)
        return self._given(np.array(found, dtype=bool).reshape(shape))

    def _asked(self, ask: Callable[[int, Any], Any], what: str, dtype: Any) -> Any:
        found = []
        for place, number in enumerate(self.term.index.reshape(-1).tolist()):
            cell = self.draws.cells[number]
            if not isinstance(cell, Uniform):
                raise UnsupportedRandomness(f"numpy's {what} of exponentials (races by argmax and argmin can)")

            def answers(points: Sequence[int], place: int = place, cell: Uniform = cell) -> list[Any]:
                with np.errstate(all="ignore"):
                    return np.asarray(ask(place, cell.grid.values(points).astype(self.term.drawn))).tolist()

            monotone = self.term.monotone
            found.append(answer(self.draws, cell, answers, what=f"numpy's {what}", monotone=monotone))
        return self._given(np.array(found, dtype=dtype).reshape(self.shape))

    def _given(self, known: NDArray[Any]) -> Any:
        return self.out(known) if self.out is not None else known if known.ndim else known[()]

    def _best(self, name: str, axis: int | None = None, **kwargs: Any) -> Any:
        places = np.arange(self.size).reshape(self.shape)
        rows = places.reshape(-1) if axis is None else np.moveaxis(places, axis, -1)
        flat = rows.reshape(-1, rows.shape[-1])
        found = [self.draws.look(self._race(row.tolist(), name)) for row in flat]
        index = np.array(found, dtype=np.int64).reshape(rows.shape[:-1])
        if kwargs.get("keepdims"):
            index = np.expand_dims(index, -1 if axis is None else axis)
        return self._given(index)

    def _race(self, places: list[int], what: str) -> int:
        numbers = self.term.index.reshape(-1)[places].tolist()
        if len(set(numbers)) < len(numbers):
            raise UnsupportedRandomness(f"numpy's {what} over numbers that are not independent")
        cells = tuple(self.draws.cells[number] for number in numbers)

        def field(values: race.Floats) -> race.Floats:
            return np.broadcast_to(np.asarray(self.term.rows(places, values), dtype=np.float64), values.shape)

        try:
            exponential, largest = isinstance(cells[0], Exponential), what == "argmax"
            weights = race.solved(field, len(places), exponential=exponential, largest=largest, known=self.draws.races)
        except race.NoRace as error:
            raise UnsupportedRandomness(f"numpy's {what}: {error}") from error
        return self.draws.category(weights, cells)  # type: ignore[arg-type]

    def _joined(self, name: str, parts: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> UnknownArray:
        parts = [part.unknown if isinstance(part, Scalar) else part for part in parts]
        if not all(isinstance(part, UnknownArray) and part.term.call is None for part in parts):
            raise UnsupportedRandomness(f"numpy's {name} of known and random numbers, or of expressions in them")
        index = getattr(np, name)([part.term.index for part in parts], *args, **kwargs)
        return UnknownArray(self.draws, Term(self.term.kind, index, self.term.dtype), self.dtype, self.out)


_MOVING, _MONOTONE = frozenset(MOVING.split()), frozenset(MONOTONE.split())
_BOUNDED = ("log", "log1p", "log2", "log10", "sqrt")
_TURNING, _WHOLE = frozenset(TURNING.split()), frozenset(WHOLE.split())


def _host(value: Any) -> Any:
    """An argument as numpy sees it."""
    if isinstance(value, Scalar):
        return value.unknown
    if isinstance(value, UnknownArray | np.ndarray | np.generic) or not hasattr(value, "__array__"):
        return value
    return np.asarray(value)


def _like(other: Any) -> Callable[[Any], Any] | None:
    """How a decided array becomes one of the library of ``other``."""
    home = type(other).__module__.partition(".")[0]
    if home == "torch":
        import torch

        return lambda known: torch.from_numpy(np.asarray(known))
    if home.startswith("jax"):
        import jax.numpy as jnp

        return jnp.asarray
    return None


def _same(one: UnknownArray, other: UnknownArray) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one.term.index, other.term.index))


def _operand(arg: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(arg, UnknownArray):
        return arg.term if arg.shape == shape else arg.term.rearranged(lambda array: np.broadcast_to(array, shape))
    if isinstance(arg, np.ndarray | np.generic):
        return Full(np.broadcast_to(arg, shape))
    return arg


def _sign(one: Any, other: Any) -> Any:
    """-1 below, 0 equal, 1 above, 2 where one is nan: an expression that changes with a monotone one only."""
    below, above = np.less(one, other), np.greater(one, other)
    known = below | above | np.equal(one, other)
    return np.where(known, above.astype(np.int8) - below.astype(np.int8), 2)


def _python(value: Any) -> Any:
    """A decided number as a Python number."""
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


def _operator(name: str, mirrored: bool = False) -> Callable[[UnknownArray, Any], Any]:
    def apply(self: UnknownArray, other: Any) -> Any:
        if type(other).__module__.partition(".")[0] == "torch":
            mine, known = self.beside(other)
            return mine.function(name, (known, mine) if mirrored else (mine, known), {})
        return self.function(name, (other, self) if mirrored else (self, other), {})

    return apply


for _symbol, _name in (
    ("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("truediv", "divide"), ("pow", "power"),
):  # fmt: skip
    setattr(UnknownArray, f"__{_symbol}__", _operator(_name))
    setattr(UnknownArray, f"__r{_symbol}__", _operator(_name, True))
for _symbol, _name in (
    ("lt", "less"), ("le", "less_equal"), ("gt", "greater"), ("ge", "greater_equal"), ("eq", "equal"),
    ("ne", "not_equal"),
):  # fmt: skip
    setattr(UnknownArray, f"__{_symbol}__", _operator(_name))
setattr(UnknownArray, "__neg__", lambda self: self.function("negative", (self,), {}))  # noqa: B010
