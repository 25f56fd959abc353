"""Token-wise verification of a chain: single-draft rejection at each position, stop at the first rejection."""

from __future__ import annotations

from collections.abc import Sequence

from specmath.arrays import Array, namespace
from specmath.draws import categorical, normalise_or, positive_part, take
from specmath.exact import Chance, Number
from specmath.rules.rule import Rule, Verdict
from specmath.rules.single import accepts, residual

Laws = Sequence[Sequence[Number]]


def program(chance: Chance, target: Laws, draft: Laws, tokens: Sequence[int]) -> tuple[int, ...]:
    for i, token in enumerate(tokens):
        if not accepts(chance, target[i][token], draft[i][token]):
            return (*tokens[:i], chance.draw(residual(target[i], draft[i], target[i])))
    return (*tokens, chance.draw(target[len(tokens)]))


def row(laws: Array, index: Array) -> Array:
    """Row ``index`` (...) of laws (..., rows, V): shape (..., V)."""
    xp = namespace(laws)
    picked = xp.broadcast_to(index[..., None, None], (*index.shape, 1, laws.shape[-1]))
    return xp.take_along_axis(laws, picked, axis=-2)[..., 0, :]


def emit(tokens: Array, kept: Array, last: Array) -> Array:
    """The first ``kept`` (...) of tokens (..., L), then ``last`` (...), then -1: shape (..., L + 1)."""
    xp = namespace(tokens)
    padded = xp.concat([tokens, xp.full_like(tokens[..., :1], -1)], axis=-1)
    place = xp.cumulative_sum(xp.ones_like(padded), axis=-1) - 1
    kept = kept[..., None]
    return xp.where(place < kept, padded, xp.where(place == kept, last[..., None], xp.full_like(padded, -1)))


def final_law(target: Array, draft: Array, kept: Array, weight: Array) -> Array:
    """(weight * target - draft)^+ normalised at row ``kept`` (...), and the bonus law after the last row."""
    xp = namespace(target)
    goal = row(target, kept)
    padded = xp.concat([draft, xp.zeros_like(draft[..., :1, :])], axis=-2)  # nothing was drafted after the last token
    return normalise_or(positive_part(weight[..., None] * goal - row(padded, kept)), goal)


def step(target: Array, draft: Array, tokens: Array, uniforms: Array) -> Verdict:
    xp = namespace(target)
    length = tokens.shape[-1]
    passed = uniforms[..., :length] * take(draft, tokens) < take(target[..., :length, :], tokens)
    kept = xp.sum(xp.cumulative_prod(xp.astype(passed, tokens.dtype), axis=-1), axis=-1)
    law = final_law(target, draft, kept, xp.ones_like(uniforms[..., 0]))
    last = xp.astype(categorical(law, uniforms[..., length]), tokens.dtype)
    return Verdict(emit(tokens, kept, last), kept - 1)


RULE = Rule(
    name="token_wise",
    purpose="single-draft rejection position by position, stop at the first rejection",
    source="leviathan2023fast, Algorithm 1",
    layout="chain",
    drafts=("iid",),
    lossless=True,
    program=program,
    step=step,
)
