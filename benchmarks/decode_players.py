"""Who is compared by `make bench-decode`: our decoders in one arithmetic each, and those of transformers.

A player decodes jobs and tells what it emitted and how many forward passes the target made for it. Forward passes and
their seconds are taken where the model is called, so that a batch counts as one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reference import decode, pair
from reference.decode.fixed import fixed
from reference.drafters import Drafter, Tree
from reference.models.protocol import Cache, LanguageModel, Read, State
from reference.models.tiny import TinyModel

MODES: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "coupled": {"temperature": 1.0, "randomness": "coupled"},
    "rejection": {"temperature": 1.0, "randomness": "rejection"},
}
"""Kinds of randomness; transformers samples with its own generator in the last two."""


@dataclass(frozen=True)
class Job:
    """A prompt and the number of its text, which keys its randomness."""

    prompt: tuple[int, ...]
    number: int


@dataclass(frozen=True)
class Played:
    """Emitted tokens of every job, forward passes of the target, and drafted and accepted tokens where known."""

    texts: tuple[tuple[int, ...], ...]
    calls: int
    drafted: int | None = None
    accepted: int | None = None

    @property
    def tokens(self) -> int:
        return sum(map(len, self.texts))


Play = Callable[[Sequence[Job]], Played]


class Counted:
    """A model that counts its forward passes and adds up their seconds, prompts and the laying out included."""

    def __init__(self, model: TinyModel) -> None:
        self.model, self.passes, self.seconds = model, 0, 0.0

    @property
    def vocabulary_size(self) -> int:
        return self.model.vocabulary_size

    @property
    def context_length(self) -> int:
        return self.model.context_length

    def early(self, layers: int) -> Counted:
        return Counted(self.model.early(layers))

    def start(self) -> State:
        return self.cache().start()

    def cache(self, rows: int = 1) -> Cache:
        cache = self.model.cache(rows)
        extend = cache.extend

        def counted(reads: Sequence[Read]) -> list[torch.Tensor]:
            passes, begun = cache.passes, time.perf_counter()
            found = extend(reads)
            self.seconds += time.perf_counter() - begun
            self.passes += cache.passes - passes
            return found

        cache.extend = counted  # states ask their cache, so they come through here as well
        return cache


@dataclass(frozen=True)
class Models:
    """The shipped pair in one arithmetic, counted, and its draft in native: no draft changes coupled text."""

    target: Counted
    draft: Counted
    native: Counted

    @classmethod
    def load(cls, arithmetic: str) -> Models:
        models = pair.load(arithmetic=arithmetic)
        return cls(Counted(models.target), Counted(models.draft), Counted(TinyModel(models.draft.network, "native")))


def options(mode: str, tokens: int, number: int) -> decode.Options:
    return decode.Options(max_tokens=tokens, request=number, **MODES[mode])


def _played(target: Counted, passes: int, found: Iterable[decode.Decoded]) -> Played:
    done = list(found)
    rounds = [one for text in done for one in text.rounds]
    drafted, accepted = (sum(counts) for counts in ([len(r.drafted) for r in rounds], [r.accepted for r in rounds]))
    return Played(tuple(text.tokens for text in done), target.passes - passes, drafted, accepted)


def ours(target: Counted, drafter: Drafter | None, mode: str, tokens: int) -> Play:
    """One text after the other."""

    def play(jobs: Sequence[Job]) -> Played:
        passes = target.passes
        return _played(
            target,
            passes,
            [
                decode.collect(
                    decode.stream(target, job.prompt, drafter=drafter, options=options(mode, tokens, job.number))
                )
                for job in jobs
            ],
        )

    return play


def ours_batched(target: Counted, drafter: Drafter | None, mode: str, tokens: int, rows: int) -> Play:
    """``rows`` texts at a time, a text that waits taking the place of one that ends."""

    def play(jobs: Sequence[Job]) -> Played:
        passes = target.passes
        requests = [
            decode.Request(prompt=job.prompt, drafter=drafter, options=options(mode, tokens, job.number))
            for job in jobs
        ]
        found = decode.batched(target, requests, rows=rows)
        failed = next((one for one in found if isinstance(one, decode.Failure)), None)
        if failed is not None:
            raise RuntimeError(f"request {failed.request} failed: {failed.error}")
        return _played(target, passes, [one for one in found if isinstance(one, decode.Decoded)])

    return play


def ours_fixed(models: Models, tree: Tree | None, mode: str, tokens: int) -> Play:
    """`decode.fixed`: all jobs side by side, fixed shapes. Its rounds, of which none is skipped, count as calls."""

    def play(jobs: Sequence[Job]) -> Played:
        found = fixed(
            models.target.model,
            [job.prompt for job in jobs],
            options=[options(mode, tokens, job.number) for job in jobs],
            draft=None if tree is None else models.draft.model,
            tree=tree,
        )
        rounds = sum(text.rounds for text in found)
        nodes = 0 if tree is None else len(tree.parents)
        calls = max(text.rounds for text in found) + len(found)  # a pass for each prompt
        return Played(tuple(t.tokens for t in found), calls, nodes * rounds, sum(t.accepted for t in found))

    return play


class Peer:
    """The same weights in transformers: `generate`, alone, in left-padded batches, or assisted by the draft."""

    def __init__(self, dtype: torch.dtype, home: Path = pair.HOME) -> None:
        from transformers import LlamaForCausalLM
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        loaded: list[Any] = [LlamaForCausalLM.from_pretrained(home / part, dtype=dtype) for part in ("target", "draft")]
        self.target, self.draft = (model.eval() for model in loaded)
        self.passes = 0
        self.target.register_forward_pre_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.passes += 1

    @torch.no_grad()
    def generate(
        self, prompts: Sequence[Sequence[int]], tokens: int, mode: str, seed: int, assist: dict[str, Any] | None = None
    ) -> list[tuple[int, ...]]:
        """``assist`` holds settings of the assistant's generation config, None: no assistant."""
        width = max(map(len, prompts))
        padded = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        given: dict[str, Any] = {} if mode == "greedy" else {"top_k": 0, "top_p": 1.0, "temperature": 1.0}
        if mode != "greedy":
            torch.manual_seed(seed)
        if assist is not None:
            given["assistant_model"] = self.draft
        with self._assistant(assist or {}):
            found: Any = self.target.generate(
                padded,
                attention_mask=mask,
                max_new_tokens=tokens,
                do_sample=mode != "greedy",
                eos_token_id=None,
                pad_token_id=0,
                **given,
            )
        return [tuple(row) for row in found[:, width:].tolist()]

    @contextmanager
    def _assistant(self, settings: dict[str, Any]) -> Iterator[None]:
        """Its generation config is where the number of tokens is taken from; generate changes it, so it is put back."""
        config = self.draft.generation_config
        before = {
            name: getattr(config, name, None)
            for name in ("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold")
        }
        for name, value in settings.items():
            setattr(config, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(config, name, value)

    def play(self, mode: str, tokens: int, *, rows: int = 1, assist: dict[str, Any] | None = None) -> Play:
        """``rows`` prompts in a call of generate."""

        def play(jobs: Sequence[Job]) -> Played:
            passes = self.passes
            texts: list[tuple[int, ...]] = []
            for start in range(0, len(jobs), rows):
                group = jobs[start : start + rows]
                texts += self.generate([job.prompt for job in group], tokens, mode, group[0].number, assist)
            return Played(tuple(texts), self.passes - passes)

        return play


def assistant(length: int | None, confidence: float = 0.0) -> dict[str, Any]:
    """Settings of a constant draft length; None: what transformers does if it is told nothing."""
    if length is None:
        return {}
    return {
        "num_assistant_tokens": length,
        "num_assistant_tokens_schedule": "constant",
        "assistant_confidence_threshold": confidence,
    }


def as_model(counted: Counted) -> LanguageModel:
    """The type checker's proof that a counted model is a model."""
    return counted
