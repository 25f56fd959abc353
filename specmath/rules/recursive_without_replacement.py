"""Recursive rejection without replacement: after a rejection the draft law loses the rejected token."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draws import ones_hot, positive_part, ratio, residual, take, without
from specmath.exact import Chance, Number, normalised
from specmath.rules import single
from specmath.rules.rule import Rule, Verdict, conclude
from specmath.rules.single import accepts, overlap


def program(chance: Chance, target: Sequence[Number], draft: Sequence[Number], tokens: Sequence[int]) -> int:
    for token in tokens:
        draft = normalised(draft)
        if accepts(chance, target[token], draft[token]):
            return token
        target = normalised(single.residual(target, draft, target))
        draft = [0 if x == token else q for x, q in enumerate(draft)]
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
        draft = without(draft, token)
    return conclude(tokens, emitted, target, uniforms[..., n])


def formula(target: Array, draft: Array, n: int, drafts: str) -> Array | None:
    """n = 1: sum min(p, q). n = 2: + sum_x (q_x - p_x)^+ g(1 / (1 - q_x)), g(c) = sum_y min(p1_y, c q_y).

    The rejected x drops out of g by itself, because its residual p1_x is zero. g is piecewise linear with kinks at
    p1_y / q_y, so all V values of it come from one sort of kinks and arguments together: O(V log V).
    """
    first = overlap(target, draft)
    if n == 1:
        return first
    if n > 2:
        return None  # the law depends on which tokens were rejected: no product form
    xp = namespace(target)
    size = target.shape[-1]
    after = residual(target, draft)
    never = xp.full_like(after, xp.inf)
    kinks = xp.where(draft > 0, ratio(after, draft), never)
    peak = ones_hot(xp.argmax(draft, axis=-1), size, xp)  # where 1 - q would cancel, the others are summed
    others = xp.sum(xp.where(peak, xp.zeros_like(draft), draft), axis=-1, keepdims=True)
    scales = ratio(xp.ones_like(draft), xp.where(peak, others, 1 - draft))
    order = xp.argsort(xp.concat([kinks, scales], axis=-1), axis=-1, stable=True)
    back = xp.argsort(order, axis=-1, stable=True)[..., size:]
    zeros = xp.zeros_like(draft)

    def below(values: Array) -> Array:  # sum of values over the tokens whose kink lies below each scale
        merged = xp.take_along_axis(xp.concat([values, zeros], axis=-1), order, axis=-1)
        return xp.take_along_axis(xp.cumulative_sum(merged, axis=-1), back, axis=-1)

    # q above each scale, summed from the other end: a difference's rounding would be multiplied by scales of any size.
    merged = xp.take_along_axis(xp.concat([draft, zeros], axis=-1), order, axis=-1)
    tails = xp.flip(xp.cumulative_sum(xp.flip(merged, axis=-1), axis=-1), axis=-1)
    above = xp.take_along_axis(tails, back, axis=-1)
    beyond = xp.where(above > 0, scales * above, zeros)
    beyond = xp.where(beyond < 1, beyond, xp.ones_like(beyond))
    return first + xp.sum(positive_part(draft - target) * (below(after) + beyond), axis=-1)


def given(target: Array, draft: Array, tokens: Array) -> Array:
    """1 - prod_j (1 - min(1, p_j(x_j) / q_j(x_j))): some test passes, for these drafts x."""
    xp = namespace(target)
    missed = xp.ones_like(target[..., 0])
    for j in range(tokens.shape[-1]):
        token = tokens[..., j]
        missed = missed * positive_part(1 - ratio(take(target, token), take(draft, token)))
        target, draft = residual(target, draft), without(draft, token)
    return 1 - missed


RULE = Rule(
    name="recursive_without_replacement",
    purpose="recursive rejection for distinct drafts: a rejected token leaves the draft law",
    source="jeon2024recursive; yang2024mcsd",
    layout="node",
    drafts=("without_replacement",),
    lossless=True,
    program=program,
    step=step,
    formula=formula,
    given=given,
)
