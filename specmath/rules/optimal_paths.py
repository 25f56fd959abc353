"""Optimal selection node by node: go down while the selected draft passes its single-draft test.

K i.i.d. paths are a tree of K chains: at every depth the paths that agree with what was emitted so far are drafts of
the next token, and the optimal coupling for their number selects one. Equal to the optimal rule on one level.
"""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace, on_host
from specmath.draws import categorical, residual, take
from specmath.exact import Chance
from specmath.rules import single
from specmath.rules.rule import Verdict
from specmath.rules.selecting import Choice, choose, select, selecting_rule
from specmath.rules.single import accepts
from specmath.rules.token_wise import Laws, row
from specmath.rules.traversal import merge_siblings, path_to
from specmath.rules.tree_walk import child, level, offspring


def program(
    chance: Chance, target: Laws, draft: Laws, tokens: Sequence[int], parents: Sequence[int], drafts: str = "iid"
) -> tuple[int, ...]:
    below = offspring(tokens, parents)
    node, emitted = -1, ()
    while below[node]:
        law = target[node + 1]
        token, selected = select(chance, law, draft[below[node][0]], [tokens[i] for i in below[node]], 1, drafts)
        if not accepts(chance, law[token], selected[token]):
            # This token was not drafted: a rejection means that all drafts are in the cut, the residual is outside.
            return (*emitted, chance.draw(single.residual(law, selected, law)))
        following = child(below[node], tokens, token)
        assert following is not None
        node, emitted = following, (*emitted, token)
    return (*emitted, chance.draw(target[node + 1]))


def step(
    target: Array,
    draft: Array,
    tokens: Array,
    uniforms: Array,
    parents: Array,
    drafts: str = "iid",
    choose: Choice = choose,
) -> Verdict:
    xp = namespace(target)
    size = tokens.shape[-1]
    first, above = merge_siblings(tokens, xp.broadcast_to(xp.astype(parents, tokens.dtype), tokens.shape))
    here = xp.zeros_like(tokens[..., 0])
    law, walking = target[..., 0, :], xp.ones_like(here, dtype=xp.bool)
    for depth in range(size):
        now = level(target, draft, tokens, above, here, depth)
        law = xp.where(walking[..., None], now.target, law)
        walking = walking & (now.count > 0)
        if on_host(walking) and not bool(xp.any(walking)):
            break
        index, selected = choose(now, None, uniforms, drafts)
        token = take(tokens, index)
        coin = take(uniforms[..., 2 * size : 3 * size], index)
        passed = walking & (coin * take(selected, token) < take(now.target, token))
        law = xp.where((walking & ~passed)[..., None], residual(now.target, selected), law)
        here = xp.where(passed, take(first, index) + 1, here)
        walking = passed
    law = xp.where(walking[..., None], row(target, here), law)
    last = xp.astype(categorical(law, uniforms[..., 3 * size]), tokens.dtype)
    return Verdict(path_to(tokens, above, here, last), here - 1)


RULE = selecting_rule(
    name="optimal_paths",
    purpose="optimal coupling node by node: the paths that agree with the emitted token are the next node's drafts",
    source="sun2023spectr; coupling: docs/theory/optimal_coupling.md",
    program=program,
    step=step,
)
