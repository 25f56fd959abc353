"""A draft over another vocabulary, read as a draft over the target's: ids translated, missing tokens impossible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.models.growth import check_reads
from reference.models.protocol import Cache, LanguageModel, Read, State, check_tokens
from specmath.arrays import Array


def mapped(
    model: LanguageModel, size: int, *, ids: Sequence[int] | None = None, unknown: int | None = None
) -> MappedModel:
    """``model`` as a draft for a target of ``size`` tokens.

    Its token d is the target's token ``ids[d]``, or none where that is -1; without ``ids`` both use the same number,
    up to the smaller size, as vocabularies do that differ by padding only. A target token that the model does not know
    has logit -inf, so the law is one over the target's tokens; in a text it is read as the model's token ``unknown``.
    Whatever the mapping, the output of the decoders keeps the target's law, and coupled text does not change: a bad
    mapping only costs acceptance. Where the model allows none of the shared tokens it has no law: then nothing is
    drafted if coupled, and in rejection mode the text fails.

    Raises ValueError for a size below 1; ids of another length, out of range or named twice, and none in common; an
    ``unknown`` that is no token of the model, or that is missing where the target has tokens the model does not know.

    >>> from reference.models.table import TableModel
    >>> draft = mapped(TableModel(lambda prefix: [0.5, 0.25, 0.25], 3), 4, ids=[2, 3, -1], unknown=2)
    >>> np.exp(draft.start().extend([0, 3])).round(3).tolist()
    [[0.0, 0.0, 0.5, 0.25], [0.0, 0.0, 0.5, 0.25]]
    """
    own = model.vocabulary_size
    if isinstance(size, bool) or not hasattr(size, "__index__") or size < 1:
        raise ValueError(f"size is {size!r}; allowed are whole numbers >= 1")
    if ids is None:
        ids = [token if token < size else -1 for token in range(own)]
    if len(ids) != own:
        raise ValueError(f"ids: {len(ids)} entries; the model has {own} tokens, each needs one (-1 for none)")
    to_draft: dict[int, int] = {}
    for token, goal in enumerate(ids):
        if isinstance(goal, bool) or not hasattr(goal, "__index__") or not -1 <= goal < size:
            raise ValueError(f"ids[{token}] is {goal!r}; allowed are -1 and token ids from 0 to {size - 1}")
        if goal in to_draft:
            raise ValueError(f"ids[{token}] is {goal}, as is ids[{to_draft[goal]}]; allowed is one draft token each")
        if goal >= 0:
            to_draft[int(goal)] = token
    if not to_draft:
        raise ValueError("ids: no token in common; a draft needs one or more")
    if unknown is not None:
        if isinstance(unknown, bool) or not hasattr(unknown, "__index__") or not 0 <= unknown < own:
            raise ValueError(f"unknown is {unknown!r}; allowed are token ids of the model from 0 to {own - 1}")
    elif len(to_draft) < size:
        lost = next(token for token in range(size) if token not in to_draft)
        raise ValueError(
            f"unknown is None, but the model does not know {size - len(to_draft)} of the target's {size} tokens (the "
            f"first is {lost}); allowed is the token from 0 to {own - 1} as which it reads them"
        )
    return MappedModel(model, int(size), to_draft, unknown)


class MappedModel:
    """What `mapped` makes: a `LanguageModel` whose caches and states are those of the model, translated."""

    def __init__(self, model: LanguageModel, size: int, to_draft: dict[int, int], unknown: int | None) -> None:
        self.model = model
        self._size = size
        self._read = np.full(size, 0 if unknown is None else unknown)  # (V,), the model's token for each of the target
        self._read[list(to_draft)] = list(to_draft.values())
        self._goal = np.array(sorted(to_draft))  # the target's tokens that the model knows, and what it calls them
        self._source = np.array([to_draft[token] for token in sorted(to_draft)])

    @property
    def vocabulary_size(self) -> int:
        return self._size

    @property
    def context_length(self) -> int:
        return self.model.context_length

    def cache(self, rows: int = 1) -> MappedCache:
        """Room for ``rows`` texts; ValueError below 1."""
        return MappedCache(self, rows)

    def start(self) -> MappedState:
        """A text of its own."""
        return self.cache().start()

    def tokens(self, name: str, tokens: Sequence[int]) -> list[int]:
        """The model's tokens for those of the target; ValueError for ids out of range."""
        check_tokens(name, tokens, self._size)
        return self._read[[int(token) for token in tokens]].tolist() if len(tokens) else []

    def logits(self, logits: Any) -> Any:
        """Logits (T, V) over the target's tokens from the model's, of the same library, dtype and device."""
        if isinstance(logits, np.ndarray):
            made: NDArray[Any] = np.full((len(logits), self._size), -np.inf, dtype=logits.dtype)
            made[:, self._goal] = logits[:, self._source]
            return made
        import torch

        goal, source = (torch.as_tensor(part, device=logits.device) for part in (self._goal, self._source))
        return logits.new_full((len(logits), self._size), -torch.inf).index_copy_(1, goal, logits[:, source])


class MappedCache:
    """Rows of the model's cache."""

    def __init__(self, model: MappedModel, rows: int) -> None:
        self.model = model
        self._inner: Cache = model.model.cache(rows)

    def start(self) -> MappedState:
        return MappedState(self, self._inner.start())

    def extend(self, reads: Sequence[Read]) -> list[Array]:
        """See `reference.models.protocol.Cache.extend`."""
        check_reads(self, reads)
        own = [
            Read(
                read.state.inner,  # type: ignore[attr-defined]
                self.model.tokens("tokens", read.tokens),
                self.model.tokens("tree", read.tree),
                read.parents,
            )
            for read in reads
        ]
        return [self.model.logits(logits) for logits in self._inner.extend(own)]


class MappedState:
    """A state of the model; see `reference.models.protocol.State`."""

    def __init__(self, cache: MappedCache, inner: State) -> None:
        self._cache: MappedCache | None = cache
        self.inner = inner

    @property
    def cache(self) -> MappedCache:
        return self._cache  # type: ignore[return-value]

    @property
    def length(self) -> int:
        return self.inner.length

    @property
    def nodes(self) -> int:
        return self.inner.nodes

    def extend(self, tokens: Sequence[int], tree: Sequence[int] = (), parents: Sequence[int] = ()) -> Array:
        return self._open().extend([Read(self, tokens, tree, parents)])[0]

    def keep(self, path: Sequence[int]) -> None:
        self._open()
        self.inner.keep(path)

    def rewind(self, length: int) -> None:
        self._open()
        self.inner.rewind(length)

    def close(self) -> None:
        self._cache = None
        self.inner.close()

    def _open(self) -> MappedCache:
        if self._cache is None:
            raise ValueError("state: it is closed; start another")
        return self._cache
