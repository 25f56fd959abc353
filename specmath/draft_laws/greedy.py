"""The n - 1 likeliest tokens (ties by index), then one draw from what is left."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draft_laws.law import DraftLaw
from specmath.draws import categorical, likeliest, ones_hot
from specmath.exact import Chance, Number


def fixed_tokens(draft: Sequence[Number], n: int) -> tuple[int, ...]:
    """The n - 1 tokens that are always drafted, by falling probability, ties by index."""
    return tuple(sorted(range(len(draft)), key=lambda token: (-draft[token], token))[: n - 1])


def rest(draft: Array, n: int) -> tuple[Array, Array, Array]:
    """Fixed tokens (..., n - 1), their boolean membership (..., V), and the law of the last draft (..., V)."""
    xp = namespace(draft)
    top = likeliest(draft, n - 1)
    fixed = xp.zeros_like(draft, dtype=xp.bool)
    for j in range(n - 1):
        fixed = fixed | ones_hot(top[..., j], draft.shape[-1], xp)
    left = xp.where(fixed, xp.zeros_like(draft), draft)
    total = xp.sum(left, axis=-1, keepdims=True)
    return top, fixed, xp.where(total > 0, left / xp.where(total > 0, total, xp.ones_like(total)), left)


def program(chance: Chance, draft: Sequence[Number], n: int) -> tuple[int, ...]:
    fixed = fixed_tokens(draft, n)
    return (*fixed, chance.draw([0 if x in fixed else probability for x, probability in enumerate(draft)]))


def sample(draft: Array, n: int, uniforms: Array) -> Array:
    xp = namespace(draft)
    top, _, last = rest(draft, n)
    drawn = categorical(last, uniforms[..., 0])
    return xp.concat([top, xp.astype(drawn, top.dtype)[..., None]], axis=-1)


def inside(draft: Array, n: int, members: Array) -> Array:
    xp = namespace(draft)
    _, fixed, last = rest(draft, n)
    complete = xp.all(members | ~fixed, axis=-1)
    mass = xp.sum(xp.where(members, last, xp.zeros_like(last)), axis=-1)
    return xp.where(complete, mass, xp.zeros_like(mass))


def possible(draft: Array, tokens: Array) -> Array:
    xp = namespace(tokens)
    n = tokens.shape[-1]
    if n > draft.shape[-1]:
        return xp.zeros_like(tokens[..., 0], dtype=xp.bool)
    top = xp.astype(likeliest(draft, n - 1), tokens.dtype)
    fixed = xp.all(tokens[..., :-1] == top, axis=-1)
    return fixed & xp.all(tokens[..., -1:] != top, axis=-1)


LAW = DraftLaw(
    name="greedy",
    purpose="the n - 1 likeliest tokens fixed, the last one drawn from the rest",
    program=program,
    sample=sample,
    inside=inside,
    possible=possible,
    uniforms=lambda n: 1,
    needs=lambda n, support: (
        "" if n <= support else f"fixes n - 1 tokens and draws one more; the draft has only {support} possible tokens"
    ),
    source="hu2025optimal, Section 5",
)
