"""A causal model of the transformers library as a `LanguageModel`: target or draft, any arithmetic, many texts."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from reference.cache import Rows, RowState, Slots
from reference.models.hf_early import first_layers
from reference.models.hf_folder import load_network
from reference.models.hf_pass import Passes
from reference.models.tiny import SPARE
from reference.numerics.exactify import causal_family, check_rope, exactify, twin_of
from reference.numerics.registry import arithmetic as by_name

LEARNED_POSITIONS = {"gpt2"}
"""Families that have a row of weights for each position, and none beyond the last."""


class TransformersModel:
    """A transformers model in an arithmetic of `reference.numerics` behind the `LanguageModel` protocol.

    Families: those of `reference.numerics.exactify`, from a config, a folder or in memory. With an exact arithmetic the
    logits of a text have the same bits however it was handed in: token by token, in chunks, as a path of a tree, beside
    other texts. Logits, keys and values have the dtype of the weights. Sliding windows reach back by position, not by
    slot. ``network`` is what was handed in, unchanged; the model shares its weights, and an exact arithmetic holds them
    prepared beside, so later changes do not reach it. "native" runs the stock network (attention by
    ``scaled_dot_product_attention``, or "eager" for soft caps): the same cache, and no promise of bits.

    >>> import torch
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> network = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=32, n_embd=20, n_layer=2, n_head=2))
    >>> cache = TransformersModel(network).cache(rows=2)
    >>> one, other = cache.start(), cache.start()
    >>> _ = one.extend([0, 10], tree=[7, 11], parents=[-1, -1])
    >>> one.keep([1])
    >>> bool((one.extend([12]) == other.extend([0, 10, 11, 12])[3:]).all())
    True
    """

    def __init__(
        self, network: Any, arithmetic: str = "exact64", *, context: int | None = None, spare: int | None = None
    ) -> None:
        """``context`` tokens are the longest text (default: the config's ``max_position_embeddings``), ``spare`` more
        slots hold nodes on trial (default: the context, at most 512). Both set the grid of attention: bits of models
        with different sums are not comparable.

        Raises ValueError for an unknown arithmetic, family or module, a rotary scheme that looks at the longest text of
        a call, a network that reads both ways, on several devices or without weights, layers that store different
        sizes, and for context and spare out of range; `BudgetError` where sums cannot be exact.
        """
        chosen = by_name(arithmetic)
        family = causal_family(network)
        check_rope(network.config)
        self.device = _device(network)
        self.context_length = _context(network, family, context)
        spare = min(self.context_length, SPARE) if spare is None else _whole("spare", spare, 0)
        self.network, self.arithmetic, self._size = network, arithmetic, self.context_length + spare
        capped = getattr(network.config, "attn_logit_softcapping", None) is not None
        if chosen.exact:
            twin = exactify(network, arithmetic, context=self._size)
        else:
            twin = twin_of(network)
            twin.set_attn_implementation("eager" if capped else "sdpa")
        self._passes = Passes(twin, family, added=capped and not chosen.exact)
        self._stored, self.vocabulary_size = self._passes.measure(self.device)
        known = network.get_input_embeddings().weight.shape[0]
        if known != self.vocabulary_size:
            raise ValueError(f"network: it reads {known} tokens and has logits of {self.vocabulary_size}")

    @property
    def layers(self) -> int:
        """Number of layers."""
        return self._stored.layers

    @property
    def spare(self) -> int:
        """Slots beyond the context, for nodes on trial."""
        return self._size - self.context_length

    def early(self, layers: int) -> TransformersModel:
        """The model's first ``layers`` layers with its norm and head, sharing every weight: a draft of its own kind.

        In every supported family a layer adds to one stream of numbers, which the last norm and the head read, so they
        can read it earlier. Raises ValueError unless 1 <= layers <= those there are.
        """
        if isinstance(layers, bool) or not hasattr(layers, "__index__") or not 1 <= layers <= self.layers:
            raise ValueError(f"layers is {layers!r}; allowed are whole numbers from 1 to {self.layers}")
        early = copy.copy(self)
        early.network = first_layers(self.network, int(layers))
        early._passes = Passes(first_layers(self._passes.network, int(layers)), self._passes.family, self._passes.added)
        early._stored = self._stored._replace(layers=int(layers))
        return early

    def cache(self, rows: int = 1) -> Rows:
        """Room for ``rows`` texts; ValueError below 1."""
        return Rows(
            self._passes,
            self._slots,
            rows,
            size=self._size,
            vocabulary_size=self.vocabulary_size,
            context_length=self.context_length,
        )

    def start(self) -> RowState:
        """A text of its own."""
        return self.cache().start()

    def _slots(self, rows: int, size: int) -> Slots:
        stored = self._stored
        return Slots.empty(
            stored.layers, rows, stored.heads, size, stored.width, dtype=stored.dtype, device=self.device
        )


def _device(network: Any) -> torch.device:
    """The one device of all weights."""
    found = {parameter.device for parameter in network.parameters()}
    if len(found) != 1 or next(iter(found)).type == "meta":
        names = ", ".join(sorted(map(str, found))) or "no device"
        raise ValueError(f"network: its weights are on {names}; allowed is one device, and not meta")
    return found.pop()


def _context(network: Any, family: str, context: int | None) -> int:
    """The longest text."""
    config = network.config
    if getattr(config, "use_bidirectional_attention", None) or not getattr(config, "is_causal", True):
        raise ValueError("network: its config asks for attention in both directions; allowed is causal attention")
    if getattr(config, "add_cross_attention", False):
        raise ValueError("network: its config asks for cross-attention; allowed are models of one text")
    most = getattr(config, "max_position_embeddings", None)
    if context is None:
        if most is None:
            raise ValueError("context: the config names no max_position_embeddings; hand in the longest text")
        return most
    found = _whole("context", context, 1)
    if family in LEARNED_POSITIONS and most is not None and found > most:
        raise ValueError(f"context is {context}; the model has learned {most} positions, allowed are 1 to that")
    return found


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers >= {least}")
    return int(value)


def load(
    folder: str | Path,
    *,
    arithmetic: str = "exact64",
    dtype: str | torch.dtype = "float32",
    device: torch.device | str = "cpu",
    context: int | None = None,
) -> TransformersModel:
    """The causal model in a local folder, in an arithmetic; nothing is read from anywhere else.

    ``context`` as in `TransformersModel`. Raises FileNotFoundError naming a folder or file that is missing, ValueError
    for an arithmetic, dtype, device or family that is not there and for weights that are not those of config.json.
    """
    by_name(arithmetic)  # a wrong name is told before anything is read
    return TransformersModel(load_network(folder, dtype=dtype, device=device), arithmetic, context=context)
