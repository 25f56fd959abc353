"""Block verification: the whole chain is judged together; the *last* passed test decides how much is kept."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draws import categorical, positive_part, ratio, take
from specmath.exact import Chance
from specmath.rules.rule import Rule, Verdict
from specmath.rules.single import residual
from specmath.rules.token_wise import Laws, emit, final_law


def program(chance: Chance, target: Laws, draft: Laws, tokens: Sequence[int]) -> tuple[int, ...]:
    length, kept, weight = len(tokens), 0, 1
    weight_kept = weight
    for i, token in enumerate(tokens, start=1):
        weight = min(1, weight * target[i - 1][token] / draft[i - 1][token])
        stop = weight
        if i < length:
            left = sum(max(weight * p - q, 0) for p, q in zip(target[i], draft[i], strict=True))
            # left = 0 with weight = 1 means equal laws: a later test passes with certainty, whatever this one says.
            stop = left / (left + (1 - weight)) if left else 0
        if chance.flip(stop):
            kept, weight_kept = i, weight
    if kept == length:
        return (*tokens, chance.draw(target[length]))
    goal = [weight_kept * p for p in target[kept]]
    return (*tokens[:kept], chance.draw(residual(goal, draft[kept], target[kept])))


def step(target: Array, draft: Array, tokens: Array, uniforms: Array) -> Verdict:
    xp = namespace(target)
    length = tokens.shape[-1]
    kept = xp.zeros_like(tokens[..., 0])
    weight = xp.ones_like(target[..., 0, 0])
    kept_weight = weight
    for i in range(1, length + 1):
        token = tokens[..., i - 1]
        scaled = ratio(weight * take(target[..., i - 1, :], token), take(draft[..., i - 1, :], token))
        weight = xp.where(scaled < 1, scaled, xp.ones_like(scaled))
        stop = weight
        if i < length:
            left = xp.sum(positive_part(weight[..., None] * target[..., i, :] - draft[..., i, :]), axis=-1)
            stop = ratio(left, left + (1 - weight))
        passed = uniforms[..., i - 1] < stop
        kept = xp.where(passed, xp.full_like(kept, i), kept)
        kept_weight = xp.where(passed, weight, kept_weight)
    law = final_law(target, draft, kept, kept_weight)
    last = xp.astype(categorical(law, uniforms[..., length]), tokens.dtype)
    return Verdict(emit(tokens, kept, last), kept - 1)


RULE = Rule(
    name="block",
    purpose="judge the chain as a whole: keep up to the last passed test; optimal for one path",
    source="sun2025block, Theorem 2",
    layout="chain",
    drafts=("iid",),
    lossless=True,
    program=program,
    step=step,
)
