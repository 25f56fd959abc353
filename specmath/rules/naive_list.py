"""Naive list: the single-draft test on the first draft only; the residual draw may still hit one of the others."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draws import first_match, positive_part, ratio, residual, take
from specmath.exact import Chance, Number
from specmath.rules import sampler_match, single
from specmath.rules.rule import Rule, Verdict


def program(chance: Chance, target: Sequence[Number], draft: Sequence[Number], tokens: Sequence[int]) -> int:
    return single.program(chance, target, draft, tokens[:1])


def step(target: Array, draft: Array, tokens: Array, uniforms: Array) -> Verdict:
    emitted = single.step(target, draft, tokens[..., :1], uniforms).tokens
    return Verdict(emitted, first_match(tokens, emitted))


def formula(target: Array, draft: Array, n: int, drafts: str) -> Array | None:
    """sum min(p, q) + sum (p - q)^+ (1 - (1 - q)^(n-1)) for independent drafts."""
    xp = namespace(target)
    if n > 1 and drafts != "iid":
        return None
    hit = 1 - (1 - draft) ** (n - 1)
    return single.overlap(target, draft) + xp.sum(positive_part(target - draft) * hit, axis=-1)


def given(target: Array, draft: Array, tokens: Array) -> Array:
    """min(1, p / q) at the first draft, else the residual's mass on the other drafts."""
    token = tokens[..., 0]
    missed = positive_part(1 - ratio(take(target, token), take(draft, token)))
    return 1 - missed + missed * sampler_match.given(residual(target, draft), draft, tokens)


RULE = Rule(
    name="naive_list",
    purpose="single-draft rejection on the first draft; the residual draw may hit another one",
    source="thomas2026dynamic, Appendix B",
    layout="node",
    drafts=("iid", "without_replacement"),
    lossless=True,
    program=program,
    step=step,
    formula=formula,
    given=given,
    tests=lambda n: ("first draft",),
)
