"""A planned draft tree: its shape, and how likely the path to each node is accepted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from numbers import Rational, Real
from typing import Any

from specmath.arrays import Array

Weight = float | Fraction
"""A probability: a float, or a fraction where a proof asks for it."""

Children = Callable[[tuple[Any, ...]], Sequence[Weight] | Mapping[Any, Weight] | Array]
"""``children(path)``: for each candidate below the path (root: ``()``) P(it is accepted | the path is).

A sequence or array (candidates are named by their place: ranks, tokens) or a mapping (named by their keys).
"""


@dataclass(frozen=True)
class DraftTree:
    """A tree of N drafted nodes.

    Attributes
    ----------
    parents : number of each node's parent, -1 for the text; ``parents[i] < i`` (what `reference.drafters.Tree` takes).
    weights : P(the path to the node is accepted), per node.
    choices : which candidate of its parent each node is: a rank, a token, or the key that `Children` gave it.

    >>> tree = DraftTree((-1, 0, -1), (0.5, 0.25, 0.3), (0, 0, 1))
    >>> tree.depths, tree.depth, tree.expected_tokens
    ((1, 2, 1), 2, 2.05)
    """

    parents: tuple[int, ...]
    weights: tuple[Weight, ...]
    choices: tuple[Any, ...]

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Depth of each node, 1 below the text."""
        return depths_of(self.parents)

    @property
    def nodes(self) -> int:
        """Drafted nodes; the target reads one token more."""
        return len(self.parents)

    @property
    def depth(self) -> int:
        """Of the deepest node, 0 for a tree without nodes: the draft steps of a round."""
        return max(self.depths, default=0)

    @property
    def expected_tokens(self) -> Weight:
        """1 + sum of weights: emitted tokens per round, the bonus or replacement among them."""
        return 1 + total(self.weights)


def total(weights: Iterable[Weight]) -> Weight:
    """The sum: exact for fractions, correctly rounded for floats."""
    listed = list(weights)
    return sum(listed, Fraction(0)) if _exact(listed) else math.fsum(listed)


def _exact(listed: Sequence[Weight]) -> bool:
    return bool(listed) and all(isinstance(weight, Rational) for weight in listed)


def check_weight(name: str, value: Any) -> Weight:
    """The value itself (a float for a numpy number) if it is a probability, else ValueError.

    >>> check_weight("children(()) at 3", 1.5)
    Traceback (most recent call last):
    ValueError: children(()) at 3 is 1.5; allowed are numbers from 0 to 1
    """
    if isinstance(value, bool) or not issubclass(type(value), Real) or not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}; allowed are numbers from 0 to 1")
    return Fraction(value) if isinstance(value, Rational) else float(value)


def check_parents(parents: Sequence[int]) -> tuple[int, ...]:
    """The parents as a tuple of ints; ValueError unless each is -1 (the text) or an earlier node.

    >>> check_parents([0])
    Traceback (most recent call last):
    ValueError: parents[0] is 0; allowed are -1 (the text) and earlier nodes
    """
    found = []
    for node, parent in enumerate(parents):
        if isinstance(parent, bool) or not hasattr(parent, "__index__") or not -1 <= parent < node:
            raise ValueError(f"parents[{node}] is {parent!r}; allowed are -1 (the text) and earlier nodes")
        found.append(int(parent))
    return tuple(found)


def depths_of(parents: Sequence[int]) -> tuple[int, ...]:
    """Depth of each node, 1 below the text.

    >>> depths_of((-1, 0, -1))
    (1, 2, 1)
    """
    depths: list[int] = []
    for parent in check_parents(parents):
        depths.append(1 + (depths[parent] if parent >= 0 else 0))
    return tuple(depths)


def children_of(parents: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Children of the text (-1) and of each node, in the order of their numbers.

    >>> children_of((-1, -1, 0))
    {-1: (0, 1), 0: (2,), 1: (), 2: ()}
    """
    found: dict[int, list[int]] = {node: [] for node in range(-1, len(parents))}
    for node, parent in enumerate(check_parents(parents)):
        found[parent].append(node)
    return {node: tuple(below) for node, below in found.items()}
