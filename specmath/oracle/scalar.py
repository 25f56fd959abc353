"""A random number that the code holds as a Python number."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from specmath.oracle.draws import UnsupportedRandomness


class Scalar:
    """What ``random.random()`` or ``tensor.item()`` gives: arithmetic is recorded, comparisons are decided.

    ``unknown`` is an array of unknown numbers without dimensions, in float64, whose operators do the work; ``plain``
    turns a decided result into a Python number.
    """

    __slots__ = ("plain", "unknown")
    __array_ufunc__ = None  # numpy leaves the operators to us

    def __init__(self, unknown: Any, plain: Callable[[Any], Any]) -> None:
        self.unknown, self.plain = unknown, plain

    def _with(self, operation: Callable[[Any, Any], Any], other: Any, mirrored: bool = False) -> Any:
        if isinstance(other, Scalar):
            other = other.unknown
        mine = self.unknown
        if hasattr(other, "__array__") or hasattr(other, "__jax_array__"):
            mine, other = self._beside(other)
        found = operation(other, mine) if mirrored else operation(mine, other)
        if isinstance(found, type(self.unknown)):
            return Scalar(found, self.plain) if not getattr(other, "shape", ()) else found
        return self.plain(found)

    def _beside(self, other: Any) -> tuple[Any, Any]:
        """The number and a known array, the number in its library and with its dtype: Python numbers do not promote."""
        if isinstance(other, type(self.unknown)):
            return self.unknown, other
        return self.unknown.beside(other) if hasattr(self.unknown, "beside") else (self.unknown.to(other.dtype), other)

    def __add__(self, other: Any) -> Any:
        return self._with(operator.add, other)

    def __radd__(self, other: Any) -> Any:
        return self._with(operator.add, other, True)

    def __sub__(self, other: Any) -> Any:
        return self._with(operator.sub, other)

    def __rsub__(self, other: Any) -> Any:
        return self._with(operator.sub, other, True)

    def __mul__(self, other: Any) -> Any:
        return self._with(operator.mul, other)

    def __rmul__(self, other: Any) -> Any:
        return self._with(operator.mul, other, True)

    def __truediv__(self, other: Any) -> Any:
        return self._with(operator.truediv, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with(operator.truediv, other, True)

    def __pow__(self, other: Any) -> Any:
        return self._with(operator.pow, other)

    def __neg__(self) -> Any:
        return Scalar(-self.unknown, self.plain)

    def __lt__(self, other: Any) -> Any:
        return self._with(operator.lt, other)

    def __le__(self, other: Any) -> Any:
        return self._with(operator.le, other)

    def __gt__(self, other: Any) -> Any:
        return self._with(operator.gt, other)

    def __ge__(self, other: Any) -> Any:
        return self._with(operator.ge, other)

    def __eq__(self, other: Any) -> Any:
        return self._with(operator.eq, other)

    def __ne__(self, other: Any) -> Any:
        return self._with(operator.ne, other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __int__(self) -> int:
        return int(self.plain(self.unknown.floor()))

    __trunc__ = __floor__ = __int__

    def __float__(self) -> NoReturn:
        raise UnsupportedRandomness("float() of a random number, in a module that is not the function's own")

    def item(self) -> Scalar:
        """Itself."""
        return self

    def log(self) -> Scalar:
        """Natural logarithm."""
        return Scalar(self.unknown.log(), self.plain)

    def exp(self) -> Scalar:
        """Exponential."""
        return Scalar(self.unknown.exp(), self.plain)

    def sqrt(self) -> Scalar:
        """Square root."""
        return Scalar(self.unknown.sqrt(), self.plain)

    def __repr__(self) -> str:
        return "<random number>"


class _Floats(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, float | Scalar)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, float | Scalar)

    def __eq__(cls, other: object) -> bool:
        return other is float or other is cls

    def __hash__(cls) -> int:
        return hash(float)


class Float(metaclass=_Floats):
    """What stands for ``float`` in the function's module: a conversion, a type to look at, and numpy's float64."""

    dtype = np.dtype(np.float64)
    fromhex = float.fromhex

    def __new__(cls, value: Any = 0.0) -> Any:
        """A random number stays one; anything else becomes a float."""
        if isinstance(value, Scalar):
            return value
        return value.item() if _is_array(value) else float(value)


def _is_array(value: Any) -> bool:
    """Whether this is an unknown array of one of the libraries."""
    return type(value).__name__ in ("Unknown", "UnknownArray")


class Math:
    """What stands for the module ``math`` in the function's module."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(math, name)
        if not callable(real):
            return real

        def call(*args: Any) -> Any:
            args = tuple(Float(arg) if _is_array(arg) else arg for arg in args)
            if not any(isinstance(arg, Scalar) for arg in args):
                return real(*args)
            if name in ("log", "exp", "sqrt") and len(args) == 1:
                return getattr(args[0], name)()
            if name in ("floor", "trunc"):
                return int(args[0])
            raise UnsupportedRandomness(f"math.{name} of a random number")

        return call
