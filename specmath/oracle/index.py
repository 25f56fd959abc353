"""An index that was drawn and that the code holds as a Python number: it is decided when somebody looks."""

from __future__ import annotations

import numbers
from typing import Any

from specmath.oracle.draws import Category, Draws


class Index:
    """A whole number that nobody has looked at; whatever asks for its value decides it, and it is an int from then on.

    Code that draws at every position and uses one of the draws is explored along that one.
    """

    __slots__ = ("draws", "number")

    def __init__(self, draws: Draws, number: int) -> None:
        self.draws, self.number = draws, number

    def __index__(self) -> int:
        return self.draws.look(self.number)

    __int__ = __index__

    def __float__(self) -> float:
        return float(self.__index__())

    def __bool__(self) -> bool:
        return bool(self.__index__())

    def __hash__(self) -> int:
        return hash(self.__index__())

    def __eq__(self, other: Any) -> Any:
        if isinstance(other, Index) and other.number == self.number:
            return True
        return self.__index__() == _int(other)

    def __ne__(self, other: Any) -> Any:
        return self.__index__() != _int(other)

    def __lt__(self, other: Any) -> Any:
        return self.__index__() < _int(other)

    def __le__(self, other: Any) -> Any:
        return self.__index__() <= _int(other)

    def __gt__(self, other: Any) -> Any:
        return self.__index__() > _int(other)

    def __ge__(self, other: Any) -> Any:
        return self.__index__() >= _int(other)

    def __add__(self, other: Any) -> Any:
        return self.__index__() + _int(other)

    def __radd__(self, other: Any) -> Any:
        return _int(other) + self.__index__()

    def __sub__(self, other: Any) -> Any:
        return self.__index__() - _int(other)

    def __rsub__(self, other: Any) -> Any:
        return _int(other) - self.__index__()

    def __mul__(self, other: Any) -> Any:
        return self.__index__() * _int(other)

    def __rmul__(self, other: Any) -> Any:
        return _int(other) * self.__index__()

    def __floordiv__(self, other: Any) -> Any:
        return self.__index__() // _int(other)

    def __mod__(self, other: Any) -> Any:
        return self.__index__() % _int(other)

    def __divmod__(self, other: Any) -> Any:
        return divmod(self.__index__(), _int(other))

    def __neg__(self) -> int:
        return -self.__index__()

    def __repr__(self) -> str:
        return repr(self.__index__())

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(self.__index__(), spec)


numbers.Integral.register(Index)


def _int(value: Any) -> Any:
    return value.__index__() if isinstance(value, Index) else value


def index(draws: Draws, number: int) -> int | Index:
    """The drawn index: an int if it was looked at."""
    cell = draws.cells[number]
    assert isinstance(cell, Category)
    if cell.value is not None:
        return cell.value
    if draws.eager:
        return draws.look(number)
    draws.indices = True
    return Index(draws, number)


def decided(value: Any) -> Any:
    """The (nested) arguments, every `Index` an int."""
    if isinstance(value, Index):
        return value.__index__()
    if type(value) in (tuple, list):
        return type(value)(map(decided, value))
    return value
