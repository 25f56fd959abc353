"""The small trained target and draft that ship with the package. Tokens are bytes.

>>> encode("é")
[0, 195, 169]
>>> decode_tokens([195, 169, 0])
'é'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reference.pair.corpus import END

if TYPE_CHECKING:
    import torch

    from reference.models.tiny import TinyModel

HOME = Path(__file__).parent
"""Folder of the shipped pair."""

VOCABULARY_SIZE = 256


@dataclass(frozen=True)
class Pair:
    """A target and the draft made for it, over one vocabulary."""

    target: TinyModel
    draft: TinyModel


def load(folder: str | Path | None = None, *, arithmetic: str = "exact64", device: torch.device | str = "cpu") -> Pair:
    """Read the pair from ``folder`` (default: the shipped one), weights widened to float32, to run in ``arithmetic``.

    The folder holds ``target`` and ``draft``, each with config.json and model.safetensors. Raises FileNotFoundError
    naming what is missing, ValueError for weights that do not fit their config, vocabularies that differ, an unknown
    arithmetic or a device that is not there.
    """
    from reference.models.tiny import TinyModel

    home = HOME if folder is None else Path(folder)
    for part in ("target", "draft"):
        if not (home / part / "config.json").exists():
            raise FileNotFoundError(
                f"{home / part / 'config.json'}: no such file; train it: python -m reference.pair.train"
            )
    target, draft = (TinyModel.load(home / part, arithmetic=arithmetic, device=device) for part in ("target", "draft"))
    if target.vocabulary_size != draft.vocabulary_size:
        raise ValueError(
            f"{home}: target has {target.vocabulary_size} tokens and draft {draft.vocabulary_size}; "
            "both must share one vocabulary"
        )
    return Pair(target, draft)


def encode(text: str) -> list[int]:
    """Tokens of a prompt: the byte that starts every document, then the text's UTF-8 bytes.

    Bytes that the operating system could not decode (surrogate escapes) are taken back as they were; other lone
    surrogates raise ValueError.
    """
    try:
        return [END, *text.encode("utf-8", errors="surrogateescape")]
    except UnicodeEncodeError as error:
        raise ValueError(f"prompt: character {error.start} is a lone surrogate; allowed is valid Unicode") from None


def decode_tokens(tokens: Sequence[int]) -> str:
    """Text of emitted tokens: UTF-8, invalid bytes shown as U+FFFD; a closing document byte is left out."""
    kept = tokens[:-1] if len(tokens) and tokens[-1] == END else tokens
    return bytes(kept).decode("utf-8", errors="replace")
