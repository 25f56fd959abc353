"""Tree rules with one planted defect each: programs, and steps that select by a plan."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from specmath.exact import Chance
from specmath.rules import get, k_seq, multipath_block
from specmath.rules.conditional_transport import select
from specmath.rules.single import accepts, left_over
from specmath.rules.tree_walk import block_program, child, offspring


def draw_or(chance: Chance, weights: Any, other: Any) -> int:
    return chance.draw(weights if any(w > 0 for w in weights) else other)


def spectr_drops_duplicates(chance, target, draft, tokens, parents):
    """K-SEQ among the distinct siblings: its factor needs to know how often it tries."""
    below, node, emitted = offspring(tokens, parents), -1, ()
    while below[node]:
        siblings = list(dict.fromkeys(tokens[i] for i in below[node]))
        emitted = (*emitted, k_seq.program(chance, target[node + 1], draft[below[node][0]], siblings))
        following = child(below[node], tokens, emitted[-1])
        if following is None:
            return emitted
        node = following
    return (*emitted, chance.draw(target[node + 1]))


def paths_against_draft(chance, target, draft, tokens, parents, drafts="iid"):
    """The selected token is tested against the draft law, which is not its law."""
    below, node, emitted = offspring(tokens, parents), -1, ()
    while below[node]:
        law, proposal = target[node + 1], draft[below[node][0]]
        token, _ = select(chance, law, proposal, [tokens[i] for i in below[node]], 1, drafts)
        if not accepts(chance, law[token], proposal[token]):
            return (*emitted, draw_or(chance, left_over(law, proposal), law))
        following = child(below[node], tokens, token)
        assert following is not None
        node, emitted = following, (*emitted, token)
    return (*emitted, chance.draw(target[node + 1]))


def conditional_against_draft(chance, target, draft, tokens, parents, drafts="iid"):
    def broken(chance, target, draft, siblings, weight):
        return select(chance, target, draft, siblings, weight, drafts)[0], draft

    return block_program(chance, target, draft, tokens, parents, broken)


def conditional_selects_as_iid(chance, target, draft, tokens, parents, drafts="iid"):
    """The plan and the marginal of i.i.d. drafts, whatever law drew them."""
    return block_program(chance, target, draft, tokens, parents, partial(select, drafts="iid"))


def paths_select_as_iid(chance, target, draft, tokens, parents, drafts="iid"):
    return get("optimal_paths").program(chance, target, draft, tokens, parents, "iid")


def conditional_never_fails(chance, target, draft, tokens, parents, drafts="iid"):
    """Below the root the missing mass is emitted for certain; the failure that the weight asks for is left out."""
    below = offspring(tokens, parents)

    def visit(node, weight):
        law = target[node + 1]
        if not below[node]:
            return (chance.draw(law),) if chance.flip(weight) else None
        siblings = [tokens[i] for i in below[node]]
        token, selected = select(chance, law, draft[below[node][0]], siblings, weight, drafts)
        goal = [weight * p for p in law]
        deeper = visit(child(below[node], tokens, token), min(1, goal[token] / selected[token]))
        rest = left_over(goal, selected)
        return (token, *deeper) if deeper is not None else (chance.draw(rest),) if any(rest) else None

    emitted = visit(-1, 1)
    return (chance.draw(target[0]),) if emitted is None else emitted


def multipath_against_draft(chance, target, draft, tokens, parents):
    """The best path, verified as if it were an ordinary one."""

    def broken(chance, target, draft, siblings, weight):
        order = sorted(range(len(target)), key=lambda x: multipath_block._grade(target[x], draft[x]))
        return max(siblings, key=order.index), draft

    return block_program(chance, target, draft, tokens, parents, broken)


def parents_ignored(name: str) -> Any:
    """Every drafted token is taken for a child of the one before."""
    step = get(name).step

    def broken(target, draft, tokens, uniforms, parents, **options):
        return step(target, draft, tokens, uniforms, np.arange(-1, tokens.shape[-1] - 1), **options)

    return broken


def step_against_draft(name: str) -> Any:
    """The step takes the draft law for the law of the selected token."""
    step = get(name).step

    def broken(target, draft, tokens, uniforms, parents, drafts, choose):
        def wrong(level, weight, uniforms, drafts):
            return choose(level, weight, uniforms, drafts)[0], level.draft

        return step(target, draft, tokens, uniforms, parents, drafts, wrong)

    return broken


def step_forgets_weight(target, draft, tokens, uniforms, parents, drafts, choose):
    """Conditional transport that selects for weight one everywhere, which is lossless: another plan, no more."""

    def wrong(level, weight, uniforms, drafts):
        return choose(level, None, uniforms, drafts)

    return get("conditional_transport").step(target, draft, tokens, uniforms, parents, drafts, wrong)
