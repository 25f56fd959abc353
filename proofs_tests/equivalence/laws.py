"""The rung of rejection mode: the exact law of a decoder's text, on tables so coarse that few uniforms decide.

Target and draft laws are multiples of 1/4 and their ratios 0, 1/2, or at least 1. So every decision of a token-wise
chain compares a uniform with a multiple of 1/4 or, in accept tests, of 1/2: the middles of equal intervals, equally
likely, stand for all uniforms, and the law is a finite sum. Accept tests get 16 intervals, to see wrong ratios as well.
`proofs_tests/decode` has the laws of all rules and drafters on arbitrary tables; this is the instance on which the list
of defects is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from reference import decode
from reference.decode.judge import Rejection
from reference.drafters.model import Growing
from reference.models.table import TableModel
from reference.random import Stream
from specmath import exact
from specmath.arrays import namespace
from specmath.draws import positive_part
from specmath.exact import Chance
from specmath.rules import token_wise

Planted = AbstractContextManager[Any]

_TARGET = {0: (1, 1, 1, 1), 1: (2, 0, 1, 1), 2: (1, 1, 2, 0), 3: (0, 2, 1, 1)}  # quarters, by the text's last token
_DRAFT = {0: (2, 2, 0, 0), 1: (1, 2, 1, 0), 2: (1, 1, 2, 0), 3: (1, 1, 1, 1)}
PARTS = {Stream.DRAFT: 4, Stream.ACCEPT: 16, Stream.RESIDUAL: 4, Stream.TARGET: 4}

TARGET = TableModel(lambda prefix: [Fraction(part, 4) for part in _TARGET[prefix[-1]]], 4)
DRAFT = TableModel(lambda prefix: [Fraction(part, 4) for part in _DRAFT[prefix[-1]]], 4)
OPTIONS = decode.Options(max_tokens=2)


def decoded(prompt: Sequence[int], uniforms: Any) -> tuple[int, ...]:
    return decode.chain(
        TARGET, DRAFT, prompt, draft_length=1, rule="token_wise", options=OPTIONS, uniforms=uniforms
    ).tokens


def distance(start: int) -> float:
    """Total variation between the law of two tokens after ``start`` and the target's; 1 if one is impossible.

    Uniforms of exactly 0 are tried as well: there an accept test `<=` emits what it must not.
    """

    def play(chance: Chance) -> tuple[int, ...]:
        known: dict[tuple[int, int, int], float] = {}

        def uniforms(position: int, stream: int, count: int) -> NDArray[np.float64]:
            parts = PARTS[Stream(stream)]
            for index in range(count):
                if (position, stream, index) not in known:
                    known[position, stream, index] = (chance.draw([1] * parts) + 0.5) / parts
            return np.array([known[position, stream, index] for index in range(count)])

        return decoded([start], uniforms)

    truth = {(one, two): Fraction(_TARGET[start][one] * _TARGET[one][two], 16) for one in range(4) for two in range(4)}
    far = float(exact.law(play).total_variation(truth))
    for draft in (0.0, 0.3, 0.6, 0.9):
        emitted = decoded([start], lambda position, stream, count, draft=draft: np.full(count, draft * (stream == 1)))
        far = max(far, float(not truth[emitted]))  # type: ignore[index]
    return far


def law_fails() -> bool:
    """Whether the law is wrong after any of the tokens."""
    return any(distance(start) > 1e-12 for start in range(4))


def farthest() -> float:
    """The largest distance after any of the tokens; rounding counts as 0."""
    far = max(distance(start) for start in range(4))
    return far if far > 1e-12 else 0.0


def _step(change: Any) -> Planted:
    """The rule's vectorised step with another accept test or residual."""
    rule = token_wise.RULE
    stack = ExitStack()
    stack.callback(object.__setattr__, rule, "step", rule.step)
    object.__setattr__(rule, "step", change(rule.step))
    return stack


