"""What kernels use of ``triton.language``, on `Value` blocks."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from specmath.oracle.adapters.eager import memory
from specmath.oracle.adapters.eager.philox import uniform
from specmath.oracle.adapters.eager.values import Largest, Later, Refused, Value, elementwise, plain, unknown

DTYPES = "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"


class Language:
    """The module ``triton.language`` of one interpreter; ``program`` is where the program stands in the grid."""

    def __init__(self) -> None:
        self.program: tuple[int, ...] = (0, 0, 0)
        self.grid: tuple[int, ...] = (1, 1, 1)
        for name in DTYPES.split():
            setattr(self, name, np.dtype(name))
        self.int1 = np.dtype(np.bool_)
        self.load, self.store, self.static_range = memory.load, memory.store, range
        self.range = range
        self.math = SimpleNamespace(exp=self.exp, log=self.log, log1p=self.log1p)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Refused(f"triton.language.{name}")

    @staticmethod
    def constexpr(value: Any) -> Any:
        """A constant is its value."""
        return value

    def program_id(self, axis: int) -> Value:
        """Where the program stands."""
        return Value(np.int32(self.program[axis]))

    def num_programs(self, axis: int) -> Value:
        """How many there are."""
        return Value(np.int32(self.grid[axis]))

    @staticmethod
    def arange(start: int, end: int) -> Value:
        """Whole numbers."""
        return Value(np.arange(int(start), int(end), dtype=np.int32))

    @staticmethod
    def zeros(shape: Any, dtype: np.dtype[Any]) -> Value:
        """A block of zeros."""
        return Value(np.zeros(tuple(shape), dtype=dtype))

    @staticmethod
    def full(shape: Any, value: Any, dtype: np.dtype[Any]) -> Value:
        """A block of one number."""
        return Value(np.full(tuple(shape), plain(value), dtype=dtype))

    @staticmethod
    def cast(value: Any, dtype: np.dtype[Any], bitcast: bool = False) -> Value:
        """Another dtype."""
        return _value(value).to(dtype, bitcast)

    @staticmethod
    def where(condition: Any, one: Any, other: Any) -> Any:
        """One or the other, element by element."""
        chosen = plain(condition).astype(bool)
        if isinstance(one, Later) or isinstance(other, Later):
            return one if chosen.all() else other if not chosen.any() else _refuse("where of numbers drawn later")
        if any(isinstance(x, Value) and unknown(x.data) for x in (one, other)):
            return _where_random(chosen, one, other)
        # The dtype is that of a sum of the two.
        like = elementwise("add", one, other).dtype if not _both_bool(one, other) else np.dtype(np.bool_)
        return Value(np.where(chosen, plain(one).astype(like), plain(other).astype(like)))

    @staticmethod
    def maximum(one: Any, other: Any) -> Any:
        """The larger; a number beside nan."""
        return elementwise("maximum", one, other)

    @staticmethod
    def minimum(one: Any, other: Any) -> Any:
        """The smaller; a number beside nan."""
        if isinstance(one, Later):
            return Later(lambda: int(elementwise("minimum", one.look(), other)))
        return elementwise("minimum", one, other)

    @staticmethod
    def max(block: Value, axis: int | None = None, return_indices: bool = False) -> Any:
        """The largest, and where it is; of random numbers a race."""
        if unknown(block.data):
            if not return_indices:
                _refuse("the maximum of random numbers")
            return Largest(), Later(lambda: int(block.data.argmax()))
        data = plain(block)
        found = Value(_reduced(np.max, data, axis))
        return (found, _best(data, axis)) if return_indices else found

    @staticmethod
    def min(block: Value, axis: int | None = None) -> Value:
        """The smallest."""
        return Value(_reduced(np.min, plain(block), axis))

    @staticmethod
    def argmax(block: Value, axis: int) -> Any:
        """Where the largest is; of random numbers a race."""
        return Later(lambda: int(block.data.argmax())) if unknown(block.data) else _best(plain(block), axis)

    @staticmethod
    def sum(block: Value, axis: int | None = None) -> Value:
        """The sum; numpy's order of summands."""
        data = plain(block)
        data = data.astype(np.int32) if data.dtype == np.bool_ else data
        return Value(np.sum(data, axis=axis, dtype=data.dtype))

    @staticmethod
    def cumsum(block: Value, axis: int = 0) -> Value:
        """Partial sums."""
        data = plain(block)
        return Value(np.cumsum(data, axis=axis, dtype=data.dtype))

    @staticmethod
    def exp(value: Any) -> Value:
        """Exponential."""
        return _unary(np.exp, "exp", value)

    @staticmethod
    def log(value: Any) -> Value:
        """Natural logarithm."""
        return _unary(np.log, "log", value)

    @staticmethod
    def log1p(value: Any) -> Value:
        """log(1 + x)."""
        return _unary(np.log1p, "log1p", value)

    @staticmethod
    def sqrt(value: Any) -> Value:
        """Square root."""
        return _unary(np.sqrt, "sqrt", value)

    @staticmethod
    def abs(value: Any) -> Value:
        """Absolute value."""
        return Value(np.abs(plain(value)))

    @staticmethod
    def rand(seed: Any, offset: Any) -> Value:
        """The uniforms of Triton's counter-based generator."""
        return Value(uniform(int(plain(seed)), plain(offset)))

    @staticmethod
    def static_assert(condition: Any, message: str = "") -> None:
        """What a kernel asks of its constants."""
        if not condition:
            raise AssertionError(message)


def _value(value: Any) -> Value:
    if isinstance(value, Later):
        return value.look()
    if isinstance(value, Value):
        return value
    return Value(np.float32(value) if isinstance(value, float) else np.asarray(value))


def _unary(call: Callable[..., Any], name: str, value: Any) -> Value:
    value = _value(value)
    if unknown(value.data):
        import torch

        return Value(getattr(torch, name)(value.data))
    if value.dtype.kind != "f":
        _refuse(f"{name} of {value.dtype}")
    return Value(call(value.data))


def _reduced(call: Callable[..., Any], data: Any, axis: int | None) -> Any:
    """Triton's reductions ignore nan unless all are."""
    if data.dtype.kind == "f" and np.isnan(data).any():
        call = {np.max: np.fmax.reduce, np.min: np.fmin.reduce}[call]
        return call(data, axis=axis)
    return call(data, axis=axis)


def _best(data: Any, axis: int | None) -> Value:
    return Value(np.argmax(data, axis=axis).astype(np.int32))


def _both_bool(one: Any, other: Any) -> bool:
    return all(plain(value).dtype == np.bool_ for value in (one, other))


def _where_random(chosen: Any, one: Any, other: Any) -> Value:
    import torch

    if chosen.all() and isinstance(one, Value) and one.shape == np.broadcast_shapes(chosen.shape, one.shape):
        return one
    random = [isinstance(x, Value) and unknown(x.data) for x in (one, other)]
    dtype: Any = (one if random[0] else other).data.dtype
    parts: list[Any] = [
        x.data if is_random else torch.from_numpy(np.array(plain(x))).to(dtype)
        for x, is_random in zip((one, other), random, strict=True)
    ]
    found: Any = torch.where(torch.from_numpy(np.array(chosen)), parts[0], parts[1])
    return Value(found if unknown(found) else found.numpy())


def _refuse(what: str) -> Any:
    raise Refused(what)
