"""The tiny Llama as a `LanguageModel`: one text, one key-value cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from reference.models.llama import KeyValueCache, Llama, LlamaConfig
from reference.models.protocol import check_extend, check_rewind


class TinyModel:
    """A `Llama` network behind the `LanguageModel` protocol; logits in the weights' dtype, gradients off."""

    def __init__(self, network: Llama) -> None:
        self.network = network.eval()

    @classmethod
    def load(cls, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> TinyModel:
        """Read ``config.json`` and ``model.safetensors``; the stored weights are widened to ``dtype``.

        Raises FileNotFoundError naming the missing file, and ValueError when the weights are not those of the config.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

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
        return cls(network)

    @property
    def vocabulary_size(self) -> int:
        return self.network.config.vocab_size

    @property
    def context_length(self) -> int:
        return self.network.config.max_position_embeddings

    def start(self) -> TinyState:
        return TinyState(self)


class TinyState:
    """Keys and values of one text; a rewind lowers the length, what lies beyond is overwritten before it is read."""

    def __init__(self, model: TinyModel) -> None:
        self._model = model
        weight = model.network.model.embed_tokens.weight
        self._device = weight.device
        with torch.inference_mode():
            self._cache = KeyValueCache(model.network.config, batch=1, like=weight)

    @property
    def length(self) -> int:
        return self._cache.length

    @torch.inference_mode()
    def extend(self, tokens: Sequence[int], tree: Sequence[int] = (), parents: Sequence[int] = ()) -> Tensor:
        model = self._model
        check_extend(tokens, self.length, model.vocabulary_size, model.context_length, tree, parents)
        new = torch.tensor([[*tokens, *tree]], dtype=torch.int64, device=self._device)  # (1, T + N)
        return model.network(new, self._cache, parents=parents)[0]  # (T + N, V)

    def rewind(self, length: int) -> None:
        check_rewind(length, self.length)
        self._cache.length = length
