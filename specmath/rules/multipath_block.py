"""Greedy multi-path block verification: the best of K i.i.d. paths by rank, verified as a block against its own law.

At every node the walk goes to the drafted token with the largest target / draft. The selected path is then the last of
K i.i.d. paths in lexicographic order of ranks, so that the law of its next token is known in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log

from specmath.arrays import Array, namespace, on_host, to_numpy
from specmath.draws import ratio, take
from specmath.exact import Chance, Number
from specmath.rules.rule import Rule, Verdict
from specmath.rules.token_wise import Laws
from specmath.rules.tree_walk import Level, block_program, block_step

GRAIN = 4096  # ratios are compared to one part in 4096, then by token: rounding must not decide the order


def check_paths(parents: Sequence[int]) -> int:
    """Number of paths; ValueError unless the tree is chains of one length from the root.

    >>> check_paths([-1, 0, -1, 2]), check_paths([-1, -1, 0, 1])
    (2, 2)
    """
    depths: list[int] = []
    for parent in parents:
        depths.append(1 + (depths[parent] if parent >= 0 else 0))
    ends = {depths[i] for i in range(len(depths)) if i not in parents}
    paths = sum(parent < 0 for parent in parents)
    if len(ends) != 1 or any(list(parents).count(i) > 1 for i in range(len(depths))):
        raise ValueError(f"parents: {list(parents)}; allowed are chains of one length, all from the root")
    return paths


def _power_sum(high: Number, low: Number, n: int) -> Number:
    """(high^n - low^n) / (high - low), without cancellation."""
    return sum(high**i * low ** (n - 1 - i) for i in range(n))


def program(
    chance: Chance, target: Laws, draft: Laws, tokens: Sequence[int], parents: Sequence[int]
) -> tuple[int, ...]:
    paths = check_paths(parents)
    share: Number = 1  # of the paths ranked at or below the walk's prefix: those that have the prefix

    def select(
        chance: Chance, target: Sequence[Number], draft: Sequence[Number], siblings: Sequence[int], weight: Number
    ) -> tuple[int, Sequence[Number]]:
        nonlocal share
        order = sorted(range(len(target)), key=lambda x: _grade(target[x], draft[x]))
        selected: list[Number] = [0] * len(target)
        below, following = 1 - share, share
        best = max(siblings, key=order.index)
        for token in order:
            top = below + share * draft[token]
            selected[token] = draft[token] * _power_sum(top, below, paths) / _power_sum(1, 1 - share, paths)
            if token == best:
                following = share * draft[token] / top
            below = top
        share = following
        return best, selected

    return block_program(chance, target, draft, tokens, parents, select)


def _grade(target: Number, draft: Number) -> float:
    return inf if not draft else -inf if not target else round(GRAIN * log(target / draft))


def step(target: Array, draft: Array, tokens: Array, uniforms: Array, parents: Array) -> Verdict:
    xp = namespace(target)
    size = tokens.shape[-1]
    if on_host(parents):
        for tree in {tuple(int(i) for i in one) for one in to_numpy(parents).reshape(-1, size)}:
            check_paths(tree)
    root = xp.astype(xp.broadcast_to(parents, tokens.shape) < 0, target.dtype)
    paths = xp.sum(root, axis=-1, keepdims=True)  # (..., 1); a number per row, so that rows may differ
    share = xp.ones_like(target[..., 0, :1])

    def power_sum(high: Array, low: Array) -> Array:
        """`_power_sum` by (1 - c^n) / (1 - c) high^(n - 1), c = low / high, as a sum of at most ``size`` terms."""
        quotient = ratio(low, high)
        total, term, power = xp.zeros_like(high), xp.ones_like(high), xp.ones_like(high)
        for i in range(size):
            total = total + xp.where(i < paths, term, xp.zeros_like(term))
            power = power * xp.where((i > 0) & (i < paths), high, xp.ones_like(high))
            term = term * quotient
        return total * power

    def choose(level: Level, weight: Array) -> tuple[Array, Array]:
        nonlocal share
        positive = (level.target > 0) & (level.draft > 0)
        steep = xp.where(positive, ratio(level.target, level.draft), xp.ones_like(level.target))
        grade = xp.where(positive, xp.round(GRAIN * xp.log(steep)), xp.full_like(level.target, -xp.inf))
        grade = xp.where(level.draft > 0, grade, xp.full_like(grade, xp.inf))
        order = xp.argsort(grade, axis=-1, stable=True)
        rank = xp.argsort(order, axis=-1, stable=True)
        ordered = xp.take_along_axis(level.draft, order, axis=-1)
        within = xp.cumulative_sum(ordered, axis=-1)
        zero = xp.zeros_like(within[..., :1])
        top = (1 - share) + share * within
        below = (1 - share) + share * xp.concat([zero, within[..., :-1]], axis=-1)
        selected = ordered * ratio(power_sum(top, below), power_sum(xp.ones_like(share), 1 - share))
        place = xp.cumulative_sum(xp.ones_like(tokens), axis=-1)
        ranks = xp.take_along_axis(rank, level.tokens, axis=-1)
        ranks = xp.where(place <= level.count[..., None], ranks, xp.full_like(ranks, -1))
        best = xp.argmax(ranks, axis=-1)
        spot = xp.max(ranks, axis=-1)
        spot = xp.where(spot >= 0, spot, xp.zeros_like(spot))
        share = ratio(share[..., 0] * take(ordered, spot), take(top, spot))[..., None]
        return take(level.indices, xp.astype(best, tokens.dtype)), xp.take_along_axis(selected, rank, axis=-1)

    return block_step(target, draft, tokens, uniforms[..., :size], uniforms[..., size], parents, choose)


RULE = Rule(
    name="multipath_block",
    purpose="greedy multi-path block verification: the best of K paths by target / draft, verified as one block",
    source="thomas2026greedy",
    layout="tree",
    drafts=("iid",),
    lossless=True,
    program=program,
    step=step,
    shape="paths",
)
