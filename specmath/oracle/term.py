"""Expressions in random numbers that are not known yet: one cell per element, and the elementwise calls made since.

An array of unknown numbers is a `Term`. A leaf says which cell each element is. Elementwise calls with known operands
are recorded, operands broadcast to the shape of the term, so that indexing, reshaping and the like act on the cell
numbers and on the operands alike. To learn what a comparison says at some value of the cell, the recorded calls are
made on that value: the arithmetic is the code's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal["uniform", "exponential", "category"]


@dataclass(frozen=True)
class Full:
    """A known operand, in the shape of the term."""

    array: Any


@dataclass(frozen=True)
class Term:
    """Unknown numbers, elementwise.

    Attributes
    ----------
    kind : what the cells are.
    index : integers of the shape of the array: number of the cell, -1 where the value is known.
    dtype : leaf: the dtype that the cells were drawn in.
    constant : leaf: the values where ``index`` is -1, None if it is nowhere.
    call : None for a leaf, else the elementwise call ``call(*args, **kwargs)``.
    args, kwargs : terms with the same cells, `Full` operands, and scalars.
    finish : applied to the result of ``call``: the conversion to the dtype that the code saw.
    turns : whether ``call`` is monotone for some operands only, so that it has to be looked at.
    """

    kind: Kind
    index: Any
    dtype: Any = None
    constant: Any = None
    call: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    finish: Callable[[Any], Any] | None = None
    turns: bool = False

    def rearranged(self, move: Callable[[Any], Any]) -> Term:
        """The term after a call that moves, repeats or drops elements."""
        args = tuple(
            arg.rearranged(move) if isinstance(arg, Term) else Full(move(arg.array)) if isinstance(arg, Full) else arg
            for arg in self.args
        )
        constant = None if self.constant is None else move(self.constant)
        return replace(self, index=move(self.index), constant=constant, args=args)

    def at(self, place: int, values: Any) -> Any:
        """Values of element ``place`` (flat) for these ``values`` (G,) of its cell, shape (G,)."""
        if self.call is None:
            return values
        args = [
            arg.at(place, values)
            if isinstance(arg, Term)
            else arg.array.reshape(-1)[place : place + 1]
            if isinstance(arg, Full)
            else arg
            for arg in self.args
        ]
        found = self.call(*args, **self.kwargs)
        return found if self.finish is None else self.finish(found)

    def rows(self, places: list[int], values: Any) -> Any:
        """Values of the elements ``places`` for these ``values`` (P, G) of their cells, shape (P, G)."""
        if self.call is None:
            return values
        args = [
            arg.rows(places, values)
            if isinstance(arg, Term)
            else arg.array.reshape(-1)[places][:, None]
            if isinstance(arg, Full)
            else arg
            for arg in self.args
        ]
        found = self.call(*args, **self.kwargs)
        return found if self.finish is None else self.finish(found)

    @property
    def monotone(self) -> bool:
        """Whether every recorded call is monotone whatever its operands are."""
        return not self.turns and all(arg.monotone for arg in self.args if isinstance(arg, Term))

    @property
    def drawn(self) -> Any:
        """The dtype that the cells were drawn in."""
        return self.dtype if self.call is None else next(a for a in self.args if isinstance(a, Term)).drawn
