"""Exact laws of the real decoders: their loop as it runs, with exact programs where it draws and judges."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from typing import Any
from unittest import mock

import numpy as np

from proofs_tests.checks import accepted_index
from proofs_tests.decode.coins import Coins, Inverted, Key, by_round
from proofs_tests.decode.harness import following
from reference import decode
from reference.decode import judge
from reference.drafters import Drafter, Drafting, Task
from reference.models.protocol import LanguageModel
from reference.models.table import TableModel
from specmath import exact, rules
from specmath.draws import first_match
from specmath.exact import Chance, Law
from specmath.rules import Rule, Verdict

Text = tuple[int, ...]


def rational(laws: np.ndarray) -> Any:
    """Laws as the decoder has them, back from float64 to the fractions of the tables (denominators below 1000)."""
    if laws.ndim == 1:
        return [Fraction(value).limit_denominator(1000) for value in laws.tolist()]
    return [rational(row) for row in laws]


class Drawn:
    """A drafter whose draws from a draft law are made by that law's exact program, through `Coins`."""

    def __init__(self, drafter: Drafter, coins: Coins) -> None:
        self._drafter, self._coins = drafter, coins

    def __getattr__(self, name: str) -> Any:
        return getattr(self._drafter, name)

    def begin(self, task: Task, memory: Any = None) -> Drafting:
        drafting = self._drafter.begin(task, memory)
        law = getattr(drafting, "_law", None)
        if law is not None:  # of a `StaticDrafting`, possibly wrapped

            def sample(row: np.ndarray, n: int, tags: np.ndarray) -> np.ndarray:
                return np.array(law.program(Inverted(self._coins, tags.tolist()), rational(row), n))

            drafting._law = dataclasses.replace(law, sample=sample)
        return drafting


def exact_rule(rule: Rule, chance: Chance, coins: Coins) -> Rule:
    """The rule with its own program as step (that `verify` has the law of the program is proved elsewhere).

    The program has a chance of its own, so the uniforms that the decoder hands in must not be used for anything else.
    """

    def step(target: np.ndarray, draft: np.ndarray, tokens: np.ndarray, tags: np.ndarray, *parents: Any) -> Verdict:
        assert len(tags) == rule.uniforms(len(tokens))
        coins.spend(tags.tolist())
        laws, below = (rational(target), rational(draft)), [own.tolist() for own in parents]
        emitted = rule.program(chance, *laws, tokens.tolist(), *below)
        if rule.layout == "node":
            return Verdict(np.array(emitted), first_match(tokens, np.array(emitted)))
        padded = [*emitted, *[-1] * (len(tokens) + 1 - len(emitted))]
        (accepted,) = accepted_index(rule, tokens.tolist(), *(below or [range(-1, len(tokens) - 1)]), emitted)
        return Verdict(np.array(padded), np.array(accepted))

    return dataclasses.replace(rule, step=step)


def play(
    target: LanguageModel,
    drafter: Drafter | None,
    prompt: Sequence[int],
    rule: str | Rule | None,
    options: decode.Options,
    *,
    key: Key = by_round,
    rounds: int | None = None,
    patches: Sequence[Any] = (),
) -> Callable[[Chance], Text]:
    """The decoder as a program of chance: the tokens of the first ``rounds`` rounds, by default of all.

    ``patches`` are entered around it: how defects are planted in the loop.
    """
    chosen = None
    if drafter is not None:
        chosen, drafts = judge.choose(rule, drafter, options)
        assert chosen is not None, "rejection"
        chosen = chosen.under(drafts)

    def run(chance: Chance) -> Text:
        coins = Coins(chance, key)
        text = list(prompt)

        def source(position: int, stream: int, count: int) -> np.ndarray:
            assert position == len(text), "a round's uniforms are keyed by the position at which it starts"
            return coins.tags(position, stream, count)

        def categorical(law: np.ndarray, tag: float) -> int:
            return coins.token(rational(law), float(tag))

        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(judge, "categorical", categorical))
            for patch in patches:
                stack.enter_context(patch)
            stream = decode.stream(
                target,
                prompt,
                drafter=None if drafter is None else Drawn(drafter, coins),  # type: ignore[arg-type]
                rule=None if chosen is None else exact_rule(chosen, chance, coins),
                options=options,
                uniforms=source,
            )
            for number, one in enumerate(stream, 1):
                text.extend(one.emitted)
                if number == rounds:
                    break
        return tuple(text[len(prompt) :])

    return run


def bias(
    target: LanguageModel,
    drafter: Drafter | None,
    rule: str | Rule | None,
    *,
    truth: TableModel | None = None,
    prompt: Sequence[int] = (1, 0),
    length: int = 3,
    rounds: int | None = None,
    budget: int = 20_000,
    **more: Any,
) -> Any:
    """Total variation between the decoder's text of ``length`` tokens and the target's; the exact law is `play`'s.

    ``truth`` holds the laws of a defective target. With ``rounds`` the decoder stops there, and the target completes.
    """
    options = more.pop("options", decode.Options(max_tokens=length, randomness="rejection"))
    law = exact.law(play(target, drafter, prompt, rule, options, rounds=rounds, **more), budget=budget)
    return text_bias(law, truth or target, prompt, length, options.stop)  # type: ignore[arg-type]


def text_bias(law: Law, truth: TableModel, prompt: Sequence[int], length: int, stop: frozenset[int]) -> Any:
    """Total variation, texts that a stop token ended being whole."""
    goal = following(truth, prompt)

    def cut(text: Text) -> Text:
        places = [place for place, token in enumerate(text) if token in stop]
        return text[: places[0] + 1] if places else text

    completed = rules.completed(law, goal, length).map(cut)
    return completed.total_variation(rules.text_law(goal, length).map(cut))
