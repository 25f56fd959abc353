"""Blocks and scalars of a kernel: numpy arrays with Triton's rules for dtypes, or random numbers not decided yet."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from specmath.oracle.draws import UnsupportedRandomness

_NUMPY = (np.ndarray, np.generic)
BOOL = np.dtype(np.bool_)
COMPARISONS = frozenset(("lt", "le", "gt", "ge", "eq", "ne"))


class Refused(UnsupportedRandomness):
    """A kernel does something that this interpreter does not do: no fault of the kernel's, and no verdict on it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"specmath's interpreter of Triton kernels does not have: {what}")


class Value:
    """A block or a scalar of a kernel.

    ``data`` is a numpy array, or an unknown tensor of `specmath.oracle.torch_source` for random numbers that nobody has
    compared yet.
    """

    __slots__ = ("data",)
    __array_ufunc__ = None  # numpy leaves the operators to us
    data: Any

    def __init__(self, data: Any) -> None:
        self.data: Any = data if isinstance(data, _NUMPY) or unknown(data) else np.asarray(data)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the elements."""
        return numpy_dtype(self.data.dtype) if unknown(self.data) else self.data.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """As of any block."""
        return tuple(self.data.shape)

    def to(self, dtype: np.dtype[Any], bitcast: bool = False) -> Value:
        """Another dtype, by value or (``bitcast``) by bits."""
        if unknown(self.data):
            if bitcast or dtype.kind != "f":
                raise Refused(f"random numbers converted to {dtype}")
            return self if dtype == self.dtype else Value(self.data.to(torch_dtype(dtype)))
        if dtype == self.data.dtype:
            return self
        return Value(self.data.view(dtype) if bitcast else self.data.astype(dtype))

    def __bool__(self) -> bool:
        return bool(plain(self))

    def __index__(self) -> int:
        return int(plain(self))

    __int__ = __index__

    def __getitem__(self, key: Any) -> Value:
        return Value(self.data[key])

    def __neg__(self) -> Value:
        return Value(-self.data)

    def __invert__(self) -> Value:
        return Value(~plain(self))

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"Value({self.data!r})"


class Later:
    """A whole number that is drawn when somebody looks: code that draws at every position uses one of the draws."""

    __slots__ = ("_ask", "_known")

    def __init__(self, ask: Callable[[], int]) -> None:
        self._ask, self._known = ask, None

    def look(self) -> Value:
        """The number; drawn now, if it was not before."""
        if self._known is None:
            self._known = Value(np.int32(self._ask()))
        return self._known

    def __bool__(self) -> bool:
        return bool(self.look())

    def __index__(self) -> int:
        return int(self.look())


class Largest:
    """The largest of random numbers: above minus infinity, and nothing else is known of it."""

    def __gt__(self, other: Any) -> Value:
        if isinstance(other, Largest) or not np.all(np.isneginf(plain(other))):
            raise Refused("the largest random number of one block compared with that of another; use larger blocks")
        return Value(np.True_)


def unknown(data: Any) -> bool:
    """Whether this is a tensor of random numbers that are not decided."""
    return type(data).__name__ == "Unknown"


def plain(value: Any) -> Any:
    """A known value as numpy has it."""
    if isinstance(value, Later):
        value = value.look()
    if isinstance(value, Value):
        if unknown(value.data):
            return value.data.numpy()  # refused, by name
        return value.data
    return np.asarray(value)


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """Of a torch dtype."""
    name = str(dtype).removeprefix("torch.")
    if name == "bfloat16":
        raise Refused("bfloat16 arrays; hand over float32")
    return np.dtype(name)


def torch_dtype(dtype: np.dtype[Any]) -> Any:
    """Of a numpy dtype."""
    import torch

    return getattr(torch, dtype.name)


def common(one: Any, other: Any, division: bool = False) -> np.dtype[Any]:
    """The dtype in which Triton computes with two operands; Python numbers take that of the other where they can."""
    first, second = _kind(one), _kind(other)
    return _common(*first, *second, division)


def _kind(value: Any) -> tuple[np.dtype[Any], bool]:
    """(dtype, whether it is a Python number)."""
    if isinstance(value, Value):
        return value.dtype, False
    if isinstance(value, _NUMPY):
        return value.dtype, False
    return _weak(value), True


@functools.cache
def _common(
    first: np.dtype[Any], first_weak: bool, second: np.dtype[Any], second_weak: bool, division: bool
) -> np.dtype[Any]:
    if first_weak != second_weak:
        needed, given = (first, second) if first_weak else (second, first)
        if _order(needed) <= _order(given):
            return _divided(given) if division else given
    if first.kind == "f" or second.kind == "f":
        found = max((kind for kind in (first, second) if kind.kind == "f"), key=lambda kind: kind.itemsize)
        return _divided(found) if division else found
    if division and {first.kind, second.kind} == {"i", "u"}:
        raise Refused(f"a quotient of {first} and {second}")
    if division:
        return np.dtype(np.float32)
    if first == BOOL or second == BOOL:
        return second if first == BOOL else first
    if first.kind == second.kind:
        return max(first, second, key=lambda kind: kind.itemsize)
    unsigned, signed = (first, second) if first.kind == "u" else (second, first)
    return unsigned if unsigned.itemsize >= signed.itemsize else signed


def _divided(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Quotients are float32 at least."""
    return dtype if dtype == np.float64 else np.dtype(np.float32)


