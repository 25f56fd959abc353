"""What a decoder asks of a model: next-token logits for texts that grow, branch and are cut back.

A `Cache` holds several texts, each in a row of its own; a `State` is one of them. A state reads tokens in two ways:
appended to the text, or as nodes of a tree below the text's end, which stay on trial until the decoder keeps a path of
them. One call of `Cache.extend` is one forward pass, whatever rows it serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from specmath.arrays import Array, as_array, to_float64, to_numpy

UNBOUNDED = 2**31 - 1
"""Context length of a model without a limit; also the largest position the random counter can name."""


class State(Protocol):
    """One text as a model sees it: its tokens so far and, below them, the nodes of a tree that are on trial."""

    @property
    def cache(self) -> Cache:
        """Where the state lives, with those that can be read in the same pass."""
        ...

    @property
    def length(self) -> int:
        """Number of tokens of the text, without the nodes on trial."""
        ...

    @property
    def nodes(self) -> int:
        """Number of nodes on trial."""
        ...

    def extend(self, tokens: Sequence[int], tree: Sequence[int] = (), parents: Sequence[int] = ()) -> Array:
        """`Cache.extend` for this state alone: logits (T + N, V)."""
        ...

    def keep(self, path: Sequence[int]) -> None:
        """Append the nodes of ``path``, from the text downwards, to the text and forget all others.

        ValueError unless each is the child of the one before it. An empty path forgets the whole tree.
        """
        ...

    def rewind(self, length: int) -> None:
        """Forget the tree and all tokens after the first ``length``; ValueError if fewer are stored."""
        ...

    def close(self) -> None:
        """Give the row back. A closed state must not be used again."""
        ...


class Read(NamedTuple):
    """What one state reads in a pass; see `Cache.extend`."""

    state: State
    tokens: Sequence[int]
    tree: Sequence[int] = ()
    parents: Sequence[int] = ()


class Cache(Protocol):
    """Rows for several texts of one model."""

    def start(self) -> State:
        """A state without tokens in an empty row; ValueError when every row is taken."""
        ...

    def extend(self, reads: Sequence[Read]) -> list[Array]:
        """One forward pass for several states: logits (T + N, V) each, numpy or torch, any floating dtype.

        The T tokens of a read are appended to the text, which first forgets the nodes on trial. With T = 0 these stay,
        and the tree grows. The N tokens of ``tree`` become nodes: ``parents[i]`` is the number of tree token i's parent
        among all nodes on trial, -1 for the end of the text. Logits come in the order of tokens and then of the tree.

        Raises ValueError, before anything is read, for a read without tokens and tree, tokens outside the vocabulary, a
        tree below an empty text, parents that describe no tree, a context that is full, a state of another cache or one
        named twice.
        """
        ...


class LanguageModel(Protocol):
    """A model with a finite vocabulary. Logits follow from the tokens of a text alone."""

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens V; tokens are 0 to V - 1."""
        ...

    @property
    def context_length(self) -> int:
        """Largest number of tokens of a text, `UNBOUNDED` where there is no limit."""
        ...

    def cache(self, rows: int = 1) -> Cache:
        """Room for ``rows`` texts; ValueError below 1."""
        ...

    def start(self) -> State:
        """A text of its own: ``cache(1).start()``."""
        ...


def on_host(logits: Array) -> NDArray[np.float64]:
    """Logits as float64 numpy, of any library, device and dtype: what decoders compute with."""
    return to_numpy(to_float64(as_array("logits", logits)))


def check_tokens(name: str, tokens: Sequence[int], vocabulary_size: int) -> None:
    """ValueError naming the first entry that is no token id of the vocabulary."""
    for index, token in enumerate(tokens):
        if isinstance(token, bool) or not hasattr(token, "__index__"):
            raise ValueError(f"{name}[{index}] is {token!r}; allowed are whole numbers from 0 to {vocabulary_size - 1}")
        if not 0 <= token < vocabulary_size:
            raise ValueError(f"{name}[{index}] is {token}; allowed are token ids from 0 to {vocabulary_size - 1}")
