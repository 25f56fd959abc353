"""The n likeliest tokens (ties by index), without chance: the children of EAGLE-2 trees."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draft_laws.greedy import fixed_tokens
from specmath.draft_laws.law import DraftLaw
from specmath.draws import likeliest, take
from specmath.exact import Chance, Number


def program(chance: Chance, draft: Sequence[Number], n: int) -> tuple[int, ...]:
    return fixed_tokens(draft, n + 1)


def sample(draft: Array, n: int, uniforms: Array) -> Array:
    return likeliest(draft, n)


def inside(draft: Array, n: int, members: Array) -> Array:
    xp = namespace(draft)
    top = likeliest(draft, n)
    hit = xp.ones_like(draft[..., 0], dtype=xp.bool)
    for j in range(n):
        hit = hit & take(members, top[..., j])
    return xp.astype(hit, draft.dtype)


def possible(draft: Array, tokens: Array) -> Array:
    xp = namespace(tokens)
    if tokens.shape[-1] > draft.shape[-1]:
        return xp.zeros_like(tokens[..., 0], dtype=xp.bool)
    return xp.all(tokens == xp.astype(likeliest(draft, tokens.shape[-1]), tokens.dtype), axis=-1)


def _needs(n: int, support: int) -> str:
    return "" if n <= support else f"takes n distinct tokens; the draft has only {support} possible tokens"


LAW = DraftLaw(
    name="top_k",
    purpose="the n likeliest tokens, deterministic",
    program=program,
    sample=sample,
    inside=inside,
    possible=possible,
    uniforms=lambda n: 0,
    needs=_needs,
    source="li2024eagle2",
)
