"""Every ordered tree of a size: ground truth for small trees."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from specmath.arrays import check_count
from specmath.trees.tree import Weight

MOST_NODES = 12
"""208,012 ordered trees have 12 nodes; the number grows fourfold with each node."""


def every_tree(nodes: int, *, depth: int | None = None, width: int | None = None) -> Iterator[tuple[int, ...]]:
    """The parents of each ordered tree with exactly ``nodes`` drafted nodes, once, in preorder.

    Without limits there are C(2n, n) / (n + 1), the Catalan number. ``depth`` bounds the paths, ``width`` the children
    of a node. Raises ValueError for counts below 1 and more than `MOST_NODES` nodes.

    >>> list(every_tree(2)), len(list(every_tree(5)))
    ([(-1, 0), (-1, -1)], 42)
    """
    nodes = check_count("nodes", nodes)
    if nodes > MOST_NODES:
        raise ValueError(f"nodes is {nodes}; allowed are up to {MOST_NODES}: there would be too many trees")
    longest = nodes if depth is None else check_count("depth", depth)
    widest = nodes if width is None else check_count("width", width)
    return _grown([], [-1], nodes, longest, widest)


def _grown(parents: list[int], path: list[int], left: int, depth: int, width: int) -> Iterator[tuple[int, ...]]:
    """In preorder the next node hangs below a node of the path to the last one."""
    if not left:
        yield tuple(parents)
        return
    for length in range(min(len(path), depth), 0, -1):
        parent = path[length - 1]
        if parents.count(parent) < width:
            node = len(parents)
            yield from _grown([*parents, parent], [*path[:length], node], left - 1, depth, width)


def brute_force(
    value: Callable[[tuple[int, ...]], Weight], nodes: int, *, depth: int | None = None, width: int | None = None
) -> tuple[tuple[int, ...], Weight]:
    """The best of all trees with at most ``nodes`` nodes, and its value; the tree without nodes is among them.

    ``value(parents)`` is anything, for instance `expected_tokens`. Raises as `every_tree`.

    >>> brute_force(lambda parents: 1 + 0.9 * len(parents) - 0.2 * len(parents) ** 2, 4)
    ((-1, 0), 2.0)
    """
    best: tuple[tuple[int, ...], Weight] = ((), value(()))
    for size in range(1, check_count("nodes", nodes) + 1):
        for parents in every_tree(size, depth=depth, width=width):
            found = value(parents)
            if found > best[1]:
                best = (parents, found)
    return best
