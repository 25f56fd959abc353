"""Tiny networks on which decoders are compared: odd widths, grouped heads, ties, short contexts, and their drafts."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from typing import NamedTuple

import torch

from reference.models.llama import Llama, LlamaConfig
from reference.models.tiny import TinyModel

DEVICE = "cpu"
DRAFTS = ("draft", "early", "small")
FEWER = 3
"""So many of the target's tokens are unknown to the small draft, which reads them as its token 0."""


class Shape(NamedTuple):
    """Sizes of a network; ``ties`` gives tokens 2i and 2i + 1 one row of the tied embedding, so equal logits always."""

    vocabulary: int
    width: int
    heads: int
    shared: int
    inner: int
    layers: int
    context: int
    ties: bool = False


SHAPES = {
    "one": Shape(11, 24, 2, 1, 40, 1, 24),
    "full": Shape(23, 36, 3, 3, 70, 2, 40),
    "ties": Shape(16, 40, 4, 2, 52, 2, 40, ties=True),
    "wide": Shape(29, 100, 5, 1, 130, 3, 48),
    "long": Shape(19, 44, 2, 2, 61, 2, 160),
    "broad": Shape(700, 132, 6, 2, 260, 1, 96),
}
"""Heads of 10 to 22 numbers, grouped and not, no width a multiple of 64; "one" ends its context early."""


def network(shape: Shape, seed: int = 0) -> Llama:
    """Weights that spread the logits, so that texts are varied and each token depends on those before."""
    generator = torch.Generator().manual_seed(seed)
    made = Llama(LlamaConfig(*(shape[i] for i in (0, 1, 4, 5, 2, 3, 6))))
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 1.5 * weight.shape[-1] ** -0.5)
            if weight.dim() == 1:
                weight.add_(1.0)
        if shape.ties:
            rows = made.model.embed_tokens.weight
            rows[1::2] = rows[0::2]
    return made.requires_grad_(False)


def nearby(other: Llama, share: float = 0.12, seed: int = 1) -> Llama:
    """A draft: the same network with noise on its weights. It agrees often, and not always."""
    generator = torch.Generator().manual_seed(seed)
    made = copy.deepcopy(other)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.dim() > 1:
                weight.add_(torch.randn(weight.shape, generator=generator) * share * weight.shape[-1] ** -0.5)
    return made


def fewer(other: Llama, tokens: int) -> Llama:
    """The same network without its last ``tokens`` tokens: a draft of a smaller vocabulary."""
    made = Llama(replace(other.config, vocab_size=other.config.vocab_size - tokens))
    weights = other.state_dict()
    name = "model.embed_tokens.weight"
    made.load_state_dict(weights | {name: weights[name][:-tokens]})
    return made.requires_grad_(False)


@functools.cache
def model(kind: str, name: str, arithmetic: str, device: str = DEVICE) -> TinyModel:
    """The network of that name as target, or a draft for it: a nearby one, its first layer, one with fewer tokens."""
    if kind == "early":
        return model("target", name, arithmetic, device).early(1)
    made = network(SHAPES[name])
    if kind == "draft":
        made = nearby(made)
    if kind == "small":
        made = fewer(nearby(made), FEWER)
    return TinyModel(made.to(device), arithmetic)
