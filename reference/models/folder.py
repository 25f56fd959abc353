"""A folder with a model, opened as what it is: the small Llama, or a transformers model."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from reference import pair
from reference.models.hf_folder import dtype_of, read_config
from reference.models.llama import LlamaConfig
from reference.models.tiny import TinyModel, visible_device
from reference.models.tokenizer import FILES, Tokenizer, read_tokenizer
from reference.models.transformers import TransformersModel, load
from reference.numerics.registry import arithmetic as by_name


def open_model(
    folder: str | Path,
    *,
    arithmetic: str = "exact64",
    dtype: str | torch.dtype = "float32",
    device: torch.device | str = "cpu",
) -> TinyModel | TransformersModel:
    """The model in a local folder (config.json beside safetensors or bin files), ready for the decoders.

    A stock Llama whose embeddings are tied, as those of the shipped pair, becomes a `TinyModel`, whose layers are
    fused; every other family of `reference.numerics.exactify` a `TransformersModel`. Nothing is read from anywhere
    else. Raises FileNotFoundError naming a folder or file that is missing, and ValueError for a dtype, device,
    arithmetic or family that is not there and for weights that do not fit the config.

    >>> from reference.pair import HOME
    >>> open_model(HOME / "draft").vocabulary_size
    256
    """
    by_name(arithmetic)
    kind, place = dtype_of(dtype), visible_device(device)
    if is_small_llama(folder, read_config(folder)):
        return TinyModel.load(folder, dtype=kind, arithmetic=arithmetic, device=place)
    return load(folder, arithmetic=arithmetic, dtype=kind, device=place)


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a model's folder: `reference.models.tokenizer.read_tokenizer`, or bytes.

    Bytes are for folders made as the shipped pair: a tied Llama of 256 tokens that begins and ends every text with
    token 0, and no tokenizer beside it. Raises FileNotFoundError for any other folder without a tokenizer (prompts are
    token ids then), and ValueError for one that cannot be read.

    >>> from reference.pair import HOME
    >>> tokens = load_tokenizer(HOME / "draft")
    >>> tokens.encode("é"), tokens.decode([195, 169, 0]), sorted(tokens.stop)
    ([0, 195, 169], 'é', [0])
    """
    raw = read_config(folder)
    if not any((Path(folder) / name).is_file() for name in FILES) and is_small_llama(folder, raw):
        ends = raw.get("bos_token_id"), raw.get("eos_token_id")
        if raw["vocab_size"] == pair.VOCABULARY_SIZE and ends == (pair.END, pair.END):
            vocabulary = {f"<0x{byte:02X}>": byte for byte in range(pair.VOCABULARY_SIZE)}
            return Tokenizer(pair.encode, pair.decode_tokens, frozenset([pair.END]), lambda: vocabulary)
    return read_tokenizer(folder)


def is_small_llama(folder: str | Path, raw: dict[str, Any]) -> bool:
    """Whether `TinyModel` computes the model of this config, which must say all it assumes: defaults differ."""
    if raw.get("model_type") != "llama" or raw.get("tie_word_embeddings") is not True:
        return False
    rope = raw.get("rope_parameters") or {}
    said = {*raw, *rope}
    if any(field.name not in said for field in fields(LlamaConfig)) or set(rope) - {"rope_type", "rope_theta"}:
        return False
    if raw.get("rope_scaling") or raw.get("quantization_config"):
        return False
    try:
        config = LlamaConfig.read(Path(folder) / "config.json")
    except ValueError:
        return False
    widths = {raw.get("head_dim") or config.head_width, config.hidden_size / config.num_attention_heads}
    return len(widths) == 1 and (Path(folder) / "model.safetensors").is_file()
