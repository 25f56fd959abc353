"""The tokens and the tree of one state as numbers only: what every state checks and counts, whatever it stores."""

from __future__ import annotations

from collections.abc import Sequence

from reference.models.protocol import check_tokens


class Growth:
    """Length of a text and depth and parent of every node on trial below it."""

    def __init__(self, vocabulary_size: int, context_length: int) -> None:
        self._vocabulary_size, self._context_length = vocabulary_size, context_length
        self.length = 0
        self.parents: list[int] = []
        self.depths: list[int] = []  # 1 for children of the text's last token

    def check(self, tokens: Sequence[int], tree: Sequence[int], parents: Sequence[int]) -> None:
        """The checks of `Cache.extend` on one read; nothing is changed."""
        limit = self._context_length
        if not len(tokens) and not len(tree):
            raise ValueError("tokens: none given, and no tree; extend needs at least one token")
        check_tokens("tokens", tokens, self._vocabulary_size)
        if self.length + len(tokens) > limit:
            raise ValueError(f"tokens: {len(tokens)} more after {self.length}; the context holds {limit}")
        check_tokens("tree", tree, self._vocabulary_size)
        if len(parents) != len(tree):
            raise ValueError(f"parents: {len(parents)} for {len(tree)} tree tokens; allowed is one each")
        if not self.length + len(tokens):
            raise ValueError("tree: there is no text above it; hand in tokens first")
        depths = [] if len(tokens) else list(self.depths)
        for index, parent in enumerate(parents):
            if not _whole(parent) or not -1 <= parent < len(depths):
                raise ValueError(f"parents[{index}] is {parent}; allowed are -1 (the text) to {len(depths) - 1}")
            depths.append(1 + (depths[parent] if parent >= 0 else 0))
        deepest = max(depths, default=0)
        if self.length + len(tokens) + deepest > limit:
            raise ValueError(f"tree: {deepest} deep after {self.length + len(tokens)}; the context holds {limit}")

    def grow(self, tokens: Sequence[int], parents: Sequence[int]) -> None:
        """Count what was read."""
        if len(tokens):
            self.length += len(tokens)
            self.forget()
        for parent in parents:
            self.parents.append(int(parent))
            self.depths.append(1 + (self.depths[parent] if parent >= 0 else 0))

    def keep(self, path: Sequence[int]) -> None:
        """Count the path as text; ValueError unless it leads down from the text."""
        above = -1
        for place, node in enumerate(path):
            if not _whole(node) or not 0 <= node < len(self.parents) or self.parents[node] != above:
                below = "the text" if above < 0 else f"node {above}"
                raise ValueError(f"path[{place}] is {node}; allowed is a node on trial whose parent is {below}")
            above = node
        self.length += len(path)
        self.forget()

    def rewind(self, length: int) -> None:
        """Cut the count; ValueError when fewer tokens are stored."""
        if not _whole(length) or not 0 <= length <= self.length:
            raise ValueError(f"length is {length}; the state holds {self.length} tokens, allowed are 0 to that")
        self.length = length
        self.forget()

    def forget(self) -> None:
        """No nodes on trial."""
        self.parents, self.depths = [], []


def check_reads(cache: object, reads: Sequence) -> None:
    """ValueError unless all states are different and live in this cache."""
    if not reads:
        raise ValueError("reads: none given")
    for index, read in enumerate(reads):
        if read.state.cache is not cache:
            raise ValueError(f"reads[{index}]: its state belongs to another cache, or is closed")
    if len({id(read.state) for read in reads}) < len(reads):
        raise ValueError("reads: a state is named twice; allowed is one read each")


def check_rows(rows: int) -> None:
    """ValueError below 1."""
    if not _whole(rows) or rows < 1:
        raise ValueError(f"rows is {rows!r}; allowed are whole numbers >= 1")


def _whole(value: object) -> bool:
    return not isinstance(value, bool) and hasattr(value, "__index__")
