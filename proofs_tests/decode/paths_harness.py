"""Exact law of the real decoder with n paths: its draws through `Coins`, its rule through the rule's own program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np

from proofs_tests.decode.harness import Coins, Key, by_round, rational
from reference import decode
from reference.models.protocol import LanguageModel
from reference.models.table import TableModel
from reference.random import Stream
from specmath import rules
from specmath.exact import Chance, Number, normalised
from specmath.rules import Rule, Verdict


def exact_paths_program(
    target: LanguageModel,
    draft: TableModel,
    prompt: Sequence[int],
    rule: Rule,
    n: int,
    draft_length: int,
    max_tokens: int,
    *,
    truth: TableModel,
    drafts: str = "iid",
    key: Key = by_round,
    stop: frozenset[int] = frozenset(),
) -> Callable[[Chance], tuple[int, ...]]:
    """The real `paths` decoder as a program of chance: emitted tokens. ``drafts`` is "iid" or "without_replacement".

    ``target`` may be a defective model; ``truth`` holds its laws, and the bonus of a node round is drawn from them.
    """

    rule = rule.under(drafts)

    def play(chance: Chance) -> tuple[int, ...]:
        text, kept, coins = list(prompt), [], Coins(chance, key)

        def uniforms(position: int, stream: int, count: int) -> np.ndarray:
            assert position == len(text), "a round's uniforms are keyed by the position at which it starts"
            if stream == Stream.TARGET:
                assert count == 1
                # Cells inside which the token is the same under the right law and under those that are mistaken for it:
                # without the candidate, or with another one before it.
                near = [(*text, *kept), tuple(text), *((*text, other, *kept) for other in range(truth.vocabulary_size))]
                return np.array([coins.token(cells(map(truth.law, near)), position, stream, 0)[1]])
            if stream != Stream.DRAFT:
                return np.full(count, 0.5)  # decided by the rule's program below
            first = list(draft.law(tuple(text)))
            width = n if drafts == "iid" else min(n, sum(weight > 0 for weight in first))
            found: list[list[int]] = [[] for _ in range(width)]
            points: list[float] = []
            while len(points) < count:
                own = found[len(points) % width]
                law = first if not own else draft.law((*text, *own))
                token, point = coins.token(law, position, stream, len(points))
                if not own and drafts != "iid":
                    first = without(first, token)
                own.append(token)
                points.append(point)
            return np.array(points)

        def node(target_law, draft_law, tokens, uniforms):
            token = rule.program(chance, *rational(np.stack([target_law, draft_law])), tokens.tolist())
            kept.append(token)
            places = np.flatnonzero(tokens == token)
            return Verdict(np.array(token), np.array(places[0] if len(places) else -1))

        def tree(target_laws, draft_laws, tokens, uniforms, parents):
            laws = rational(target_laws), rational(draft_laws)
            emitted = rule.program(chance, *laws, tokens.tolist(), parents.tolist())
            return Verdict(np.array([*emitted, *[-1] * (len(tokens) + 1 - len(emitted))]), np.array(-1))

        stream = decode.paths_rounds(
            target,
            draft,
            prompt,
            n=n,
            draft_length=draft_length,
            drafts=drafts,
            rule=dataclasses.replace(rule, step=tree if rule.layout == "tree" else node),
            options=decode.Options(max_tokens=max_tokens, stop=stop),
            uniforms=uniforms,
        )
        for one in stream:
            text.extend(one.emitted)
            kept.clear()
        return tuple(text[len(prompt) :])

    return play


def cells(laws: Iterable[Sequence[Number]]) -> list[Number]:
    """Widths of the common refinement of the laws' intervals on [0, 1]."""
    edges = sorted({Fraction(0), *(edge for law in laws for edge in accumulate(law))})
    return [high - low for low, high in pairwise(edges)]


def without(law: Sequence[Number], token: int) -> list[Number]:
    left = [0 if x == token else weight for x, weight in enumerate(law)]
    return normalised(left) if any(left) else left


def paths_rules(drafts: str = "iid") -> list[tuple[str, int]]:
    """(rule, length of a path) for every rule that judges two paths of these drafts."""
    found = [(name, 1) for name in rules.names("node") if takes_two(name, drafts)]
    return found + [(name, 2) for name in rules.names("tree") if drafts in rules.get(name).drafts]


def takes_two(name: str, drafts: str) -> bool:
    rule = rules.get(name)
    return drafts in rule.drafts and rule.at_least <= 2 <= (rule.at_most or 2)
