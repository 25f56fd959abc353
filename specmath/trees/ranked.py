"""Trees when acceptance depends on a node's rank among its siblings only, or on how many they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specmath.arrays import check_count
from specmath.trees.tree import DraftTree, Weight, check_parents, check_weight, children_of, total

Floats = NDArray[np.float64]

Shares = Sequence[Sequence[float]]
"""``shares[k - 1][j]`` = P(child j is accepted) where a node has k children, j from 0."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class TreeTable:
    """Expected tokens of the best tree for every size and depth.

    Attributes
    ----------
    values : (D + 1, N + 1), ``values[d, n]`` = 1 + accepted tokens of the best tree of at most n drafted nodes, at most
        d deep. Never falls in n or d.
    """

    values: Floats
    _tree: Any = field(repr=False)

    def tree(self, nodes: int, depth: int | None = None) -> DraftTree:
        """A tree that reaches ``values[depth, nodes]``; ValueError outside of the table."""
        depths, sizes = self.values.shape
        deep = depths - 1 if depth is None else depth
        if not all(hasattr(one, "__index__") for one in (nodes, deep)) or not (
            0 <= nodes < sizes and 0 <= deep < depths
        ):
            raise ValueError(
                f"tree({nodes}, {deep}) is not in the table; allowed are 0 to {sizes - 1} nodes and depths 0 to "
                f"{depths - 1}"
            )
        return self._tree(nodes, deep)


def by_rank(rates: Sequence[Weight] | Sequence[Sequence[Weight]], nodes: int, *, depth: int) -> TreeTable:
    """Sequoia's dynamic program: the best tree when the r-th child is accepted with probability ``rates[r]``.

    V(d, n) = 1 + max over sizes n_0, n_1, ... of sum_r rates[r] V(d - 1, n_r - 1), sum_r n_r <= n: a node's children
    are drawn in order, so they are ranks 0, 1, ... without a gap. O(n^2 depth ranks).

    Parameters
    ----------
    rates : P(rank r accepted), per rank, or (levels, ranks) one row for each depth, the last one for all below it.
    nodes, depth : size of the table, >= 1.

    Raises ValueError for rates that are no probabilities or sum to more than one in a row.

    Source: chen2024sequoia and tree_search.py of its repository, whose budget counts the text's last token
    as a node and whose depth counts its level.

    >>> table = by_rank([0.6, 0.2], 3, depth=2)
    >>> table.values.round(3).tolist()[2], table.tree(3).parents
    ([1.0, 1.6, 1.96, 2.16], (-1, -1, 0))
    """
    rows = _rows(rates)
    return _solve(_nested, rows, nodes, depth)


def by_shares(shares: Shares, nodes: int, *, depth: int) -> TreeTable:
    """The best tree when a child's chance depends on how many siblings it has: ``shares[k - 1][j]``.

    V(d, n) = 1 + max_k max over sizes of sum_j shares[k - 1][j] V(d - 1, n_j - 1). With ``AcceptanceCurve.shares`` of
    the optimal acceptance this is the tree for verification at the optimum. O(n^2 depth children^2).

    Raises ValueError unless row k has k + 1 probabilities that sum to at most one.

    Source: docs/theory/draft_trees.md; chen2024sequoia is the case ``shares[k - 1] == rates[:k]``.

    >>> by_shares([[0.6], [0.45, 0.45]], 4, depth=2).tree(4).parents
    (-1, -1, 0, 1)
    """
    listed = [list(row) for row in shares]
    if not listed:
        raise ValueError("shares: empty; allowed is one row for each number of children")
    for k, row in enumerate(listed):
        if len(row) != k + 1:
            raise ValueError(f"shares[{k}] has {len(row)} entries; allowed are {k + 1}, one for each child")
        _check_row(f"shares[{k}]", row)
    return _solve(_free, [listed], nodes, depth)


def expected_tokens(parents: Sequence[int], shares: Shares) -> Weight:
    """1 + accepted tokens of any tree under ``shares`` (`by_shares`), exact over fractions.

    Raises ValueError for parents that are no tree, and for a node with more children than there are rows.

    >>> expected_tokens((-1, -1, 0), [[0.6], [0.5, 0.25]])
    2.05
    """
    below = children_of(check_parents(parents))
    weights: list[Weight] = [0] * len(parents)
    for node in range(-1, len(parents)):
        children = below[node]
        if len(children) > len(shares):
            raise ValueError(f"node {node} has {len(children)} children; allowed by shares are up to {len(shares)}")
        for child, share in zip(children, shares[len(children) - 1] if children else (), strict=True):
            weights[child] = (1 if node < 0 else weights[node]) * share
    return 1 + total(weights)


