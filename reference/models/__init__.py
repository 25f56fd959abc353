"""Language models that the decoders run: a protocol, exact tables, a small Llama, and transformers models.

Names are imported when they are asked for: `reference.cache` builds on the protocol here, and the models on the cache.

>>> from reference.models import mapped
>>> from reference.models.table import TableModel
>>> mapped(TableModel(lambda prefix: [0.5, 0.5], 2), 3, unknown=0).vocabulary_size
3
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reference.models.folder import load_tokenizer, open_model
    from reference.models.tiny import TinyModel
    from reference.models.tokenizer import Tokenizer
    from reference.models.transformers import TransformersModel
    from reference.models.vocabulary import mapped

_HOMES = {
    "TinyModel": "tiny",
    "Tokenizer": "tokenizer",
    "TransformersModel": "transformers",
    "load_tokenizer": "folder",
    "mapped": "vocabulary",
    "open_model": "folder",
}

__all__ = ["TinyModel", "Tokenizer", "TransformersModel", "load_tokenizer", "mapped", "open_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
