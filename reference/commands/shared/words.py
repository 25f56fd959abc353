"""Text and tokens: prompts as token ids, and the text of a result, where the model has a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reference.commands.shared.prompts import Prompt
from specmath.cli.command import UsageError

if TYPE_CHECKING:
    from reference.models.tokenizer import Tokenizer


class Reader(Protocol):
    """Turns the tokens of one text into characters, bit by bit; see `reference.models.tokenizer.TextStream`."""

    def add(self, ids: Sequence[int]) -> str:
        """The characters that these tokens complete, possibly none."""
        ...

    def end(self) -> str:
        """What is left when the text ends."""
        ...


class Words:
    """The words of a target: those of the tokenizer in its folder, or token ids where there is none."""

    def __init__(self, tokenizer: Tokenizer | None, folder: str, stop: Sequence[int] | None = None) -> None:
        """``stop`` replaces the tokenizer's stop tokens."""
        self._tokenizer, self._folder = tokenizer, folder
        own = frozenset() if tokenizer is None else tokenizer.stop
        self.stop: frozenset[int] = own if stop is None else frozenset(stop)

    @classmethod
    def of(cls, folder: Path, shown: str, stop: Sequence[int] | None) -> Words:
        """What a folder holds; ValueError for a tokenizer that cannot be read."""
        from reference.models.folder import load_tokenizer

        try:
            return cls(load_tokenizer(folder), shown, stop)
        except FileNotFoundError:
            if not (folder / "config.json").is_file():
                raise  # there is no model at all
            return cls(None, shown, stop)

    def encode(self, prompt: Prompt) -> list[int]:
        """Tokens of a prompt; UsageError for an empty one, and for text without a tokenizer."""
        if not prompt.content:
            unit = "character" if isinstance(prompt.content, str) else "token id"
            raise UsageError(f"empty; allowed is at least one {unit}")
        if not isinstance(prompt.content, str):
            return list(prompt.content)
        if self._tokenizer is None:
            raise UsageError(
                f"{self._folder} holds no tokenizer; allowed are token ids, by --prompt-tokens or as lists in a file"
            )
        return self._tokenizer.encode(prompt.content)

    def decode(self, tokens: Sequence[int]) -> str | None:
        """Text of emitted tokens without a stop token; None without a tokenizer."""
        return None if self._tokenizer is None else self._tokenizer.decode(tokens)

    def vocabulary(self) -> Mapping[str, int] | None:
        """Ids of the tokenizer's tokens; None without a tokenizer."""
        return None if self._tokenizer is None else self._tokenizer.vocabulary()

    def reader(self) -> Reader:
        """A reader for one text; without a tokenizer it shows the ids."""
        return Ids() if self._tokenizer is None else self._tokenizer.stream()


class Ids:
    """A `Reader` that shows token ids.

    >>> Ids().add([7, 8])
    '7 8 '
    """

    def add(self, ids: Sequence[int]) -> str:
        """See `Reader`."""
        return "".join(f"{token} " for token in ids)

    def end(self) -> str:
        """See `Reader`."""
        return ""
