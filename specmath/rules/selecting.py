"""The optimal selection of one of the drafts below a node of a tree, for the tree rules that are built on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specmath.arrays import Array, is_concrete, like, namespace, to_float64, to_numpy
from specmath.draws import take
from specmath.exact import Chance, Number
from specmath.rules.by_context import alike
from specmath.rules.rule import Rule
from specmath.rules.tree_walk import Level, by_count, gathered, walk_coins
from specmath.transport import swap
from specmath.transport.coupling import couple
from specmath.transport.selection import selection


def select(
    chance: Chance,
    target: Sequence[Number],
    draft: Sequence[Number],
    tokens: Sequence[int],
    weight: Number,
    drafts: str = "iid",
) -> tuple[int, Sequence[Number]]:
    """Optimal selection of one of the drafts, exactly: by the plan, given the set of drafted tokens."""
    found = selection(tuple(target), tuple(draft), len(tokens), drafts, weight)
    return chance.draw(found.plan[frozenset(tokens)]), found.marginal


Choice = Callable[[Level, "Array | None", Array, str], tuple[Array, Array]]
"""``choose(level, weight, uniforms, drafts)``: how a step selects; proofs put an enumerable choice in its place."""


def choose(level: Level, weight: Array | None, uniforms: Array, drafts: str) -> tuple[Array, Array]:
    """The same selection by the coupling: index of the selected draft (...), law of its token (..., V).

    ``uniforms`` (..., 2N or more): positions, then coins of all drafts of the tree. For i.i.d. drafts nothing is
    synchronised with the host; other couplings may be solved there.
    """
    xp = namespace(level.target)
    size = level.indices.shape[-1]
    positions, coins = gathered(uniforms, level, size)
    share = xp.ones_like(level.target[..., 0]) if weight is None else weight
    goal, law = to_float64(share[..., None] * level.target), to_float64(level.draft)

    def among(m: int, goal: Array, target: Array, share: Array, draft: Array, *rows: Array) -> tuple[Array, Array]:
        indices, tokens, positions, coins = (array[..., :m] for array in rows)
        if m == 1:
            return indices[..., 0], draft
        drawn = xp.concat([positions, coins], axis=-1)
        if drafts == "iid":
            marginal, selector, _ = swap.build(goal, draft, m)
            index = selector.select(tokens, drawn)
        else:
            index, marginal = _solved(target, draft, share, tokens, drawn, drafts)
        return take(indices, xp.astype(index, indices.dtype)), marginal

    rows = (goal, to_float64(level.target), to_float64(share), law, level.indices, level.tokens, positions, coins)
    index, marginal = by_count(level.count, level.most, rows, among)
    return index, xp.astype(marginal, level.draft.dtype)


def _solved(
    target: Array, draft: Array, share: Array, tokens: Array, uniforms: Array, drafts: str
) -> tuple[Array, Array]:
    """Index and law of the selected draft; one solution for every distinct context, as it may be solved on the host."""
    n = tokens.shape[-1]
    if not all(is_concrete(array) for array in (target, draft, share, tokens, uniforms)):
        found = couple(target, draft, n, drafts, weight=share)
        return found.select(tokens, uniforms, check=False), found.marginal
    lead, size = tuple(tokens.shape[:-1]), target.shape[-1]
    p, q, x, u = (to_numpy(array).reshape(-1, array.shape[-1]) for array in (target, draft, tokens, uniforms))
    w = to_numpy(share).reshape(-1)
    index, marginal = np.empty(len(x), dtype=np.int64), np.empty_like(p)
    for rows in alike(p, q, w[:, None]):
        one = rows[0]
        found = couple(p[one], q[one], n, drafts, weight=w[one])
        index[rows], marginal[rows] = found.select(x[rows], u[rows], check=False), found.marginal
    return like(index.reshape(lead), target), like(marginal.reshape(*lead, size), target)


def selecting_rule(
    *, name: str, purpose: str, source: str, program: Callable[..., Any], step: Callable[..., Any]
) -> Rule:
    """A lossless tree rule whose program and step take ``drafts`` and select by `select` and `choose`."""
    return Rule(
        name=name,
        purpose=purpose,
        source=source,
        layout="tree",
        drafts=("iid", "without_replacement"),
        lossless=True,
        program=program,
        step=step,
        tests=walk_coins,
        by_law=True,
        same_plan=False,
    )
