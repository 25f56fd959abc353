"""Single-draft rejection: accept x with probability min(1, target(x) / draft(x)), else draw from the residual."""

from __future__ import annotations

from collections.abc import Sequence

from specmath import draws
from specmath.arrays import Array, namespace
from specmath.draws import take
from specmath.exact import Chance, Number
from specmath.rules.rule import Rule, Verdict, conclude


def left_over(target: Sequence[Number], draft: Sequence[Number]) -> list[Number]:
    """(target - draft)^+, not normalised."""
    return [max(p - q, 0) for p, q in zip(target, draft, strict=True)]


def residual(goal: Sequence[Number], draft: Sequence[Number], target: Sequence[Number]) -> Sequence[Number]:
    """What is left of ``goal`` after ``draft``; ``target`` where nothing is, which only rounding can reach."""
    rest = left_over(goal, draft)
    return rest if any(rest) else target


def accepts(chance: Chance, weight: Number, proposal: Number) -> bool:
    """True with probability min(1, weight / proposal); a draft of probability zero cannot have been drawn."""
    return chance.flip(1 if weight >= proposal else weight / proposal)


def program(chance: Chance, target: Sequence[Number], draft: Sequence[Number], tokens: Sequence[int]) -> int:
    (token,) = tokens
    if accepts(chance, target[token], draft[token]):
        return token
    return chance.draw(residual(target, draft, target))


def step(target: Array, draft: Array, tokens: Array, uniforms: Array) -> Verdict:
    xp = namespace(target)
    token = tokens[..., 0]
    accept = uniforms[..., 0] * take(draft, token) < take(target, token)
    emitted = xp.where(accept, token, xp.full_like(token, -1))
    return conclude(tokens, emitted, draws.residual(target, draft), uniforms[..., 1])


def overlap(target: Array, draft: Array) -> Array:
    """sum_x min(target(x), draft(x)) = 1 - TV, shape (...)."""
    xp = namespace(target)
    return xp.sum(xp.where(target < draft, target, draft), axis=-1)


RULE = Rule(
    name="single",
    purpose="one draft, accepted with probability min(1, p/q), else a draw from (p - q)^+",
    source="leviathan2023fast, Algorithm 1; chen2023accelerating, Algorithm 2",
    layout="node",
    drafts=("iid",),
    lossless=True,
    program=program,
    step=step,
    formula=lambda target, draft, n, drafts: overlap(target, draft),
    at_most=1,
)
