"""The small Llama as a `LanguageModel`: one network, any arithmetic, as many texts as a cache has rows."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from reference.cache import Rows, RowState
from reference.models.llama import Llama, LlamaConfig
from reference.numerics.llama import PreparedLlama
from reference.numerics.registry import arithmetic as by_name

SPARE = 512
"""Most slots that are set aside for nodes on trial beyond the context, unless asked for otherwise."""


class TinyModel:
    """A `Llama` in an arithmetic of `reference.numerics` behind the `LanguageModel` protocol.

    With an exact arithmetic the logits of a text have the same bits however it was handed in: token by token, in
    chunks, as a path of a tree, beside other texts. They are float64 for exact64, float32 for int8, and for native in
    the dtype of the weights. ``network`` is what was handed in, unchanged, without a cache; later changes of its
    weights do not reach the model.

    >>> from reference import pair
    >>> cache = pair.load().draft.cache(rows=2)
    >>> one, other = cache.start(), cache.start()
    >>> _ = one.extend([0, 100], tree=[7, 101], parents=[-1, -1])
    >>> one.keep([1])
    >>> bool((one.extend([102]) == other.extend([0, 100, 101, 102])[3:]).all())
    True
    """

    def __init__(self, network: Llama, arithmetic: str = "exact64", *, spare: int | None = None) -> None:
        """``spare`` slots beyond the context hold nodes on trial (default: the context, at most 512).

        Context and spare set the grid of attention: bits of models with different sums are not comparable. Raises
        ValueError for an unknown arithmetic or a negative ``spare``, `BudgetError` where sums cannot be exact.
        """
        context = network.config.max_position_embeddings
        if spare is not None and (isinstance(spare, bool) or not hasattr(spare, "__index__") or spare < 0):
            raise ValueError(f"spare is {spare!r}; allowed are whole numbers >= 0")
        self.network = network.eval()
        self.prepared = PreparedLlama(
            network, by_name(arithmetic), context + (min(context, SPARE) if spare is None else spare)
        )

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        dtype: torch.dtype = torch.float32,
        arithmetic: str = "exact64",
        device: torch.device | str = "cpu",
    ) -> TinyModel:
        """Read ``config.json`` and ``model.safetensors``; the stored weights are widened to ``dtype``.

        Raises FileNotFoundError naming the missing file, and ValueError when the weights are not those of the config,
        for a device that torch does not see, or for an unknown arithmetic.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        by_name(arithmetic)  # what cannot be is told before anything is read
        place = visible_device(device)
        folder = Path(folder)
        network = Llama(LlamaConfig.read(folder / "config.json")).to(dtype)
        path = folder / "model.safetensors"
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file; config.json needs its weights beside it")
        try:
            network.load_state_dict(load_file(path))
        except (RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{path}: not the weights of {folder / 'config.json'} ({reason})") from None
        return cls(network.to(place), arithmetic)

    @property
    def arithmetic(self) -> str:
        """Name of the arithmetic."""
        return self.prepared.arithmetic.name

    @property
    def vocabulary_size(self) -> int:
        return self.network.config.vocab_size

    @property
    def context_length(self) -> int:
        return self.network.config.max_position_embeddings

    @property
    def spare(self) -> int:
        """Slots beyond the context, for nodes on trial."""
        return self.prepared.context - self.context_length

    def early(self, layers: int) -> TinyModel:
        """The model's first ``layers`` layers with its norm and head, sharing every weight: a draft of its own kind.

        Raises ValueError unless 1 <= layers <= those there are.
        """
        early = copy.copy(self)
        early.network, early.prepared = self.network.early(layers), self.prepared.early(layers)
        return early

    def cache(self, rows: int = 1) -> Rows:
        """Room for ``rows`` texts; ValueError below 1."""
        return Rows(
            self.prepared,
            self.prepared.slots,
            rows,
            size=self.prepared.context,
            vocabulary_size=self.vocabulary_size,
            context_length=self.context_length,
        )

    def start(self) -> RowState:
        """A text of its own."""
        return self.cache().start()


def visible_device(device: torch.device | str) -> torch.device:
    """The device; ValueError naming those that torch sees if it is not among them."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        count = torch.cuda.device_count()
        seen = ", ".join(["cpu", *(f"cuda:{number}" for number in range(count))])
        raise ValueError(f"device is {str(device)!r}; torch sees {seen} ({str(error).splitlines()[0]})") from None
    return found
