"""Exact laws of the real decoders, obtained by replacing where their uniforms come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np

from reference import decode
from reference.models.protocol import LanguageModel
from reference.models.table import TableModel
from reference.random import Stream
from specmath import rules
from specmath.exact import Chance, Law, Number
from specmath.rules import Rule, Verdict

Key = Callable[[int, int, int], Hashable]
"""(position of the round, stream, number of the draw) -> the name of a uniform; equal names are equal numbers."""


def by_round(position: int, stream: int, index: int) -> Hashable:
    """The decoders' own keying."""
    return position, stream, index


def by_token(position: int, stream: int, index: int) -> Hashable:
    """The planted defect: keyed by the token's own position, a rejected draft's uniform is used again."""
    return (position + index, stream) if stream == Stream.DRAFT else (position, stream, index)


def one_stream(position: int, stream: int, index: int) -> Hashable:
    """The planted defect: a draft is accepted or not by the uniform that drew it."""
    return position, Stream.DRAFT if stream == Stream.ACCEPT else stream, index


def table(seed: int, size: int, top: int = 4, *, floor: int = 0) -> TableModel:
    """A model with another law after every prefix: weights from ``floor`` to ``top``, zeros and ties included."""

    def law(prefix: tuple[int, ...]) -> list[Fraction]:
        weights = np.random.default_rng([seed, size, *prefix]).integers(floor, top + 1, size).tolist()
        if not any(weights):
            weights[sum(prefix) % size] = 1
        return [Fraction(weight, sum(weights)) for weight in weights]

    return TableModel(law, size)


def following(model: TableModel, prompt: Sequence[int]) -> Callable[[tuple[int, ...]], Sequence[Number]]:
    """The model as `rules.text_law` takes it: law after the tokens that follow the prompt."""
    return lambda tokens: model.law((*prompt, *tokens))


def rational(laws: np.ndarray) -> list[list[Fraction]]:
    """Laws handed to a rule, back from float64 to the fractions of the tables (denominators far below 1000)."""
    return [[Fraction(value).limit_denominator(1000) for value in row] for row in laws.tolist()]


class Coins:
    """Uniforms of which only an interval is known: asked for a token, they split it by the law and say on which side.

    A decoder that asks twice for the same key gets the same number: the second answer can only be one that the first
    left open. Everything is a Fraction, hence the law of the decoder is exact, defects of the keying included.
    """

    def __init__(self, chance: Chance, key: Key) -> None:
        self._chance, self._key = chance, key
        self._known: dict[Hashable, tuple[Fraction, Fraction]] = {}

    def token(self, law: Sequence[Number], position: int, stream: int, index: int) -> tuple[int, float]:
        name = self._key(position, stream, index)
        low, high = self._known.get(name, (Fraction(0), Fraction(1)))
        edges = [(max(low, a), min(high, b)) for a, b in pairwise(accumulate(law, initial=Fraction(0)))]
        token = self._chance.draw([max(Fraction(0), b - a) for a, b in edges])
        self._known[name] = edges[token]
        return token, float(sum(edges[token]) / 2)


def exact_program(
    target: LanguageModel,
    draft: TableModel,
    prompt: Sequence[int],
    rule: Rule,
    draft_length: int,
    max_tokens: int,
    *,
    truth: TableModel,
    key: Key = by_round,
) -> Callable[[Chance], tuple[int, ...]]:
    """The real `chain` decoder as a program of chance: emitted tokens.

    Draft draws go through `Coins`; the rule decides through its own exact program, fed with the laws that the decoder
    hands to `Rule.verify` (that verify has the law of the program is proved elsewhere). ``target`` may be a defective
    model; ``truth`` holds its laws.
    """

    def play(chance: Chance) -> tuple[int, ...]:
        text, coins = list(prompt), Coins(chance, key)

        def uniforms(position: int, stream: int, count: int) -> np.ndarray:
            assert position == len(text), "a round's uniforms are keyed by the position at which it starts"
            if stream not in (Stream.DRAFT, Stream.TARGET):
                return np.full(count, 0.5)  # decided by the rule's program below
            model, drafted, points = draft if stream == Stream.DRAFT else truth, [], []
            for index in range(count):
                token, point = coins.token(model.law((*text, *drafted)), position, stream, index)
                drafted.append(token)
                points.append(point)
            return np.array(points)

        def step(target_laws, draft_laws, tokens, uniforms):
            emitted = rule.program(chance, rational(target_laws), rational(draft_laws), tokens.tolist())
            padded = [*emitted, *[-1] * (len(tokens) + 1 - len(emitted))]
            return Verdict(np.array(padded), np.array(len(emitted) - 2))

        stream = decode.chain_rounds(
            target,
            draft,
            prompt,
            draft_length=draft_length,
            rule=dataclasses.replace(rule, step=step),
            options=decode.Options(max_tokens=max_tokens),
            uniforms=uniforms,
        )
        for one in stream:
            text.extend(one.emitted)
        return tuple(text[len(prompt) :])

    return play


