"""A target that is read through: what each text asked of it, and the logits that decided each emitted token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reference.decode import Decoded
from reference.models.protocol import Cache, LanguageModel, Read, State
from specmath.arrays import Array, as_array, to_numpy


class Recorder:
    """The model itself; ``texts`` are its states in the order in which they were opened, ``passes`` counts calls."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.texts: list[RecordedState] = []
        self.passes = 0

    @property
    def vocabulary_size(self) -> int:
        return self._model.vocabulary_size

    @property
    def context_length(self) -> int:
        return self._model.context_length

    def cache(self, rows: int = 1) -> RecordedCache:
        return RecordedCache(self, self._model.cache(rows))

    def start(self) -> RecordedState:
        return self.cache().start()


class RecordedCache:
    """A `Cache` that hands every read on."""

    def __init__(self, recorder: Recorder, inner: Cache) -> None:
        self._recorder, self._inner = recorder, inner

    def start(self) -> RecordedState:
        state = RecordedState(self, self._inner.start())
        self._recorder.texts.append(state)
        return state

    def extend(self, reads: Sequence[Read]) -> list[Array]:
        self._recorder.passes += 1
        found = self._inner.extend([read._replace(state=read.state.inner) for read in reads])  # type: ignore[attr-defined]
        for read, logits in zip(reads, found, strict=True):
            read.state.last = logits  # type: ignore[attr-defined]
        return found


class RecordedState:
    """A `State` that remembers, for each round, the logits after the text and after each node of the kept path."""

    def __init__(self, cache: RecordedCache, inner: State) -> None:
        self.cache, self.inner = cache, inner
        self.last: Array = None  # logits (T + N, V) of the last read
        self.rounds: list[NDArray[np.floating]] = []  # of each round (kept nodes + 1, V)

    @property
    def length(self) -> int:
        return self.inner.length

    @property
    def nodes(self) -> int:
        return self.inner.nodes

    def extend(self, tokens: Sequence[int], tree: Sequence[int] = (), parents: Sequence[int] = ()) -> Array:
        return self.cache.extend([Read(self, tokens, tree, parents)])[0]

    def keep(self, path: Sequence[int]) -> None:
        below = to_numpy(as_array("logits", self.last))[-self.nodes - 1 :]  # (1 + N, V)
        self.rounds.append(below[[0, *(node + 1 for node in path)]])
        self.inner.keep(path)

    def rewind(self, length: int) -> None:
        self.inner.rewind(length)

    def close(self) -> None:
        self.inner.close()

    def deciding(self, decoded: Decoded) -> NDArray[np.floating]:
        """Logits (T, V), in the model's own dtype, that decided each of the T emitted tokens of the finished text."""
        pairs = zip(self.rounds, decoded.rounds, strict=True)
        return np.concatenate([rows[: len(one.emitted)] for rows, one in pairs])  # a stop token cuts a kept path