def _weak(number: Any) -> np.dtype[Any]:
    """The dtype of a Python number in a kernel."""
    if isinstance(number, bool):
        return BOOL
    if isinstance(number, float):
        return np.dtype(np.float32)
    for low, high, kind in _RANGES:
        if low <= number <= high:
            return kind
    raise Refused(f"the number {number}")


_RANGES = tuple(
    (int(np.iinfo(kind).min), int(np.iinfo(kind).max), np.dtype(kind))
    for kind in (np.int32, np.uint32, np.int64, np.uint64)
)


def _order(dtype: np.dtype[Any]) -> int:
    return {"b": 0, "i": 1, "u": 1, "f": 2}[dtype.kind]


def numbers(value: Any, dtype: np.dtype[Any]) -> Any:
    """An operand in the dtype of the computation."""
    if isinstance(value, Value):
        data = value.data
        if isinstance(data, _NUMPY):
            return data if data.dtype == dtype else data.astype(dtype)
        return value.to(dtype).data
    if isinstance(value, int) and dtype.kind in "iu":  # constants of hashes may exceed the dtype, and wrap around
        return np.asarray(value & (1 << 64) - 1, dtype=np.uint64).astype(dtype)
    return np.asarray(value).astype(dtype)


def elementwise(name: str, one: Any, other: Any) -> Value:
    """A binary operation of Python's operator or of numpy, ``name`` as in `NUMPY`.

    Overflows and divisions by zero are the kernel's own business: launches silence numpy.
    """
    if isinstance(one, Later):
        one = one.look()
    if isinstance(other, Later):
        other = other.look()
    dtype = common(one, other, division=name == "truediv")
    first, second = numbers(one, dtype), numbers(other, dtype)
    if isinstance(first, _NUMPY) and isinstance(second, _NUMPY):
        return Value(NUMPY[name](first, second))
    return _followed(name, first, second)


def _followed(name: str, first: Any, second: Any) -> Value:
    """The same through torch, where the explorer listens; a comparison is decided."""
    import torch

    one, other = (data if unknown(data) else torch.from_numpy(np.array(data)) for data in (first, second))
    if name not in TORCH:
        raise Refused(f"{name} of random numbers")
    found = getattr(torch, TORCH[name])(one, other)
    return Value(found if unknown(found) else found.numpy())


def _quotient(one: Any, other: Any) -> Any:
    """Of whole numbers, rounded towards zero as C does."""
    found = np.floor_divide(np.abs(one), np.abs(other))
    return np.where((one < 0) != (other < 0), -found, found).astype(found.dtype)


def _remainder(one: Any, other: Any) -> Any:
    return np.fmod(one, other)


NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
    "floordiv": _quotient, "mod": _remainder, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "lshift": np.left_shift, "rshift": np.right_shift, "maximum": np.fmax, "minimum": np.fmin,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip
TORCH = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "maximum": "maximum", "minimum": "minimum",
    **{name: name for name in COMPARISONS},
}  # fmt: skip


def _operator(name: str, mirrored: bool) -> Callable[[Value, Any], Any]:
    def operator(self: Value, other: Any) -> Any:
        if hasattr(other, "offset"):  # a pointer
            return NotImplemented
        return elementwise(name, other, self) if mirrored else elementwise(name, self, other)

    return operator


for _name in NUMPY:
    if _name in ("maximum", "minimum"):
        continue
    setattr(Value, f"__{_name}__", _operator(_name, False))
    if _name not in COMPARISONS:
        setattr(Value, f"__r{_name}__", _operator(_name, True))
        setattr(Later, f"__r{_name}__", lambda self, other, n=_name: elementwise(n, other, self.look()))
    setattr(Later, f"__{_name}__", lambda self, other, n=_name: elementwise(n, self.look(), other))


def _later_plus(self: Later, other: Any) -> Later:
    """An index within a block becomes one of the vocabulary, and stays to be drawn."""
    return Later(lambda: int(elementwise("add", self.look(), other)))


Later.__add__ = Later.__radd__ = _later_plus  # type: ignore[attr-defined]