class Scripted:
    """A source whose k-th new uniform is ``values[k]``, and ``fill`` beyond them."""

    def __init__(self, values: Sequence[float], fill: float, key: Key) -> None:
        self._values, self._fill, self._key = values, fill, key
        self._order: dict[Hashable, int] = {}

    def __call__(self, position: int, stream: int, count: int) -> np.ndarray:
        places = [self._order.setdefault(self._key(position, stream, i), len(self._order)) for i in range(count)]
        return np.array([self._values[k] if k < len(self._values) else self._fill for k in places])

    @property
    def asked(self) -> int:
        return len(self._order)


def bisected_law(run: Callable[[Scripted], Hashable], *, key: Key = by_round, grid: int = 16) -> Law:
    """Law of a decoder's record over its uniforms, by bisecting for breakpoints, one uniform after the other.

    ``run`` decodes with the source and returns what it did: the more it tells (drafts, accepted count), the surer a
    breakpoint is seen. Two breakpoints inside one cell of the grid can be missed, which shows as a difference of laws.
    """
    fills = (0.0, 0.5, float(np.nextafter(1, 0)))
    found: dict[Hashable, float] = {}

    def call(values: list[float], fill: float) -> tuple[Hashable, int]:
        source = Scripted(values, fill, key)
        return run(source), source.asked

    def explore(fixed: list[float], volume: float) -> None:
        outcome, asked = call(fixed, fills[0])
        if asked <= len(fixed):
            found[outcome] = found.get(outcome, 0.0) + volume
            return

        def view(value: float) -> tuple[Hashable, ...]:
            return tuple(call([*fixed, value], fill)[0] for fill in fills)

        points = [*(i / grid for i in range(grid)), fills[-1]]
        views = [view(point) for point in points]
        start, first = 0.0, points[0]
        for (low, seen), (high, other) in pairwise(zip(points, views, strict=True)):
            if seen == other:
                continue
            while high - low > 2.0**-40:
                middle = (low + high) / 2
                low, high = (middle, high) if view(middle) == seen else (low, middle)
            edge = (low + high) / 2
            explore([*fixed, (first + low) / 2], volume * (edge - start))
            start, first = edge, high
        explore([*fixed, (first + points[-1]) / 2], volume * (1.0 - start))

    explore([], 1.0)
    return Law(found)


def check_trace(decoded: decode.Decoded, prompt: Sequence[int], draft_length: int, options: decode.Options) -> None:
    """Everything that must hold of every trace, whatever was sampled."""
    text = list(prompt)
    for number, one in enumerate(decoded.rounds):
        assert (one.round, one.position, one.request) == (number, len(text), options.request)
        assert len(one.drafted) == len(one.draft_logprobs) == len(one.target_logprobs) == one.draft_calls
        assert one.parents == tuple(range(-1, len(one.drafted) - 1))
        assert len(one.drafted) <= draft_length
        assert one.emitted[: one.accepted] == one.drafted[: one.accepted]
        cut = bool(one.emitted) and one.emitted[-1] in options.stop
        assert len(one.emitted) == one.accepted + 1 or (cut and len(one.emitted) == one.accepted > 0)
        assert not any(token in options.stop for token in one.emitted[:-1])
        assert one.target_calls == 1
        assert one.seconds >= 0
        assert (one.stop_reason is None) == (number < len(decoded.rounds) - 1)
        text.extend(one.emitted)
    assert tuple(text[len(prompt) :]) == decoded.tokens
    assert len(decoded.tokens) <= options.max_tokens
    assert decoded.stop_reason == decoded.rounds[-1].stop_reason
    assert (decoded.stop_reason == "stop") == (decoded.tokens[-1] in options.stop)
    if decoded.stop_reason == "length":
        assert len(decoded.tokens) == options.max_tokens


CHAIN_RULES = rules.names("chain")
