"""Conditional optimal transport on a tree: at every node the optimal selection for the weight that has come down to it.

A node that is reached with weight w has the target (w p, 1 - w), the last symbol, "fail", never being drafted. One of
the drafts below it is selected so that the overlap with this target is as large as any selection allows; the selected
path is then verified as a block. With one child per node this is block verification.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from specmath.arrays import Array
from specmath.exact import Chance
from specmath.rules.rule import Verdict
from specmath.rules.selecting import Choice, choose, select, selecting_rule
from specmath.rules.token_wise import Laws
from specmath.rules.tree_walk import Level, block_program, block_step


def program(
    chance: Chance, target: Laws, draft: Laws, tokens: Sequence[int], parents: Sequence[int], drafts: str = "iid"
) -> tuple[int, ...]:
    return block_program(chance, target, draft, tokens, parents, partial(select, drafts=drafts))


def step(
    target: Array,
    draft: Array,
    tokens: Array,
    uniforms: Array,
    parents: Array,
    drafts: str = "iid",
    choose: Choice = choose,
) -> Verdict:
    size = tokens.shape[-1]
    accept, final = uniforms[..., 2 * size : 3 * size], uniforms[..., 3 * size]

    def chosen(now: Level, weight: Array) -> tuple[Array, Array]:
        return choose(now, weight, uniforms, drafts)

    return block_step(target, draft, tokens, accept, final, parents, chosen)


RULE = selecting_rule(
    name="conditional_transport",
    purpose="optimal selection at every node for the weight that reached it, then block verification of the path",
    source="docs/theory/trees.md; with one child per node sun2025block",
    program=program,
    step=step,
)
