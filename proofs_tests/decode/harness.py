"""What the tests of the decoders share: models given by a table, their text, and what must hold of every trace."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from reference import decode
from reference.models.table import TableModel
from specmath import rules
from specmath.exact import Law, Number

CHAIN_RULES = rules.names("chain")
SEEDS = st.integers(0, 2**20)


def table(seed: int, size: int, top: int = 4, *, floor: int = 0, context_length: int | None = None) -> TableModel:
    """A model with another law after every prefix: weights from ``floor`` to ``top``, zeros and ties included."""

    def law(prefix: tuple[int, ...]) -> list[Fraction]:
        weights = np.random.default_rng([seed, size, *prefix]).integers(floor, top + 1, size).tolist()
        if not any(weights):
            weights[sum(prefix) % size] = 1
        return [Fraction(weight, sum(weights)) for weight in weights]

    return TableModel(law, size) if context_length is None else TableModel(law, size, context_length=context_length)


def following(model: TableModel, prompt: Sequence[int]) -> Callable[[tuple[int, ...]], Sequence[Number]]:
    """The model as `rules.text_law` takes it: law after the tokens that follow the prompt."""
    return lambda tokens: model.law((*prompt, *tokens))


def distance(law: Law, target: TableModel, prompt: Sequence[int], length: int) -> Number:
    """Total variation between a law of whole texts and the target's."""
    return law.total_variation(rules.text_law(following(target, prompt), length))


@st.composite
def requests(draw: st.DrawFn):
    """Models (the draft now and then equal to the target), prompt, draft length and options."""
    size = draw(st.integers(2, 5))
    target = table(draw(SEEDS), size)
    draft = target if draw(st.booleans()) else table(draw(SEEDS), size)
    prompt = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4))
    options = decode.Options(
        max_tokens=draw(st.integers(1, 12)),
        seed=draw(SEEDS),
        request=draw(st.integers(0, 3)),
        stop=frozenset(draw(st.sets(st.integers(0, size - 1), max_size=1))),
    )
    return target, draft, prompt, draw(st.integers(1, 5)), options


def depths(parents: Sequence[int]) -> list[int]:
    """Depth of each node, 1 below the text."""
    found: list[int] = []
    for parent in parents:
        found.append(1 + (found[parent] if parent >= 0 else 0))
    return found


def node_path(parents: Sequence[int], node: int) -> list[int]:
    """Nodes from the text down to ``node``."""
    return [] if node < 0 else [*node_path(parents, parents[node]), node]


def check_trace(
    decoded: decode.Decoded, prompt: Sequence[int], depth: int, options: decode.Options, *, chain: bool = True
) -> None:
    """Everything that must hold of every trace, whatever was sampled. Trees are at most ``depth`` deep."""
    text = list(prompt)
    for number, one in enumerate(decoded.rounds):
        assert (one.round, one.position, one.request) == (number, len(text), options.request)
        assert len(one.drafted) == len(one.draft_logprobs) == len(one.target_logprobs) == len(one.parents)
        assert all(-1 <= parent < node for node, parent in enumerate(one.parents))
        found = depths(one.parents)
        assert max(found, default=0) <= min(depth, options.max_tokens - (len(text) - len(prompt)) - 1)
        if chain:
            assert one.parents == tuple(range(-1, len(one.drafted) - 1))
            assert one.draft_calls in (0, len(one.drafted))  # none for a drafter without a model
        paths = {tuple(one.drafted[i] for i in node_path(one.parents, node)) for node in range(-1, len(one.drafted))}
        assert one.emitted[: one.accepted] in paths  # what was accepted is the beginning of a drafted path
        cut = one.emitted[-1] in options.stop
        assert len(one.emitted) == one.accepted + 1 or (cut and len(one.emitted) == one.accepted > 0)
        assert not any(token in options.stop for token in one.emitted[:-1])
        assert len(one.logprobs) == len(one.emitted)
        assert all(value <= 0 and math.isfinite(value) for value in one.logprobs)
        # at temperature 0 a tree's candidates beside the likeliest have probability zero
        assert all(value <= 0 and (math.isfinite(value) or not options.temperature) for value in one.draft_logprobs)
        assert all(value <= 0 for value in one.target_logprobs)
        assert one.target_calls == 1
        assert one.seconds >= 0
        assert (one.stop_reason is None) == (number < len(decoded.rounds) - 1)
        text.extend(one.emitted)
    assert tuple(text[len(prompt) :]) == decoded.tokens
    assert decoded.logprobs == tuple(value for one in decoded.rounds for value in one.logprobs)
    assert len(decoded.tokens) <= options.max_tokens
    assert decoded.stop_reason == decoded.rounds[-1].stop_reason
    assert (decoded.stop_reason == "stop") == (decoded.tokens[-1] in options.stop)
    if decoded.stop_reason == "length":
        assert len(decoded.tokens) == options.max_tokens


def timeless(decoded: decode.Decoded) -> decode.Decoded:
    """The same without the one field that no two runs share."""
    return dataclasses.replace(decoded, rounds=tuple(dataclasses.replace(one, seconds=0.0) for one in decoded.rounds))
