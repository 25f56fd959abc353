"""Adapter for feifeibear/LLMSpeculativeSampling: ``speculative_sampling``, with table models of our own."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from specmath.oracle.adapters import sources, stubs
from specmath.oracle.adapters.registry import Adapter, Whole
from specmath.oracle.adapters.signatures import bind

VERSIONS = "commit 59a209d"
HOME = "https://github.com/feifeibear/LLMSpeculativeSampling"
MODULE = "sampling.speculative_sampling"
REAL = ("sampling.kvcache_model", "sampling.utils")
TARGET = ((0.0, 0.5, 0.5, 0.0), (0.0, 0.125, 0.5, 0.375), (0.0, 0.25, 0.25, 0.5), (0.0, 0.5, 0.5, 0.0))
DRAFT = ((0.0, 0.25, 0.5, 0.25), (0.0, 0.25, 0.25, 0.5), (0.0, 0.375, 0.375, 0.25), (0.0, 0.25, 0.25, 0.5))
"""(V, V): the next-token law after each token. Token 0 is never drawn: the code raises an error where it is."""
LENGTH, DRAFTED = 2, 2


class _Bloom:
    """Stands for the one class of models whose cache has another layout."""


class _Table:
    """A model with a cache, which remembers how long the text is."""

    device = "cpu"

    def __init__(self, rows: Any) -> None:
        import torch

        self.logits = torch.tensor(rows).log()

    def __call__(self, tokens: Any, past_key_values: Any = None, use_cache: bool = True) -> Any:
        import torch

        before = 0 if past_key_values is None else past_key_values[0][0].shape[2]
        empty = torch.zeros(1, 1, before + tokens.shape[1], 1)
        return SimpleNamespace(logits=self.logits[tokens].clone(), past_key_values=[(empty, empty)])


def speculative_sampling(source: Path | None) -> Whole:
    """Whole texts by ``speculative_sampling(prefix, approx_model, target_model, max_len, gamma)``, cut at the length.

    `Missing` says what is absent.
    """
    files = sources.find("feifeibear", "sampling", source)
    sources.need(files, MODULE, "speculative_sampling")
    module = stubs.load(
        files,
        MODULE,
        real=REAL,
        given={"transformers.models.bloom.modeling_bloom": {"BloomForCausalLM": _Bloom}},
        stubbed=("globals", "tqdm"),
    )
    decode = bind(
        stubs.function(module, "speculative_sampling"), ("prefix", "approx_model", "target_model", "max_len", "gamma")
    )
    target, draft = _Table(TARGET), _Table(DRAFT)

    def generate(prompt: tuple[int, ...], n_tokens: int) -> Any:
        import torch

        with contextlib.redirect_stdout(io.StringIO()):  # it prints the shape of every input
            found = decode(
                prefix=torch.tensor([prompt]),
                approx_model=draft,
                target_model=target,
                max_len=n_tokens,
                gamma=DRAFTED,
            )
        return found[0, len(prompt) : len(prompt) + n_tokens]

    return Whole(
        generate, lambda text: TARGET[text[-1]], prompts=((1,),), length=LENGTH, draft=lambda text: DRAFT[text[-1]]
    )


ADAPTERS = (
    Adapter(
        name="feifeibear.speculative_sampling",
        package="feifeibear",
        versions=VERSIONS,
        home=HOME,
        family="ratio",
        kind="generate",
        load=speculative_sampling,
        place="sampling/speculative_sampling.py: speculative_sampling",
        randomness="global torch",
        expected="unsafe",
        note="models are tables in which token 0 is impossible, because the code raises an error where it is drawn",
    ),
)
