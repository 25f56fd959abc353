"""A model that is looked at while decoders use it: what each state was asked and answered, and what it stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from reference.models.protocol import LanguageModel, Read


@dataclass
class Seen:
    """One state: its reads with their logits, and the keys and values (L, G, length, d) it had when it was closed."""

    reads: list[tuple[Read, Tensor]] = field(default_factory=list)
    stored: tuple[Tensor, Tensor] | None = None


class Watched:
    """The model itself, its states noted in the order in which they were opened."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.opened: list[Seen] = []
        self.passes: list[list[int]] = []  # of each call of extend: tokens of each read
        self._live: dict[int, tuple[Any, Seen]] = {}

    @property
    def vocabulary_size(self) -> int:
        return self.model.vocabulary_size

    @property
    def context_length(self) -> int:
        return self.model.context_length

    def cache(self, rows: int = 1) -> Any:
        made: Any = self.model.cache(rows)
        start, extend = made.start, made.extend

        def watched_start() -> Any:
            state, seen = start(), Seen()
            self.opened.append(seen)
            self._live[id(state)] = state, seen
            close = state.close

            def watched_close() -> None:
                if self._live.pop(id(state), None) and state.length:
                    seen.stored = state.stored()
                close()

            state.close = watched_close
            return state

        def watched_extend(reads: Sequence[Read]) -> list[Tensor]:
            self.passes.append([len(read.tokens) + len(read.tree) for read in reads])
            found = extend(reads)
            for read, logits in zip(reads, found, strict=True):
                self._live[id(read.state)][1].reads.append((read, logits))
            return found

        made.start, made.extend = watched_start, watched_extend
        return made

    def start(self) -> Any:
        return self.cache().start()

    def peek(self) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of every state that lives and holds tokens. Paths that were kept are moved by that."""
        return [state.stored() for state, _ in self._live.values() if state.length]
