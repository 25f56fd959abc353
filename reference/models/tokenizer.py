"""Text to token ids and back: what a model's folder says about its vocabulary, from local files only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reference.models.hf_folder import quiet, read_json

FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
"""A folder with none of these has no tokenizer; transformers would make an empty one."""

UNFINISHED = "\ufffd"
"""What stands at the end of a text whose last character is cut."""


@dataclass(frozen=True)
class Tokenizer:
    """How text becomes token ids.

    Attributes
    ----------
    encode : ids of a prompt, with the tokens that its tokenizer puts in front of every text.
    decode : text of emitted ids; a stop token at the end and other special tokens are left out.
    stop : ids that end a text, for `reference.decode.Options`.
    vocabulary : makes the map from tokens, as the tokenizer writes them, to ids; equal for models of one tokenizer.
    """

    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]
    stop: frozenset[int]
    vocabulary: Callable[[], Mapping[str, int]]

    def stream(self) -> TextStream:
        """For text that is shown while it is decoded."""
        return TextStream(self.decode)


class TextStream:
    """Text of ids that arrive bit by bit, without characters cut in two.

    Each piece begins where the last one ended, and all of them together are the text of all ids.

    >>> letters = TextStream(lambda ids: bytes(ids).decode("utf-8", errors="replace"))
    >>> letters.add([72, 195]), letters.add([169]), letters.add([226]), letters.end()
    ('', 'Hé', '', '\ufffd')
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._before = self._shown = 0  # ids[before:shown] were shown last; a word's spelling may depend on them

    def add(self, ids: Sequence[int]) -> str:
        """The text that these ids complete."""
        self._ids += ids
        return self._piece(final=False)

    def end(self) -> str:
        """What is left when no more ids follow."""
        return self._piece(final=True)

    def _piece(self, final: bool) -> str:
        text = self._decode(self._ids[self._before :])
        if text.endswith(UNFINISHED) and not final:
            return ""
        known = self._decode(self._ids[self._before : self._shown])
        if len(text) <= len(known):
            return ""  # nothing to see yet, as special tokens; the context stays
        self._before, self._shown = self._shown, len(self._ids)
        return text[len(known) :]


def read_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer in a folder and its stop ids.

    It is what tokenizer.json says; without that file ``transformers.AutoTokenizer`` makes one from what there is.
    Stop ids are ``eos_token_id`` (one or a list) of generation_config.json, else of config.json, else the tokenizer's.
    Raises FileNotFoundError for a folder without tokenizer, ValueError for one that cannot be read, and ``encode``
    raises ValueError for text that is not valid Unicode.
    """
    home = Path(folder)
    if not any((home / name).is_file() for name in FILES):
        raise FileNotFoundError(f"{home}: no tokenizer ({', '.join(FILES[:3])}, ...); hand in prompts as token ids")
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    # By the model_type of config.json AutoTokenizer may put the steps of that family in place of those of the file
    kind: Any = PreTrainedTokenizerFast if (home / "tokenizer.json").is_file() else AutoTokenizer
    try:
        with quiet():
            inner: Any = kind.from_pretrained(home, local_files_only=True, trust_remote_code=False)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # each class of tokenizers has errors of its own for broken files
        raise ValueError(f"{home}: its tokenizer cannot be read ({' '.join(str(error).split())})") from None
    stop = _stop(home, inner)

    def encode(text: str) -> list[int]:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"prompt: character {error.start} is a lone surrogate; allowed is valid Unicode") from None
        return list(inner.encode(text))

    def decode(ids: Sequence[int]) -> str:
        kept = [int(token) for token in (ids[:-1] if len(ids) and ids[-1] in stop else ids)]
        return inner.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    return Tokenizer(encode, decode, stop, inner.get_vocab)


def _stop(home: Path, inner: Any) -> frozenset[int]:
    """The ids that end a text."""
    for name in ("generation_config.json", "config.json"):
        found = read_json(home / name).get("eos_token_id") if (home / name).is_file() else None
        if found is not None:
            ids = found if isinstance(found, list) else [found]
            if any(isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in ids):
                raise ValueError(f"{home / name}: eos_token_id is {found!r}; allowed are token ids and lists of them")
            return frozenset(ids)
    return frozenset() if inner.eos_token_id is None else frozenset([inner.eos_token_id])
