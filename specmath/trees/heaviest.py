"""The n heaviest paths: the best tree whenever a node's chance does not depend on the rest of the tree."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from specmath.arrays import TOLERANCE, check_count, to_numpy
from specmath.trees.tree import Children, DraftTree, Weight, check_weight


def heaviest(children: Children, nodes: int, *, depth: int | None = None) -> DraftTree:
    """The tree of at most ``nodes`` nodes with the largest sum of path weights.

    w(v) = product of the ``children`` probabilities along the path to v. No set of n nodes weighs more than the n
    heaviest nodes, and these are a tree, because a node weighs no more than its parent. With w(v) = P(the path to v
    is accepted), 1 + sum w(v) is the expected number of emitted tokens. One lemma for OPT-Tree, EAGLE-2 (without its
    beam), DySpec, SuffixDecoding and Medusa's fixed trees: they differ in what they take for the weights.

    Parameters
    ----------
    children : ``children(path)`` gives P(candidate accepted | path accepted) for all candidates, as a sequence, an
        array (numpy, torch, jax) or a mapping; called once for each node of the tree. A draft model as in
        `specmath.rules` is one: paths of tokens to laws.
    nodes : at most so many drafted nodes, >= 1. Nodes of weight zero are left out.
    depth : longest path, None for any.

    Raises ValueError for counts below 1 and for weights that are no probabilities. Siblings that sum to more than one
    are not refused, as the lemma does not need it; the sum of weights is then no number of tokens.

    Source: wang2025opt (OPT-Tree); li2024eagle2, Section 4; xiong2024dyspec; oliaro2024suffix; cai2024medusa, Section
    2.3.3; proof in docs/theory/draft_trees.md.

    >>> heaviest(lambda path: [0.6, 0.3], 4).parents
    (-1, 0, -1, 1)
    """
    nodes = check_count("nodes", nodes)
    limit = None if depth is None else check_count("depth", depth)
    # Heap entries: heaviest first, then shallow, then by birth. A parent leaves the heap before its child enters it.
    heap: list[tuple[Weight, int, int, int, Any, tuple[Any, ...], Iterator[tuple[Any, Weight]], Weight]] = []
    born = 0

    def offer(parent: int, above: Weight, path: tuple[Any, ...], rest: Iterator[tuple[Any, Weight]]) -> None:
        """Only the heaviest candidate not yet taken competes: its siblings wait behind it."""
        nonlocal born
        choice, weight = next(rest, (None, 0))
        if above * weight > 0:
            heapq.heappush(heap, (-above * weight, len(path), born, parent, choice, path, rest, above))
            born += 1

    def expand(node: int, weight: Weight, path: tuple[Any, ...]) -> None:
        if limit is None or len(path) < limit:
            offer(node, weight, path, iter(candidates(children, path, nodes)))

    parents: list[int] = []
    weights: list[Weight] = []
    choices: list[Any] = []
    expand(-1, 1, ())
    while heap and len(parents) < nodes:
        negative, _, _, parent, choice, path, rest, above = heapq.heappop(heap)
        parents.append(parent)
        weights.append(-negative)
        choices.append(choice)
        offer(parent, above, path, rest)
        if len(parents) < nodes:
            expand(len(parents) - 1, -negative, (*path, choice))
    return DraftTree(tuple(parents), tuple(weights), tuple(choices))


def candidates(children: Children, path: tuple[Any, ...], most: int) -> list[tuple[Any, Weight]]:
    """The ``most`` heaviest candidates below a path as (choice, weight), falling; ties in the order given."""
    if not callable(children):
        raise ValueError(f"children is {children!r}; allowed is a function from a path to weights (see `Children`)")
    given = children(path)
    if isinstance(given, Mapping):
        listed = [(choice, check_weight(f"children({path}) at {choice!r}", one)) for choice, one in given.items()]
    elif hasattr(given, "__array__"):
        return _largest(to_numpy(given), path, most)
    elif isinstance(given, str) or not hasattr(given, "__len__"):
        raise ValueError(f"children({path}) is {given!r}; allowed are a sequence, an array or a mapping of weights")
    else:
        listed = [(place, check_weight(f"children({path}) at {place}", one)) for place, one in enumerate(given)]
    return sorted(listed, key=lambda pair: -pair[1])[:most]


def _largest(given: np.ndarray[Any, Any], path: tuple[Any, ...], most: int) -> list[tuple[Any, Weight]]:
    """The same for an array, whose vocabulary may be large. Rounding above one, as of a law, is cut off."""
    if given.ndim != 1 or given.dtype.kind not in "fiu":
        raise ValueError(f"children({path}) has shape {given.shape}, {given.dtype}; allowed are real numbers (V,)")
    highest = 1 + TOLERANCE.get(given.dtype.name, 0.0)
    bad = np.flatnonzero(~((given >= 0) & (given <= highest)))
    if bad.size:
        check_weight(f"children({path}) at {bad[0]}", given[bad[0]].item())
    weights = np.minimum(given.astype(np.float64), 1.0)
    if most < len(weights):  # those that can be among them; equal weights stay in their order
        places = np.flatnonzero(weights >= np.partition(weights, -most)[-most])
    else:
        places = np.arange(len(weights))
    order = places[np.argsort(-weights[places], kind="stable")][:most]
    return [(int(place), float(weights[place])) for place in order]


def by_depth(rates: Any) -> Children:
    """Weights of independent heads: ``rates[d][r]`` = P(rank r right at depth d + 1), whatever was chosen before.

    Medusa's fixed trees are `heaviest` of the heads' measured accuracies. Beyond the last row nothing is drafted.

    >>> heaviest(by_depth([[0.5, 0.2], [0.4]]), 10).parents
    (-1, -1, 0, 1)
    """
    rows = [list(row) for row in rates]
    if not rows:
        raise ValueError("rates: empty; allowed is one row of accuracies for each depth")
    for depth, row in enumerate(rows):
        for rank, rate in enumerate(row):
            check_weight(f"rates[{depth}][{rank}]", rate)
    return lambda path: rows[len(path)] if len(path) < len(rows) else []


@dataclass(frozen=True)
class Grown:
    """A tree grown level by level, as drafts with a beam do it.

    Attributes
    ----------
    tree : the heaviest nodes of all that were looked at.
    levels : draft passes, one for each level that was expanded.
    overlooked : no node that was not looked at weighs more than this.
    exact : True proves that ``tree`` is as heavy as `heaviest` up to ``levels`` deep; False leaves it open.
    """

    tree: DraftTree
    levels: int
    overlooked: Weight
    exact: bool


def grow(
    children: Children, nodes: int, *, depth: int, beam: int, width: int | None = None, least_gain: Weight = 0
) -> Grown:
    """Grow a tree with a beam, and say whether the beam has cost anything.

    A level expands its ``beam`` heaviest nodes, looking at the ``width`` heaviest candidates of each; at the end the
    ``nodes`` heaviest of all are kept. EAGLE-2: ``width=beam``. OPT-Tree: ``beam=nodes`` and ``least_gain``: stop when
    a level adds no more than that to the sum of the ``nodes`` heaviest weights.

    Raises ValueError for counts below 1, a negative ``least_gain`` and weights that are no probabilities.

    Source: li2024eagle2, Section 4; wang2025opt; the certificate: docs/theory/draft_trees.md.

    >>> law = lambda path: [0.5, 0.4]
    >>> grow(law, 4, depth=3, beam=1).exact, grow(law, 4, depth=3, beam=2).exact
    (False, True)
    """
    nodes, depth, beam = check_count("nodes", nodes), check_count("depth", depth), check_count("beam", beam)
    width = beam if width is None else check_count("width", width)
    if isinstance(least_gain, bool) or not least_gain >= 0:
        raise ValueError(f"least_gain is {least_gain!r}; allowed are numbers >= 0")
    seen: list[tuple[Weight, int, Any, tuple[Any, ...]]] = []  # weight, parent, choice, path
    level: list[int] = [-1]
    overlooked: Weight = 0
    unexpanded: Weight = 0
    levels, best = 0, 0
    while level and levels < depth:
        levels += 1
        overlooked = max(overlooked, unexpanded)
        fresh: list[int] = []
        for node in level:
            above, path = (1, ()) if node < 0 else (seen[node][0], seen[node][3])
            listed = candidates(children, path, width + 1)
            if len(listed) > width:
                overlooked = max(overlooked, above * listed[width][1])
            for choice, weight in listed[:width]:
                if above * weight > 0:
                    fresh.append(len(seen))
                    seen.append((above * weight, node, choice, (*path, choice)))
        order = sorted(fresh, key=lambda node: -seen[node][0])
        # Children of a node that is not expanded weigh at most what it does.
        unexpanded = seen[order[beam]][0] if len(order) > beam else 0
        gained = sum(sorted((one[0] for one in seen), reverse=True)[:nodes])
        level = order[:beam] if gained - best > least_gain else []
        best = gained
    kept = sorted(sorted(range(len(seen)), key=lambda node: -seen[node][0])[:nodes])
    renamed = {-1: -1} | {node: place for place, node in enumerate(kept)}
    tree = DraftTree(
        tuple(renamed[seen[node][1]] for node in kept),
        tuple(seen[node][0] for node in kept),
        tuple(seen[node][2] for node in kept),
    )
    smallest = min(tree.weights, default=0) if len(kept) == nodes else 0
    return Grown(tree, levels, overlooked, bool(overlooked <= smallest))
