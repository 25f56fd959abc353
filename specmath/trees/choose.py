"""How large and how deep: the tree that emits most tokens per second at measured costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specmath.arrays import check_count
from specmath.trees.heaviest import heaviest
from specmath.trees.tree import Children


@dataclass(frozen=True)
class TreeChoice:
    """The best size and depth, and what it brings.

    Attributes
    ----------
    nodes, depth : drafted nodes and draft steps of a round; (0, 0) if drafting does not pay.
    tokens : expected emitted tokens per round.
    seconds : a round's time, in the unit of the costs.
    speedup : tokens per second over those of plain decoding, 1 / verify(1).
    speedups : (D + 1, N + 1), the same for every pair; NaN for sizes that were not allowed.
    """

    nodes: int
    depth: int
    tokens: float
    seconds: float
    speedup: float
    speedups: NDArray[np.float64]


def choose_size(
    values: Any,
    *,
    verify: Callable[[int], float],
    draft: Callable[[int], float],
    sizes: Iterable[int] | None = None,
) -> TreeChoice:
    """The pair (nodes n, depth d) with the largest values[d, n] / (draft(d) + verify(n + 1)), over all pairs.

    Parameters
    ----------
    values : (D + 1, N + 1) expected tokens (`TreeTable.values`, `weight_table`), 1 where nothing is drafted.
    verify : seconds of a target pass over so many tokens: n drafted ones and the last of the text; for instance a
        measured curve (`specmath.speed.measure`). verify(1) is a step of plain decoding.
    draft : seconds of d draft steps, never falling; draft(0) is not asked for.
    sizes : the n to look at, for instance those that were measured; None for all of the table. 0 is always allowed.

    A size of the table holds smaller trees, too: where ``verify`` falls, a tree may be filled up to ``nodes``.

    Raises ValueError for values below 1 and for costs that are not finite and positive (draft: not negative, rising).

    Source: chen2024sequoia (hardware-aware optimiser), with its depth counted in draft steps.

    >>> best = choose_size([[1, 1, 1], [1, 1.6, 1.8]], verify=lambda tokens: 10.0, draft=lambda depth: 1.0 * depth)
    >>> best.nodes, best.depth, round(best.speedup, 3)
    (2, 1, 1.636)
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"values has shape {table.shape}; allowed is (D + 1, N + 1)")
    if not np.all((table >= 1) & (table < np.inf)):
        raise ValueError(
            "values holds numbers below 1 or not finite; allowed are expected tokens per round, at least 1"
        )
    most = table.shape[1] - 1
    allowed = range(most + 1) if sizes is None else sorted({0, *(_size(size, most) for size in sizes)})
    drafting = [0.0] + [_seconds("draft", draft, depth, 0.0) for depth in range(1, table.shape[0])]
    if any(later < earlier for earlier, later in pairwise(drafting)):
        raise ValueError(f"draft falls: {drafting[1:]} seconds; allowed are costs that never fall with the depth")
    reading = {size: _seconds("verify", verify, size + 1, math.ulp(0.0)) for size in allowed}
    speedups = np.full(table.shape, np.nan)
    for depth, steps in enumerate(drafting):
        for size in allowed:
            if (depth == 0) == (size == 0):
                speedups[depth, size] = reading[0] * table[depth, size] / (steps + reading[size])
    speedups[0, 0] = 1.0  # plain decoding, whatever the overhead of drafting
    depth, nodes = np.unravel_index(int(np.nanargmax(speedups)), table.shape)
    seconds = drafting[depth] + reading[int(nodes)] if nodes else reading[0]
    return TreeChoice(
        int(nodes), int(depth), float(table[depth, nodes]), seconds, float(speedups[depth, nodes]), speedups
    )


def weight_table(children: Children, nodes: int, *, depth: int) -> NDArray[np.float64]:
    """Expected tokens of the `heaviest` tree for every size and depth, (D + 1, N + 1): the ``values`` of `choose_size`.

    Raises as `heaviest`. The heaviest nodes come first, so one tree per depth gives all sizes.

    >>> weight_table(lambda path: [0.6, 0.3], 3, depth=2).round(3).tolist()[2]
    [1.0, 1.6, 1.96, 2.26]
    """
    nodes, depth = check_count("nodes", nodes), check_count("depth", depth)
    table = np.ones((depth + 1, nodes + 1))
    for deep in range(1, depth + 1):
        weights = [float(weight) for weight in heaviest(children, nodes, depth=deep).weights]
        table[deep, 1:] += np.cumsum([*weights, *[0.0] * (nodes - len(weights))])
    return table


def _size(size: Any, most: int) -> int:
    if isinstance(size, bool) or not hasattr(size, "__index__") or not 0 <= size <= most:
        raise ValueError(f"sizes holds {size!r}; allowed are whole numbers from 0 to {most}, the sizes of the table")
    return int(size)


def _seconds(name: str, cost: Callable[[int], float], argument: int, least: float) -> float:
    if not callable(cost):
        raise ValueError(f"{name} is {cost!r}; allowed is a function, such as specmath.speed.Line")
    found = float(cost(argument))
    if not least <= found < math.inf:
        allowed = "finite and positive" if least else "finite and not negative"
        raise ValueError(f"{name}({argument}) is {found}; allowed are {allowed} seconds")
    return found
