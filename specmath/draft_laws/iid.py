"""n independent draws from the draft law, repetitions allowed."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draft_laws.law import DraftLaw
from specmath.draws import categorical, stack_last
from specmath.exact import Chance, Number


def program(chance: Chance, draft: Sequence[Number], n: int) -> tuple[int, ...]:
    return tuple(chance.draw(draft) for _ in range(n))


def sample(draft: Array, n: int, uniforms: Array) -> Array:
    return stack_last([categorical(draft, uniforms[..., j]) for j in range(n)])


def inside(draft: Array, n: int, members: Array) -> Array:
    xp = namespace(draft)
    return xp.sum(xp.where(members, draft, xp.zeros_like(draft)), axis=-1) ** n


def possible(draft: Array, tokens: Array) -> Array:
    return namespace(tokens).all(tokens >= 0, axis=-1)


LAW = DraftLaw(
    name="iid",
    purpose="n independent draws, repetitions allowed; P(all in H) = q(H)^n",
    program=program,
    sample=sample,
    inside=inside,
    possible=possible,
    uniforms=lambda n: n,
    needs=lambda n, support: "",
    source="sun2023spectr",
)
