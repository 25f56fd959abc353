"""A random number that the code holds as a Python number."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from specmath.oracle.draws import UnsupportedRandomness

OPERATORS = {
    "add": ("__add__", "__radd__"),
    "subtract": ("__sub__", "__rsub__"),
    "multiply": ("__mul__", "__rmul__"),
    "divide": ("__truediv__", "__rtruediv__"),
    "less": ("__lt__", "__gt__"),
    "less_equal": ("__le__", "__ge__"),
    "greater": ("__gt__", "__lt__"),
    "greater_equal": ("__ge__", "__le__"),
    "equal": ("__eq__", "__eq__"),
    "not_equal": ("__ne__", "__ne__"),
}
"""numpy's name of an operator -> ours, with the random number left and right."""


def _refused(name: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any) -> NoReturn:
        raise UnsupportedRandomness(f"{name} of a random number")

    return refuse


class Scalar:
    """What ``random.random()`` or ``tensor.item()`` gives: arithmetic is recorded, comparisons are decided.

    ``unknown`` is an array of unknown numbers without dimensions, in float64, whose operators do the work; ``plain``
    turns a decided result into a Python number.
    """

    __slots__ = ("plain", "unknown")

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
        return found if getattr(other, "shape", ()) else self.plain(found)

    def _beside(self, other: Any) -> tuple[Any, Any]:
        """The number and a known array, the number in its library and with its dtype: Python numbers do not promote."""
        if isinstance(other, type(self.unknown)):
            return self.unknown, other
        if isinstance(other, np.generic | np.ndarray) and not hasattr(self.unknown, "beside"):
            if np.shape(other) or other.dtype != np.float64:
                raise UnsupportedRandomness(f"a random number of torch beside numpy's {other.dtype} {np.shape(other)}")
            return self.unknown, float(other)
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
    # Without these an error would look like one of the code that is audited.
    __abs__, __round__, __ceil__, __divmod__ = map(_refused, ("abs()", "round()", "ceil()", "divmod()"))
    __mod__ = __rmod__ = _refused("%")
    __floordiv__ = __rfloordiv__ = _refused("//")
    __rpow__ = _refused("a power")

    def __format__(self, spec: str) -> str:
        if spec:
            raise UnsupportedRandomness(f"the format {spec!r} of a random number")
        return repr(self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        name = ufunc.__name__
        (out,) = kwargs.pop("out", (None,))
        # `array -= number` comes with the array as its output, and takes what is returned in its place.
        if method == "__call__" and not kwargs and (out is None or out is inputs[0]):
            if name in OPERATORS:
                left, right = OPERATORS[name]
                one, other = inputs
                return getattr(one, left)(other) if isinstance(one, Scalar) else getattr(other, right)(one)
            if name in ("log", "exp", "sqrt"):
                return getattr(self, name)()
            if name in ("minimum", "maximum") and not any(np.shape(one) for one in inputs if one is not self):
                return (min if name == "minimum" else max)(*inputs)
        raise UnsupportedRandomness(f"numpy's {name} of a random number")

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
