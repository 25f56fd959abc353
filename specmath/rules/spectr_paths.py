"""SpecTr on paths: K-SEQ at every node, among the drafts that agree with what was emitted so far."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace, on_host
from specmath.draws import categorical, take
from specmath.exact import Chance
from specmath.rules import k_seq
from specmath.rules.rule import Rule, Verdict
from specmath.rules.token_wise import Laws, row
from specmath.rules.traversal import merge_siblings, path_to
from specmath.rules.tree_walk import Level, child, level, offspring


def program(
    chance: Chance, target: Laws, draft: Laws, tokens: Sequence[int], parents: Sequence[int]
) -> tuple[int, ...]:
    below = offspring(tokens, parents)
    node, emitted = -1, ()
    while below[node]:
        siblings = [tokens[i] for i in below[node]]
        token = k_seq.program(chance, target[node + 1], draft[below[node][0]], siblings)
        emitted = (*emitted, token)
        following = child(below[node], tokens, token)
        if following is None:
            return emitted
        node = following  # also when the token came from the residual: it is drafted all the same
    return (*emitted, chance.draw(target[node + 1]))


def _emit(level: Level, uniforms: Array) -> Array:
    """The token of K-SEQ at a level, (...); the residual's uniform is that of the level's first draft.

    The number of drafts is an array here: rows of one batch differ in how many of their paths agree.
    """
    xp = namespace(uniforms)
    size = level.indices.shape[-1]
    coins = xp.take_along_axis(uniforms[..., :size], level.indices, axis=-1)
    redraw = take(uniforms[..., size : 2 * size], level.indices[..., 0])
    n = xp.astype(xp.where(level.count > 0, level.count, xp.ones_like(level.count)), level.target.dtype)
    factor = k_seq.division_factor(level.target, level.draft, n)
    emitted = xp.full_like(level.tokens[..., 0], -1)
    for j in range(level.most):
        token = level.tokens[..., j]
        passed = coins[..., j] * factor * take(level.draft, token) < take(level.target, token)
        emitted = xp.where((emitted < 0) & (j < level.count) & passed, token, emitted)
    rest = k_seq.after_rejections(level.target, level.draft, factor, n)[2]
    drawn = xp.astype(categorical(rest, redraw), emitted.dtype)
    return xp.where(emitted < 0, drawn, emitted)


def step(target: Array, draft: Array, tokens: Array, uniforms: Array, parents: Array) -> Verdict:
    xp = namespace(target)
    size = tokens.shape[-1]
    first, above = merge_siblings(tokens, xp.broadcast_to(xp.astype(parents, tokens.dtype), tokens.shape))
    here = xp.zeros_like(tokens[..., 0])
    last, walking = xp.full_like(here, -1), xp.ones_like(here, dtype=xp.bool)
    for depth in range(size):
        now = level(target, draft, tokens, above, here, depth)
        walking = walking & (now.count > 0)
        if on_host(walking) and not bool(xp.any(walking)):
            break
        emitted = _emit(now, uniforms)
        place = xp.cumulative_sum(xp.ones_like(tokens), axis=-1)
        same = (now.tokens == emitted[..., None]) & (place <= now.count[..., None])
        drafted = xp.any(same, axis=-1)
        index = take(now.indices, xp.astype(xp.argmax(xp.astype(same, xp.int32), axis=-1), tokens.dtype))
        last = xp.where(walking & ~drafted, emitted, last)
        walking = walking & drafted
        here = xp.where(walking, take(first, index) + 1, here)
    bonus = xp.astype(categorical(row(target, here), uniforms[..., 2 * size]), tokens.dtype)
    return Verdict(path_to(tokens, above, here, xp.where(last < 0, bonus, last)), here - 1)


RULE = Rule(
    name="spectr",
    purpose="SpecTr: K-SEQ node by node, the paths that agree with the emitted token being the next node's drafts",
    source="sun2023spectr",
    layout="tree",
    drafts=("iid",),
    lossless=True,
    program=program,
    step=step,
    tests=lambda n: tuple(f"{kind} {j}" for kind in ("draft", "residual") for j in range(n)),
)
