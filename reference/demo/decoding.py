"""Decode the same prompts with every decoder, and sum up what the round traces say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference import decode
from reference.decode import Decoded, Failure, Options, Request
from reference.demo.decoders import Decoder
from reference.demo.evidence import Estimate, ratio
from reference.demo.recording import Recorder
from reference.demo.settings import Settings
from reference.models.protocol import LanguageModel
from reference.pair import END, encode
from reference.pair.prompts import Prompt
from specmath import metrics

WARM_UP = 8
"""Tokens decoded before the clock counts, so that the first decoder does not pay for start-up."""


@dataclass(frozen=True)
class Text:
    """One prompt continued by one decoder, and the target's logits (T, V) that decided each token."""

    decoder: str
    prompt: Prompt
    start: tuple[int, ...]
    options: Options
    decoded: Decoded
    logits: NDArray[np.floating]


@dataclass(frozen=True)
class Made:
    """All texts of one decoder, and how many forward passes of the target they took."""

    decoder: Decoder
    texts: list[Text]
    passes: int


@dataclass(frozen=True)
class Summary:
    """What one decoder did over all prompts; every number but ``passes`` follows from the round traces.

    ``rows`` texts were in work at a time, so that one of the ``passes`` may serve several of the target calls.
    ``tokens_per_second`` and ``speed_ratio``, the same divided by that of autoregressive decoding, are of this run.
    ``accepted_lengths[k]`` counts the full rounds (those that drafted paths of the whole length) that kept k drafted
    tokens.
    """

    decoder: str
    randomness: str
    rows: int
    emitted_tokens: int
    target_calls: int
    passes: int
    draft_calls: int
    acceptance_rate: Estimate | None
    block_efficiency: Estimate
    seconds: float
    tokens_per_second: float
    speed_ratio: float
    accepted_lengths: tuple[int, ...]


def run(
    target: LanguageModel,
    decoders: Sequence[Decoder],
    prompts: Sequence[Prompt],
    settings: Settings,
    *,
    watch: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> list[Made]:
    """Every prompt with every decoder. Those with one text in work take turns on each prompt, so that a change in the
    machine's load falls on all of them; the batches follow.

    Coupled decoders continue a prompt with the same random numbers; no two other texts share one.
    """
    every = range(len(prompts))
    starts = [encode(one.prompt) for one in prompts]
    turns = [(place, [number]) for number in every for place, one in enumerate(decoders) if one.rows == 1]
    batches = [(place, list(every)) for place, one in enumerate(decoders) if one.rows > 1]
    for one in decoders:
        options = Options(max_tokens=WARM_UP, seed=settings.seed)
        list(decode.Stream(target, one.request(0, starts[0], options)))
    texts: list[list[Text]] = [[] for _ in decoders]
    passes = [0] * len(decoders)
    for place, numbers in watch([*turns, *batches]):
        own, recorder = decoders[place], Recorder(target)
        first = 0 if own.rule is None else (1 + place) * len(prompts)
        requests = [own.request(number, starts[number], _options(own, settings, first + number)) for number in numbers]
        done = _decoded(recorder, own, requests)
        passes[place] += recorder.passes
        for number, request, decoded, state in zip(numbers, requests, done, recorder.texts, strict=True):
            start = tuple(starts[number])
            text = Text(own.name, prompts[number], start, request.options, decoded, state.deciding(decoded))
            texts[place].append(text)
    return [Made(*one) for one in zip(decoders, texts, passes, strict=True)]


def _options(decoder: Decoder, settings: Settings, request: int) -> Options:
    """Temperature 1, and the document byte as stop token."""
    return Options(max_tokens=decoder.max_tokens, seed=settings.seed, request=request, stop=frozenset([END]))


def _decoded(target: LanguageModel, decoder: Decoder, requests: Sequence[Request]) -> list[Decoded]:
    if decoder.rows == 1:
        return [decode.collect(decode.Stream(target, request)) for request in requests]
    done = []
    for outcome in decode.batched(target, requests, rows=decoder.rows):
        if isinstance(outcome, Failure):
            raise ValueError(f"{decoder.name}: request {outcome.request} failed: {outcome.error}")
        done.append(outcome)
    return done


def depth(parents: Sequence[int]) -> int:
    """Length of the longest path of what was drafted.

    >>> depth([-1, 0, -1]), depth([])
    (2, 0)
    """
    depths = {-1: 0}
    for node, parent in enumerate(parents):
        depths[node] = depths[parent] + 1
    return max(depths.values())


def summaries(made: Sequence[Made]) -> list[Summary]:
    """One summary for each decoder, in their order, the first being the one that speed is relative to; intervals are
    over texts."""
    found: list[Summary] = []
    for one in made:
        traces = [text.decoded.rounds for text in one.texts]
        every = [record for trace in traces for record in trace]
        seconds = metrics.seconds(every)
        speed = metrics.emitted_tokens(every) / max(seconds, 1e-9)
        drafted = [metrics.drafted_tokens(trace) for trace in traces]
        kept = [metrics.accepted_tokens(trace) for trace in traces]
        longest = max((depth(record.parents) for record in every), default=0)
        full = [r.accepted for r in every if depth(r.parents) == longest and r.stop_reason != "stop"]
        found.append(
            Summary(
                decoder=one.decoder.name,
                randomness="coupled" if one.decoder.rule is None else "rejection",
                rows=one.decoder.rows,
                emitted_tokens=metrics.emitted_tokens(every),
                target_calls=metrics.target_calls(every),
                passes=one.passes,
                draft_calls=metrics.draft_calls(every),
                acceptance_rate=ratio(kept, drafted, most=1.0) if sum(drafted) else None,
                block_efficiency=ratio(
                    [metrics.emitted_tokens(t) for t in traces], [metrics.target_calls(t) for t in traces]
                ),
                seconds=seconds,
                tokens_per_second=speed,
                speed_ratio=speed / (found[0].tokens_per_second if found else speed),
                accepted_lengths=tuple(full.count(k) for k in range(longest + 1)) if sum(drafted) else (),
            )
        )
    return found
