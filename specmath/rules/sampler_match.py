"""Sampler match: draw from the target; the drafts only tell whether the draw was foreseen. Lossless for any drafts."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draft_laws.greedy import rest
from specmath.draws import ones_hot, ranked, take
from specmath.exact import Chance, Number
from specmath.rules.rule import Rule, Verdict, conclude


def program(chance: Chance, target: Sequence[Number], draft: Sequence[Number], tokens: Sequence[int]) -> int:
    return chance.draw(target)


def step(target: Array, draft: Array, tokens: Array, uniforms: Array) -> Verdict:
    xp = namespace(target)
    return conclude(tokens, xp.full_like(tokens[..., 0], -1), target, uniforms[..., 0])


def formula(target: Array, draft: Array, n: int, drafts: str) -> Array | None:
    """sum_x target(x) P(x is drafted)."""
    xp = namespace(target)
    if drafts == "top_k":
        return xp.sum(xp.take_along_axis(target, ranked(draft)[..., :n], axis=-1), axis=-1)
    if drafts == "iid" or n == 1:
        return xp.sum(target * (1 - (1 - draft) ** n), axis=-1)
    if drafts in ("greedy", "hub"):
        _, fixed, last = rest(draft, n)
        return xp.sum(target * xp.where(fixed, xp.ones_like(last), last), axis=-1)
    return None  # without replacement: needs the inclusion probabilities of successive sampling


def given(target: Array, draft: Array, tokens: Array) -> Array:
    """Target mass of the drafted set; a repeated draft counts once."""
    xp = namespace(target)
    found = xp.zeros_like(target[..., 0])
    for j in range(tokens.shape[-1]):
        token = tokens[..., j]
        found = found + take(target, token)
        target = xp.where(ones_hot(token, target.shape[-1], xp), xp.zeros_like(target), target)
    return found


RULE = Rule(
    name="sampler_match",
    purpose="draw from the target; accepted if the draw is among the drafts",
    source="miao2024specinfer, Section 4.3",
    layout="node",
    drafts=("iid", "without_replacement", "greedy", "top_k", "hub"),
    lossless=True,
    program=program,
    step=step,
    formula=formula,
    given=given,
    tests=lambda n: (),
)
