"""Recursive rejection with replacement: test the drafts one by one, each against what the earlier ones left over."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draws import residual, take
from specmath.exact import Chance, Number, normalised
from specmath.rules import single
from specmath.rules.rule import Rule, Verdict, conclude
from specmath.rules.single import accepts, overlap


def program(chance: Chance, target: Sequence[Number], draft: Sequence[Number], tokens: Sequence[int]) -> int:
    for token in tokens:
        if accepts(chance, target[token], draft[token]):
            return token
        target = normalised(single.residual(target, draft, target))
    return chance.draw(target)


def step(target: Array, draft: Array, tokens: Array, uniforms: Array) -> Verdict:
    xp = namespace(target)
    n = tokens.shape[-1]
    emitted = xp.full_like(tokens[..., 0], -1)
    for j in range(n):
        token = tokens[..., j]
        accept = (emitted < 0) & (uniforms[..., j] * take(draft, token) < take(target, token))
        emitted = xp.where(accept, token, emitted)
        target = xp.where((emitted < 0)[..., None], residual(target, draft), target)
    return conclude(tokens, emitted, target, uniforms[..., n])


def formula(target: Array, draft: Array, n: int, drafts: str) -> Array:
    """1 - prod_j (1 - sum min(p_j, q)), p_0 = p, p_{j+1} = (p_j - q)^+ normalised."""
    missed = 1 - overlap(target, draft)
    for _ in range(n - 1):
        target = residual(target, draft)
        missed = missed * (1 - overlap(target, draft))
    return 1 - missed


RULE = Rule(
    name="recursive",
    purpose="test the drafts in order, each against the residual of the ones before (multi-step speculative sampling)",
    source="miao2024specinfer, Algorithm 2",
    layout="node",
    drafts=("iid",),
    lossless=True,
    program=program,
    step=step,
    formula=formula,
)