def _rows(rates: Any) -> list[list[float]]:
    if not hasattr(rates, "__len__") or isinstance(rates, str):
        raise ValueError(f"rates is {rates!r}; allowed are probabilities by rank, or one row of them for each depth")
    listed = list(rates)
    nested = bool(listed) and all(hasattr(row, "__len__") for row in listed)
    rows = [
        [float(check_weight(f"rates[{r}]", rate)) for r, rate in enumerate(row)]
        for row in (listed if nested else [listed])
    ]
    for level, row in enumerate(rows):
        if not row:
            raise ValueError("rates: empty; allowed is one probability or more" + (f" (row {level})" if nested else ""))
        _check_row(f"rates[{level}]" if nested else "rates", row)
    return rows


def _check_row(name: str, row: Sequence[Any]) -> None:
    for place, share in enumerate(row):
        check_weight(f"{name}[{place}]", share)
    if sum(row) > 1 + _ROUNDING:
        raise ValueError(f"{name} sums to {float(sum(row)):.6g}; allowed is at most 1: one child is accepted at most")


def _solve(
    solve: Callable[[Any, Floats], tuple[Floats, Any]], levels: Sequence[Any], nodes: int, depth: int
) -> TreeTable:
    """All depths; ``solve(shares of a level, values of its children)`` gives the level's values and its splits."""
    nodes, depth = check_count("nodes", nodes), check_count("depth", depth)
    # With one row the best tree d deep is a child of the one d + 1 deep; else each depth is solved from its leaves.
    values = np.ones((depth + 1, nodes + 1))
    plans: dict[tuple[int, int], Any] = {}  # (depth of the whole tree, levels below) -> plan
    for whole in range(1, depth + 1):
        below = np.ones(nodes + 1)
        for left in range(1, whole + 1):
            if len(levels) == 1 and left < whole:
                below, plans[whole, left] = values[left], plans[left, left]
                continue
            below, plans[whole, left] = solve(levels[min(whole - left, len(levels) - 1)], below)
        values[whole] = below

    def tree(size: int, whole: int) -> DraftTree:
        parents, weights, choices = [], [], []
        queue = [(-1, 1.0, size, whole)]
        for node, weight, budget, left in queue:  # breadth first: grows while it is read
            if left == 0:
                continue
            for rank, (share, given) in enumerate(plans[whole, left](budget)):
                parents.append(node)
                weights.append(weight * share)
                choices.append(rank)
                queue.append((len(parents) - 1, weight * share, given - 1, left - 1))
        return DraftTree(tuple(parents), tuple(weights), tuple(choices))

    return TreeTable(values, tree)


def _nested(rates: list[float], below: Floats) -> tuple[Floats, Any]:
    """One level for shares that do not depend on the number of siblings.

    best[r][n] is what children r, r + 1, ... bring with n nodes.
    """
    size = len(below)
    best = np.zeros((len(rates) + 1, size))
    taken = np.zeros((len(rates), size), dtype=np.int64)  # nodes of child r's subtree, 0: no further child
    for rank in range(len(rates) - 1, -1, -1):
        best[rank], taken[rank] = _join(rates[rank], below, best[rank + 1], np.zeros(size))

    def plan(budget: int) -> Iterator[tuple[float, int]]:
        for rank, rate in enumerate(rates):
            given = int(taken[rank, budget])
            if not given:
                return
            yield rate, given
            budget -= given

    return 1 + best[0], plan


def _free(shares: Shares, below: Floats) -> tuple[Floats, Any]:
    """One level for any shares: for each number of children its own split."""
    size = len(below)
    chosen = np.zeros(size)
    number = np.zeros(size, dtype=np.int64)
    splits = []
    for k, row in enumerate(shares, start=1):
        rest = np.zeros(size)
        taken = np.zeros((k, size), dtype=np.int64)
        for place in range(k - 1, -1, -1):
            rest, taken[place] = _join(float(row[place]), below, rest, np.full(size, -np.inf))
        splits.append(taken)
        better = rest > chosen
        chosen, number = np.where(better, rest, chosen), np.where(better, k, number)

    def plan(budget: int) -> Iterator[tuple[float, int]]:
        k = int(number[budget])
        for place in range(k):
            given = int(splits[k - 1][place, budget])
            yield float(shares[k - 1][place]), given
            budget -= given

    return 1 + chosen, plan


def _join(share: float, below: Floats, rest: Floats, without: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """max over 1 <= y <= n of share * below[y - 1] + rest[n - y], or ``without``, for each n; and the best y (or 0)."""
    size = len(below)
    n, y = np.arange(size)[:, None], np.arange(1, size + 1)[None, :]
    possible = y <= n
    gains = np.where(possible, share * below[y - 1] + rest[np.where(possible, n - y, 0)], -np.inf)
    place = np.argmax(gains, axis=1)
    found = gains[np.arange(size), place]
    better = found > without
    return np.where(better, found, without), np.where(better, place + 1, 0)
