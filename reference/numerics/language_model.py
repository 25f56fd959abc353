"""A prepared Llama behind the `LanguageModel` protocol: the decoders run on exact arithmetic as they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reference.models.llama import Llama, Tree
from reference.models.protocol import check_extend, check_rewind
from reference.numerics.llama import PreparedLlama
from reference.numerics.registry import arithmetic as by_name


class PreparedModel:
    """`PreparedLlama` for one text at a time; logits float64 for exact64, float32 otherwise.

    With an exact arithmetic the logits of a text have the same bits however it was handed in: token by token, in
    chunks, or with a tree.

    >>> from reference import pair
    >>> model = PreparedModel(pair.load().draft.network)
    >>> one, other = model.start(), model.start()
    >>> _ = one.extend([0, 100])
    >>> bool((one.extend([101]) == other.extend([0, 100, 101])[2:]).all())
    True
    """

    def __init__(self, network: Llama, arithmetic: str = "exact64", *, spare: int | None = None) -> None:
        """``spare`` slots beyond the context hold a tree's tokens (default: as many as the context has)."""
        context = network.config.max_position_embeddings
        self.prepared = PreparedLlama(network, by_name(arithmetic), context + (context if spare is None else spare))

    @property
    def vocabulary_size(self) -> int:
        return self.prepared.config.vocab_size

    @property
    def context_length(self) -> int:
        return self.prepared.config.max_position_embeddings

    def start(self) -> PreparedState:
        return PreparedState(self)


class PreparedState:
    """Keys and values of one text in slots 0 to length - 1; a tree uses the slots behind them and is overwritten."""

    def __init__(self, model: PreparedModel) -> None:
        self._model = model
        self._length = 0
        self._slots = model.prepared.slots(1)

    @property
    def length(self) -> int:
        """Number of tokens stored."""
        return self._length

    def extend(self, tokens: Sequence[int], tree: Sequence[int] = (), parents: Sequence[int] = ()) -> Tensor:
        """Append tokens; float logits (T + N, V). See `reference.models.protocol.State.extend`."""
        model, start, new = self._model, self._length, len(tokens)
        check_extend(tokens, start, model.vocabulary_size, model.context_length, tree, parents)
        end = start + new + len(tree)
        if end > model.prepared.context:
            left = model.prepared.context - start - new
            raise ValueError(f"tree: {len(tree)} tokens; {left} slots are left, see spare")
        device = self._slots.keys.device
        handed = torch.tensor([[*tokens, *tree]], device=device)
        if tree:
            below = Tree.below(parents, new, start, device)
            positions, visible = below.positions, below.mask
        else:
            positions = torch.arange(start, end, device=device)
            visible = None if new == 1 else torch.ones(new, end, dtype=torch.bool, device=device).tril(start)
        logits = model.prepared(handed, self._slots, positions, slice(start, end), end, visible)
        self._length = start + new
        return logits[0]

    def rewind(self, length: int) -> None:
        """Keep the first ``length`` tokens."""
        check_rewind(length, self._length)
        self._length = length
