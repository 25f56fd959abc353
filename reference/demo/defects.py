"""Mistakes that are made in practice, planted on purpose: the exact check must see each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specmath.exact import Chance, Number
from specmath.rules.laws import Program
from specmath.rules.single import accepts, left_over

Laws = Sequence[Sequence[Number]]


@dataclass(frozen=True)
class Defect:
    """A broken program, the rule it pretends to be, and what is wrong with it."""

    rule: str
    drafts: str
    purpose: str
    program: Program


def _redraw_from_target(
    chance: Chance, target: Sequence[Number], draft: Sequence[Number], tokens: Sequence[int]
) -> int:
    (token,) = tokens
    return token if accepts(chance, target[token], draft[token]) else chance.draw(target)


def _keep_target(chance: Chance, target: Sequence[Number], draft: Sequence[Number], tokens: Sequence[int]) -> int:
    for token in tokens:
        if accepts(chance, target[token], draft[token]):
            return token
    return chance.draw(left_over(target, draft))


def _bonus_from_last_draft(chance: Chance, target: Laws, draft: Laws, tokens: Sequence[int]) -> tuple[int, ...]:
    for i, token in enumerate(tokens):
        if not accepts(chance, target[i][token], draft[i][token]):
            return (*tokens[:i], chance.draw(left_over(target[i], draft[i])))
    return (*tokens, chance.draw(target[len(tokens) - 1]))


DEFECTS = (
    Defect("single", "iid", "redraws from the target after a rejection", _redraw_from_target),
    Defect("recursive", "iid", "tests every draft against the full target", _keep_target),
    Defect("token_wise", "iid", "takes the bonus token's law one place too early", _bonus_from_last_draft),
)
