"""n distinct tokens, each drawn from what the earlier ones left (Plackett-Luce, or successive sampling)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from specmath.arrays import Array, like, namespace, to_numpy
from specmath.draft_laws.law import DraftLaw
from specmath.draft_laws.race import Race
from specmath.draws import categorical, stack_last, without
from specmath.exact import Chance, Number


def program(chance: Chance, draft: Sequence[Number], n: int) -> tuple[int, ...]:
    left, drawn = list(draft), []
    for _ in range(n):
        drawn.append(chance.draw(left))
        left[drawn[-1]] = 0
    return tuple(drawn)


def sample(draft: Array, n: int, uniforms: Array) -> Array:
    drawn = []
    for j in range(n):
        drawn.append(categorical(draft, uniforms[..., j]))
        draft = without(draft, drawn[-1])
    return stack_last(drawn)


def inside(draft: Array, n: int, members: Array) -> Array:
    """On the host in float64 (see `race.Race`), returned in the caller's library."""
    xp = namespace(draft)
    law = np.atleast_2d(to_numpy(draft).astype(np.float64))
    held = np.atleast_2d(to_numpy(members)) & (law > 0)
    law, held = np.broadcast_arrays(law, held)
    law, held = law.reshape(-1, law.shape[-1]), held.reshape(-1, held.shape[-1])
    order = np.argsort(~held, axis=-1, kind="stable")
    found = Race(np.take_along_axis(law, order, axis=-1), n).masses(held.sum(axis=-1, keepdims=True))[:, 0]
    shape = np.broadcast_shapes(draft.shape[:-1], members.shape[:-1])
    return xp.astype(like(found.reshape(shape), draft), draft.dtype)


def possible(draft: Array, tokens: Array) -> Array:
    xp = namespace(tokens)
    rising = xp.sort(tokens, axis=-1)
    return xp.all(rising[..., 1:] != rising[..., :-1], axis=-1)


LAW = DraftLaw(
    name="without_replacement",
    purpose="n distinct tokens drawn one after the other, each from what is left",
    program=program,
    sample=sample,
    inside=inside,
    possible=possible,
    uniforms=lambda n: n,
    needs=lambda n, support: (
        "" if n <= support else f"draws n distinct tokens; the draft has only {support} possible tokens"
    ),
    source="jeon2024recursive",
)
