"""SpecHub's pairs: every pair holds the likeliest token (the hub), and its order tells how it was drawn."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draft_laws.greedy import fixed_tokens, rest
from specmath.draft_laws.law import DraftLaw
from specmath.draws import categorical, likeliest, stack_last, take
from specmath.exact import Chance, Number


def program(chance: Chance, draft: Sequence[Number], n: int) -> tuple[int, ...]:
    (hub,) = fixed_tokens(draft, 2)
    first = chance.draw(draft)
    if first != hub:
        return (first, hub)
    return (hub, chance.draw([0 if x == hub else probability for x, probability in enumerate(draft)]))


def sample(draft: Array, n: int, uniforms: Array) -> Array:
    xp = namespace(draft)
    top, _, others = rest(draft, 2)
    hub = top[..., 0]
    first = xp.astype(categorical(draft, uniforms[..., 0]), hub.dtype)
    second = xp.astype(categorical(others, uniforms[..., 1]), hub.dtype)
    return stack_last([first, xp.where(first == hub, second, hub)])


def inside(draft: Array, n: int, members: Array) -> Array:
    xp = namespace(draft)
    top, _, others = rest(draft, 2)
    mass = xp.sum(xp.where(members, others, xp.zeros_like(others)), axis=-1)
    return xp.where(take(members, top[..., 0]), mass, xp.zeros_like(mass))


def possible(draft: Array, tokens: Array) -> Array:
    xp = namespace(tokens)
    hub = xp.astype(likeliest(draft, 1), tokens.dtype)
    return xp.sum(xp.astype(tokens == hub, xp.int64), axis=-1) == 1


def _needs(n: int, support: int) -> str:
    if n != 2:
        return "is defined for n = 2 only"
    return "" if support >= 2 else "needs two possible tokens; the draft has only one"


LAW = DraftLaw(
    name="hub",
    purpose="SpecHub's ordered pairs (x, hub) with q(x) and (hub, x) with q(hub) q(x) / (1 - q(hub)); n = 2 only",
    program=program,
    sample=sample,
    inside=inside,
    possible=possible,
    uniforms=lambda n: 2,
    needs=_needs,
    source="sun2024spechub",
)
