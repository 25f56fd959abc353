"""Optimal rule for greedy drafts: the fixed tokens are free, the last one is an ordinary single draft."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draft_laws.greedy import rest
from specmath.draws import residual, take, without
from specmath.exact import Chance, Number, normalised
from specmath.rules import single
from specmath.rules.rule import Rule, Verdict, conclude


def program(chance: Chance, target: Sequence[Number], draft: Sequence[Number], tokens: Sequence[int]) -> int:
    *fixed, last = tokens
    return single.program(chance, target, normalised([0 if x in fixed else q for x, q in enumerate(draft)]), [last])


def step(target: Array, draft: Array, tokens: Array, uniforms: Array) -> Verdict:
    xp = namespace(target)
    for j in range(tokens.shape[-1] - 1):
        draft = without(draft, tokens[..., j])
    last = tokens[..., -1]
    accept = uniforms[..., 0] * take(draft, last) < take(target, last)
    emitted = xp.where(accept, last, xp.full_like(last, -1))
    return conclude(tokens, emitted, residual(target, draft), uniforms[..., 1])


def formula(target: Array, draft: Array, n: int, drafts: str) -> Array:
    """p(A) + sum_{x not in A} min(p_x, q_x / (1 - q(A))), A the fixed tokens: the optimum for this draft law."""
    xp = namespace(target)
    _, fixed, last = rest(draft, n)
    return xp.sum(xp.where(fixed, target, xp.where(target < last, target, last)), axis=-1)


RULE = Rule(
    name="greedy",
    purpose="optimal for greedy drafts: single-draft rejection of the last token, the fixed ones are free",
    source="hu2025optimal, Section 5",
    layout="node",
    drafts=("greedy",),
    lossless=True,
    program=program,
    step=step,
    formula=formula,
    tests=lambda n: ("last draft",),
)
