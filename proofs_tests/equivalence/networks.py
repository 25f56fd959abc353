"""Tiny networks on which decoders are compared: odd widths, grouped heads, ties, short contexts, and drafts of theirs."""

from __future__ import annotations

import copy
import functools
from typing import NamedTuple

import torch

from reference.models.llama import Llama, LlamaConfig
from reference.models.tiny import TinyModel

DEVICE = "cpu"


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
}
"""Heads of 12, 12, 10, 20 and 22 numbers, grouped and not, no width a multiple of 64; "one" ends its context early."""


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


@functools.cache
def target(name: str, arithmetic: str, device: str = DEVICE) -> TinyModel:
    return TinyModel(network(SHAPES[name]).to(device), arithmetic)


@functools.cache
def draft(name: str, arithmetic: str, device: str = DEVICE) -> TinyModel:
    return TinyModel(nearby(network(SHAPES[name])).to(device), arithmetic)


@functools.cache
def early(name: str, arithmetic: str, device: str = DEVICE) -> TinyModel:
    """The target's own first layer."""
    return target(name, arithmetic, device).early(1)
