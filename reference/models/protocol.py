"""What a decoder asks of a model: next-token logits for a text that grows and is cut back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from specmath.arrays import Array

UNBOUNDED = 2**31 - 1
"""Context length of a model without a limit; also the largest position the random counter can name."""


class State(Protocol):
    """One text as a model sees it: its tokens so far, with whatever the model keeps about them.

    Batches will come as a further argument of `extend` (rows); a decoder of one text needs none.
    """

    @property
    def length(self) -> int:
        """Number of tokens stored."""
        ...

    def extend(self, tokens: Sequence[int], tree: Sequence[int] = (), parents: Sequence[int] = ()) -> Array:
        """Append T tokens; logits (T, V) for the token after each of them, numpy or torch, any floating dtype.

        The N tokens of ``tree`` are looked at in the same pass and not appended: ``parents[i]`` is the index of tree
        token i's parent in the tree, -1 for the last of the T tokens, parents[i] < i. Their N rows follow the T others.
        A decoder of chains hands in no tree.

        Raises ValueError when no token is given, a token lies outside the vocabulary, the context is full, or parents
        do not describe a tree.
        """
        ...

    def rewind(self, length: int) -> None:
        """Forget all tokens after the first ``length``; ValueError if fewer are stored."""
        ...


class LanguageModel(Protocol):
    """A model with a finite vocabulary. Logits follow from the tokens of a state alone."""

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens V; tokens are 0 to V - 1."""
        ...

    @property
    def context_length(self) -> int:
        """Largest number of tokens of a text, `UNBOUNDED` where there is no limit."""
        ...

    def start(self) -> State:
        """A state without tokens, independent of all others."""
        ...


def check_tokens(name: str, tokens: Sequence[int], vocabulary_size: int) -> None:
    """ValueError naming the first entry that is no token id of the vocabulary."""
    for index, token in enumerate(tokens):
        if isinstance(token, bool) or not hasattr(token, "__index__"):
            raise ValueError(f"{name}[{index}] is {token!r}; allowed are whole numbers from 0 to {vocabulary_size - 1}")
        if not 0 <= token < vocabulary_size:
            raise ValueError(f"{name}[{index}] is {token}; allowed are token ids from 0 to {vocabulary_size - 1}")


def check_extend(
    tokens: Sequence[int],
    length: int,
    vocabulary_size: int,
    context_length: int,
    tree: Sequence[int] = (),
    parents: Sequence[int] = (),
) -> None:
    """The checks every `State.extend` makes before it computes anything."""
    if len(tokens) < 1:
        raise ValueError("tokens: none given; extend needs at least one")
    check_tokens("tokens", tokens, vocabulary_size)
    if length + len(tokens) > context_length:
        raise ValueError(f"tokens: {len(tokens)} more after {length}; the context holds {context_length}")
    check_tokens("tree", tree, vocabulary_size)
    if len(parents) != len(tree):
        raise ValueError(f"parents: {len(parents)} for {len(tree)} tree tokens; allowed is one each")
    depths = {-1: 0}
    for node, parent in enumerate(parents):
        if not -1 <= parent < node:
            raise ValueError(f"parents[{node}] is {parent}; allowed are -1 (the text) and earlier tree tokens")
        depths[node] = depths[parent] + 1
    if length + len(tokens) + max(depths.values()) > context_length:
        raise ValueError(
            f"tree: {max(depths.values())} deep after {length + len(tokens)}; the context holds {context_length}"
        )


def check_rewind(length: int, stored: int) -> None:
    """ValueError when a state of ``stored`` tokens cannot be cut back to ``length``."""
    if not 0 <= length <= stored:
        raise ValueError(f"length is {length}; the state holds {stored} tokens, allowed are 0 to {stored}")
