"""Static trees: which node hangs below which, fixed before anything is drafted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from reference.drafters.protocol import Shape


@dataclass(frozen=True)
class Tree:
    """A tree of N nodes by its parent vector: ``parents[i] < i``, -1 for the text.

    >>> Tree((-1, 0, -1)).depths, Tree((-1, 0, -1)).below
    ((1, 2, 1), {-1: (0, 2), 0: (1,), 1: (), 2: ()})
    """

    parents: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parents", tuple(self.parents))
        if not self.parents:
            raise ValueError("parents: empty; allowed is one node or more")
        for node, parent in enumerate(self.parents):
            if isinstance(parent, bool) or not hasattr(parent, "__index__") or not -1 <= parent < node:
                raise ValueError(f"parents[{node}] is {parent!r}; allowed are -1 (the text) and earlier nodes")

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Depth of each node, 1 below the text."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(1 + (depths[parent] if parent >= 0 else 0))
        return tuple(depths)

    @cached_property
    def below(self) -> dict[int, tuple[int, ...]]:
        """Children of the text (-1) and of each node, in order."""
        found: dict[int, list[int]] = {node: [] for node in range(-1, len(self.parents))}
        for node, parent in enumerate(self.parents):
            found[parent].append(node)
        return {node: tuple(children) for node, children in found.items()}

    @cached_property
    def branches(self) -> tuple[int, ...]:
        """Numbers of children that nodes with children have."""
        return tuple(sorted({len(children) for children in self.below.values() if children}))

    @property
    def depth(self) -> int:
        """Of the deepest node."""
        return max(self.depths)

    @cached_property
    def shape(self) -> Shape:
        if self.branches == (1,):
            return "chain"
        ends = {depth for node, depth in enumerate(self.depths) if not self.below[node]}
        inside = all(len(children) == 1 for node, children in self.below.items() if node >= 0 and children)
        return "paths" if inside and len(ends) == 1 else "tree"


def chain_of(length: int) -> Tree:
    """One path of ``length`` nodes.

    >>> chain_of(3).parents
    (-1, 0, 1)
    """
    return Tree(tuple(range(-1, length - 1)))


def paths_of(n: int, length: int) -> Tree:
    """``n`` paths of ``length`` nodes that part at the text, one after the other.

    >>> paths_of(2, 3).parents
    (-1, 0, 1, -1, 3, 4)
    """
    return Tree(tuple(node - 1 if node % length else -1 for node in range(n * length)))


def branching(children: Sequence[int]) -> Tree:
    """Every node at depth d has ``children[d]`` children, the text being depth 0; level by level.

    >>> branching((2, 1)).parents
    (-1, -1, 0, 1)
    """
    parents: list[int] = []
    level = [-1]
    for count in children:
        if isinstance(count, bool) or not hasattr(count, "__index__") or count < 1:
            raise ValueError(f"branching holds {count!r}; allowed are whole numbers >= 1, one for each level")
        first = len(parents)
        parents += [node for node in level for _ in range(count)]
        level = list(range(first, len(parents)))
    return Tree(tuple(parents))
