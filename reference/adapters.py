"""Our own decoders as adapters for the oracle: their loops as they run, on table models, with followed randomness.

A decoder asks a source of uniforms for its random numbers (`reference.random.Uniforms`). Here the source draws them
from numpy's global generator, which the oracle follows; nothing else differs from a call with a seed. In coupled
decoding one noise decides drafts and target alike, and what it decides is no interval of a uniform: there the uniforms
take one of `GRID` values each, and the law to be met is that of the target's own choice with the same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from reference import decode, drafters
from reference.decode import loop
from reference.drafters import Drafter
from reference.models.table import TableModel
from specmath.oracle.adapters.registry import Adapter, Whole
from specmath.rules import Rule

Text = tuple[int, ...]
Source = Callable[[int, int, int], Any]

TARGET = ((4, 3, 1), (1, 0, 7), (2, 2, 4))
DRAFT = ((1, 3, 4), (3, 5, 0), (2, 4, 2))
"""Weights, in eighths, of next-token laws: which row it is depends on every token of the text."""
GRID = 3
"""Values that a uniform of the coupled noise may take: (k + 1/2) / GRID."""


def model(rows: Sequence[Sequence[int]]) -> TableModel:
    """A table model whose law after a text is one of ``rows`` over its sum."""

    def law(text: Text) -> list[float]:
        row = rows[(sum((place + 1) * token for place, token in enumerate(text)) + len(text)) % len(rows)]
        return [weight / sum(row) for weight in row]

    return TableModel(law, len(rows[0]))


class Cells:
    """The counter-based source with numbers that are followed in place of its own: `reference.random.Keyed`.

    Every (seed, request, position, stream) has its numbers, however often and for however many one asks.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], Any] = {}

    def __call__(self, seed: int = 0, request: int = 0) -> Source:
        def source(position: int, stream: int, count: int) -> Any:
            key = (seed, request, position, stream)
            known = self._known.get(key)
            missing = count if known is None else count - len(known)
            if known is None or missing > 0:
                more = np.random.random(missing)  # noqa: NPY002 (the global generator is followed)
                known = self._known[key] = more if known is None else np.concatenate([known, more])
            return known[:count]

        return source


class GridNoise:
    """Uniforms of a place of the text, the same whenever they are asked for, on `GRID` values."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], NDArray[np.float64]] = {}

    def __call__(self, position: int, stream: int, count: int) -> NDArray[np.float64]:
        if (position, stream) not in self._known:
            points = [int(np.random.randint(GRID)) for _ in range(count)]  # noqa: NPY002
            self._known[position, stream] = (np.array(points) + 0.5) / GRID
        return self._known[position, stream]


def coupled_law(target: TableModel) -> Callable[[Text], list[float]]:
    """Law of argmax_v [log target(v) - log(-log u_v)] with uniforms u on `GRID` values."""
    noise = -np.log(-np.log((np.array(list(product(range(GRID), repeat=target.vocabulary_size))) + 0.5) / GRID))

    @cache
    def law(text: Text) -> list[float]:
        with np.errstate(divide="ignore"):
            chosen = np.argmax(np.log(np.array(target.law(text), dtype=np.float64)) + noise, axis=-1)
        return (np.bincount(chosen, minlength=target.vocabulary_size) / len(chosen)).tolist()

    return law


def single(drafter: Drafter | None, rule: str | Rule | None, source: Callable[[], Source] = lambda: Cells()()) -> Whole:
    """One text at a time. Without a rule randomness is coupled where there is a drafter."""
    target, draft = model(TARGET), model(DRAFT)
    coupled = rule is None and drafter is not None

    def generate(prompt: Text, n_tokens: int) -> list[int]:
        options = decode.Options(max_tokens=n_tokens, randomness="coupled" if coupled else "rejection")
        rounds = decode.stream(target, prompt, drafter=drafter, rule=rule, options=options, uniforms=source())
        return list(decode.collect(rounds).tokens)

    law = coupled_law(target) if coupled else target.law
    return Whole(generate, law, prompts=((0, 1),), length=2 if coupled else 3, draft=draft.law)


def batch(drafter: Drafter, rule: str, request: Callable[[int], int] = int) -> Whole:
    """Rows of one batch: alone, and together. ``request`` gives a row the number of its text."""
    target, draft = model(TARGET), model(DRAFT)

    def together(prompts: tuple[Text, ...], n_tokens: int) -> list[list[int]]:
        options = [decode.Options(max_tokens=n_tokens, request=request(row)) for row in range(len(prompts))]
        requests = [
            decode.Request(prompt=list(prompt), options=own, drafter=drafter, rule=rule)
            for prompt, own in zip(prompts, options, strict=True)
        ]
        with mock.patch.object(loop, "Keyed", Cells()):
            found = decode.batched(target, requests, rows=len(requests))
        return [list(decode_tokens(one)) for one in found]

    def generate(prompt: Text, n_tokens: int) -> list[int]:
        return together((prompt,), n_tokens)[0]

    return Whole(generate, target.law, prompts=((0, 1),), length=3, draft=draft.law, together=together)


def decode_tokens(outcome: decode.Decoded | decode.Failure) -> Text:
    """The new tokens; a failed row raises what it failed with."""
    if isinstance(outcome, decode.Failure):
        raise RuntimeError(outcome.error)
    return outcome.tokens


def _adapter(name: str, family: Any, place: str, make: Callable[[], Whole], note: str = "") -> Adapter:
    def load(source: Path | None) -> Whole:
        return make()

    return Adapter(
        name=f"specmath.{name}",
        package="specmath",
        versions="0.1.0",
        family=family,
        kind="generate",
        load=load,
        place=place,
        randomness="uniforms",
        arrays="numpy",
        dtype="float64",
        note=note,
    )


def chain_of(length: int) -> Drafter:
    """A chain from the table draft."""
    return drafters.chain(model(DRAFT), length)


ADAPTERS = (
    _adapter(
        "autoregressive", "sampler_match", "reference/decode/single.py: autoregressive", lambda: single(None, None)
    ),
    _adapter("chain", "ratio", "reference/decode/single.py: chain", lambda: single(chain_of(2), "token_wise")),
    _adapter(
        "chain_block", "ratio", "reference/decode/single.py: chain", lambda: single(chain_of(2), "block"), "block rule"
    ),
    _adapter(
        "tree",
        "ratio",
        "reference/decode/single.py: tree",
        lambda: single(drafters.tree(model(DRAFT), (2,)), "recursive"),
    ),
    _adapter("batched", "ratio", "reference/decode/batched.py: batched", lambda: batch(chain_of(1), "token_wise")),
    _adapter(
        "chain_coupled",
        "sampler_match",
        "reference/decode/single.py: chain",
        lambda: single(chain_of(1), None, GridNoise),
        f"noise on {GRID} values, and the law of the target's choice with that noise",
    ),
)
"""Every decoder, each in a setting that is explored in seconds."""