def accept_at_equality() -> Planted:
    """The accept test is `<=`: a uniform of 0 accepts a token of target probability zero."""

    def change(real: Any) -> Any:
        def step(target: Any, draft: Any, tokens: Any, uniforms: Any) -> Any:
            own = np.array(uniforms)
            length = tokens.shape[-1]
            at = np.take_along_axis(draft, tokens[..., None], -1)[..., 0] * own[..., :length]
            goal = np.take_along_axis(target[..., :length, :], tokens[..., None], -1)[..., 0]
            own[..., :length] = np.where(at <= goal, -1.0, own[..., :length])
            return real(target, draft, tokens, own)

        return step

    return _step(change)


def residual_not_normalised() -> Planted:
    """The residual's cumulative sum is compared with a uniform as if it ended at 1."""

    def categorical(weights: Any, uniform: Any) -> Any:
        xp = namespace(weights)
        beyond = xp.cumulative_sum(weights, axis=-1) > uniform[..., None]
        last = weights.shape[-1] - 1 - xp.argmax(xp.astype(xp.flip(weights > 0, axis=-1), xp.int32), axis=-1)
        return xp.where(xp.any(beyond, axis=-1), xp.argmax(xp.astype(beyond, xp.int32), axis=-1), last)

    def normalise(weights: Any, fallback: Any) -> Any:
        return weights

    stack = ExitStack()
    stack.enter_context(patch.object(token_wise, "categorical", categorical))
    stack.enter_context(patch.object(token_wise, "normalise_or", normalise))
    return stack


def residual_is_target() -> Planted:
    """After a rejection the token is drawn from the target itself."""

    def final_law(target: Any, draft: Any, kept: Any, weight: Any) -> Any:
        return token_wise.row(target, kept)

    return patch.object(token_wise, "final_law", final_law)


def residual_reversed() -> Planted:
    """The residual is (draft - target)^+."""

    def part(values: Any) -> Any:
        return positive_part(-values)

    return patch.object(token_wise, "positive_part", part)


def draft_of_another_temperature() -> Planted:
    """The law that the rule is told is that of another temperature than the one that was drawn from."""
    real = Growing.add

    def add(self: Growing, token: int, parent: int, law: NDArray[np.float64]) -> int:
        return real(self, token, parent, np.sqrt(law) / np.sqrt(law).sum())

    return patch.object(Growing, "add", add)


def draft_in_half_precision() -> Planted:
    """The law that the rule is told was rounded, to two bits here."""
    real = Growing.add

    def add(self: Growing, token: int, parent: int, law: NDArray[np.float64]) -> int:
        rounded = np.maximum(np.rint(law * 3), 1)
        return real(self, token, parent, rounded / rounded.sum())

    return patch.object(Growing, "add", add)


def _coins(accept: Stream, residual: Stream) -> Planted:
    def coins(self: Any, position: int, tests: int, draws: int) -> NDArray[np.float64]:
        parts = [self._source(position, accept, tests), self._source(position, residual, draws)]
        return np.concatenate(parts)

    return patch.object(Rejection, "_coins", coins)


def noise_of_draft_and_residual() -> Planted:
    """Draft and residual are drawn with the same uniform."""
    return _coins(Stream.ACCEPT, Stream.DRAFT)


def noise_of_draft_and_test() -> Planted:
    """The uniform that drew a draft also decides about it."""
    return _coins(Stream.DRAFT, Stream.RESIDUAL)


DEFECTS = {
    "accept test with <=": accept_at_equality,
    "residual not normalised": residual_not_normalised,
    "residual is the target": residual_is_target,
    "residual reversed": residual_reversed,
    "draft law of another temperature": draft_of_another_temperature,
    "draft law of another precision": draft_in_half_precision,
    "draft and residual share noise": noise_of_draft_and_residual,
    "draft and accept test share noise": noise_of_draft_and_test,
}
