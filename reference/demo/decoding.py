"""Decode the same prompts with every decoder, in turn, and sum up what the round traces say."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reference import decode
from reference.decode import Decoded, Options
from reference.demo.evidence import Estimate, ratio
from reference.demo.settings import CHAIN_RULES, PATHS, Settings
from reference.pair import END, Pair, encode
from reference.pair.prompts import Prompt
from specmath import metrics

AUTOREGRESSIVE = "autoregressive"
WARM_UP = 8
"""Tokens decoded before the clock counts, so that the first decoder does not pay for start-up."""

Decoder = Callable[[Sequence[int], Options], Decoded]


@dataclass(frozen=True)
class PathsDecoder:
    """A decoder that drafts n independent paths a round: its rule, n and the length of a path."""

    rule: str
    n: int
    draft_length: int

    @property
    def name(self) -> str:
        return f"paths/{self.rule} n={self.n}"


@dataclass(frozen=True)
class Text:
    """One prompt continued by one decoder."""

    decoder: str
    prompt: Prompt
    start: tuple[int, ...]
    options: Options
    decoded: Decoded


@dataclass(frozen=True)
class Summary:
    """What one decoder did over all prompts; every number follows from the round traces.

    ``rate`` and ``ratio`` are tokens per second, and the same divided by that of autoregressive decoding in this run.
    ``accepted_lengths[k]`` counts the full rounds (those that drafted paths of the whole length) that kept k drafted
    tokens.
    """

    decoder: str
    emitted_tokens: int
    target_calls: int
    draft_calls: int
    acceptance_rate: Estimate | None
    block_efficiency: Estimate
    seconds: float
    tokens_per_second: float
    speed_ratio: float
    accepted_lengths: tuple[int, ...]


def paths_decoders(draft_length: int) -> list[PathsDecoder]:
    """The decoders of the demo that draft several paths."""
    return [PathsDecoder(rule, n, length or draft_length) for rule, n, length in PATHS]


def limits(draft_length: int) -> dict[str, int]:
    """Most tokens that a round of each decoder emits: the length of its chain or paths, and one more.

    >>> limits(4)["chain/block"], limits(4)["paths/optimal n=2"]
    (5, 2)
    """
    chains = {f"chain/{rule}": draft_length + 1 for rule in CHAIN_RULES}
    return {AUTOREGRESSIVE: 1} | chains | {one.name: one.draft_length + 1 for one in paths_decoders(draft_length)}


def decoders(pair: Pair, settings: Settings) -> dict[str, Decoder]:
    """The decoders of the demo by name, all with one signature."""
    draft_length = settings.draft_length

    def chained(rule: str) -> Decoder:
        return lambda start, options: decode.chain(
            pair.target, pair.draft, start, draft_length=draft_length, rule=rule, options=options
        )

    def branched(one: PathsDecoder) -> Decoder:
        return lambda start, options: decode.paths(
            pair.target,
            pair.draft,
            start,
            n=one.n,
            draft_length=one.draft_length,
            rule=one.rule,
            options=replace(options, max_tokens=min(options.max_tokens, settings.path_tokens)),
        )

    found: dict[str, Decoder] = {
        AUTOREGRESSIVE: lambda start, options: decode.autoregressive(pair.target, start, options=options)
    }
    found |= {f"chain/{rule}": chained(rule) for rule in CHAIN_RULES}
    return found | {one.name: branched(one) for one in paths_decoders(draft_length)}


def options(settings: Settings, request: int) -> Options:
    """The decoder options of one text: temperature 1, the document byte as stop token."""
    return Options(max_tokens=settings.max_tokens, seed=settings.seed, request=request, stop=frozenset([END]))


def run(
    models: dict[str, Decoder],
    prompts: Sequence[Prompt],
    settings: Settings,
    *,
    watch: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> list[Text]:
    """Every prompt with every decoder. The decoders take turns on each prompt, so that a change in the machine's load
    falls on all of them; requests are numbered so that no two texts share a random number."""
    work = list(itertools.product(prompts, models))
    for name in models:
        models[name](encode(prompts[0].prompt), Options(max_tokens=WARM_UP, seed=settings.seed))
    texts = []
    for request, (prompt, name) in enumerate(watch(work)):
        start, own = encode(prompt.prompt), options(settings, request)
        texts.append(Text(name, prompt, tuple(start), own, models[name](start, own)))
    return texts


def depth(parents: Sequence[int]) -> int:
    """Length of the longest path of what was drafted.

    >>> depth([-1, 0, -1]), depth([])
    (2, 0)
    """
    depths = {-1: 0}
    for node, parent in enumerate(parents):
        depths[node] = depths[parent] + 1
    return max(depths.values())


def summaries(texts: Sequence[Text]) -> list[Summary]:
    """One summary for each decoder, in their order; intervals are over texts."""
    names = list(dict.fromkeys(text.decoder for text in texts))
    speed = {}
    found = []
    for name in names:
        traces = [text.decoded.rounds for text in texts if text.decoder == name]
        every = [one for trace in traces for one in trace]
        seconds = metrics.seconds(every)
        speed[name] = metrics.emitted_tokens(every) / max(seconds, 1e-9)
        drafted = [metrics.drafted_tokens(trace) for trace in traces]
        kept = [metrics.accepted_tokens(trace) for trace in traces]
        longest = max((depth(one.parents) for one in every), default=0)
        full = [one.accepted for one in every if depth(one.parents) == longest and one.stop_reason != "stop"]
        found.append(
            Summary(
                decoder=name,
                emitted_tokens=metrics.emitted_tokens(every),
                target_calls=metrics.target_calls(every),
                draft_calls=metrics.draft_calls(every),
                acceptance_rate=ratio(kept, drafted, most=1.0) if sum(drafted) else None,
                block_efficiency=ratio(
                    [metrics.emitted_tokens(t) for t in traces], [metrics.target_calls(t) for t in traces]
                ),
                seconds=seconds,
                tokens_per_second=speed[name],
                speed_ratio=speed[name] / speed[names[0]],
                accepted_lengths=tuple(full.count(k) for k in range(longest + 1)) if sum(drafted) else (),
            )
        )
    return found
