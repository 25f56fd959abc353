"""A model whose next-token laws are all given: what proofs decode with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Rational

import numpy as np
from numpy.typing import NDArray

from reference.models.growth import Growth, check_reads, check_rows
from reference.models.protocol import UNBOUNDED, Read
from specmath.exact import Number

Prefix = tuple[int, ...]
Laws = Mapping[Prefix, Sequence[Number]] | Callable[[Prefix], Sequence[Number]]

SUM_TOLERANCE = 1e-9  # for laws given in float; rational laws must sum to exactly one


class TableModel:
    """A language model given by its next-token laws, prefix -> law over V tokens.

    ``laws`` is a mapping or a function of the whole prefix (the prompt included); entries may be Fractions, and `law`
    hands them back untouched. Logits are log(law) in float64, -inf where the law is zero. Raises ValueError, when a
    prefix is first asked for, if its law is missing, has another length, is negative or does not sum to one (exactly
    for rationals, within 1e-9 for floats).

    >>> from fractions import Fraction
    >>> model = TableModel(lambda prefix: [Fraction(1, 4), Fraction(3, 4)], 2)
    >>> np.exp(model.start().extend([1, 0])).round(12).tolist()
    [[0.25, 0.75], [0.25, 0.75]]
    """

    def __init__(self, laws: Laws, vocabulary_size: int, *, context_length: int = UNBOUNDED) -> None:
        if vocabulary_size < 1 or context_length < 1:
            raise ValueError(f"vocabulary_size {vocabulary_size}, context_length {context_length}; allowed are >= 1")
        self._laws = laws
        self._vocabulary_size = vocabulary_size
        self._context_length = context_length
        self._rows: dict[Prefix, tuple[Sequence[Number], NDArray[np.float64]]] = {}

    @property
    def vocabulary_size(self) -> int:
        return self._vocabulary_size

    @property
    def context_length(self) -> int:
        return self._context_length

    def law(self, prefix: Prefix) -> Sequence[Number]:
        """The next-token law after ``prefix``, as it was given."""
        return self._row(prefix)[0]

    def logits(self, prefix: Prefix) -> NDArray[np.float64]:
        """log of `law`, shape (V,)."""
        return self._row(prefix)[1]

    def cache(self, rows: int = 1) -> TableCache:
        return TableCache(self, rows)

    def start(self) -> TableState:
        return self.cache().start()

    def state(self, cache: TableCache) -> TableState:
        """What `TableCache.start` hands out; tests plant defective states here."""
        return TableState(self, cache)

    def _row(self, prefix: Prefix) -> tuple[Sequence[Number], NDArray[np.float64]]:
        if prefix not in self._rows:
            law = self._given(prefix)
            with np.errstate(divide="ignore"):
                self._rows[prefix] = law, np.log(np.array([float(weight) for weight in law]))
        return self._rows[prefix]

    def _given(self, prefix: Prefix) -> Sequence[Number]:
        if isinstance(self._laws, Mapping):
            if prefix not in self._laws:
                raise ValueError(f"laws: no law for the prefix {prefix}; the table holds {len(self._laws)} prefixes")
            law = self._laws[prefix]
        else:
            law = self._laws(prefix)
        if len(law) != self._vocabulary_size:
            raise ValueError(f"laws: {len(law)} entries after {prefix}; the vocabulary has {self._vocabulary_size}")
        total = sum(law)
        off = total != 1 if isinstance(total, Rational) else not abs(total - 1) <= SUM_TOLERANCE
        if off or not all(weight >= 0 for weight in law):
            raise ValueError(f"laws: {list(law)} after {prefix}; allowed are non-negative numbers that sum to one")
        return law


class TableCache:
    """Texts of a table model; rows cost nothing, but their number is kept as every cache keeps it."""

    def __init__(self, model: TableModel, rows: int) -> None:
        check_rows(rows)
        self.model, self.free = model, rows

    def start(self) -> TableState:
        if not self.free:
            raise ValueError("rows: every row is taken; close a state first")
        self.free -= 1
        return self.model.state(self)

    def extend(self, reads: Sequence[Read]) -> list[NDArray[np.float64]]:
        check_reads(self, reads)
        for read in reads:
            read.state.check(read.tokens, read.tree, read.parents)  # type: ignore[attr-defined]
        logits = [read.state.read(read.tokens, read.tree, read.parents) for read in reads]  # type: ignore[attr-defined]
        for read in reads:  # a prefix without a law raised before anything was changed
            read.state.grow(read.tokens, read.tree, read.parents)  # type: ignore[attr-defined]
        return logits


class TableState:
    """The tokens so far and those of the tree; all there is to remember."""

    def __init__(self, model: TableModel, cache: TableCache) -> None:
        self._model = model
        self._cache: TableCache | None = cache
        self._growth = Growth(model.vocabulary_size, model.context_length)
        self._tokens: list[int] = []
        self._prefixes: list[Prefix] = []  # of every node on trial, the node's own token included

    @property
    def cache(self) -> TableCache:
        return self._cache  # type: ignore[return-value]

    @property
    def length(self) -> int:
        return self._growth.length

    @property
    def nodes(self) -> int:
        return len(self._growth.parents)

    def extend(
        self, tokens: Sequence[int], tree: Sequence[int] = (), parents: Sequence[int] = ()
    ) -> NDArray[np.float64]:
        return self.cache.extend([Read(self, tokens, tree, parents)])[0]

    def check(self, tokens: Sequence[int], tree: Sequence[int], parents: Sequence[int]) -> None:
        self._growth.check(tokens, tree, parents)

    def read(self, tokens: Sequence[int], tree: Sequence[int], parents: Sequence[int]) -> NDArray[np.float64]:
        """Logits of what is read, after the checks; nothing is changed yet."""
        text, nodes = self._after(tokens, tree, parents)
        new = [tuple(text[:end]) for end in range(len(self._tokens) + 1, len(text) + 1)]
        return np.stack([self._model.logits(prefix) for prefix in [*new, *nodes[len(nodes) - len(tree) :]]])

    def grow(self, tokens: Sequence[int], tree: Sequence[int], parents: Sequence[int]) -> None:
        """Take in what was read."""
        self._tokens, self._prefixes = self._after(tokens, tree, parents)
        self._growth.grow(tokens, parents)

    def _after(
        self, tokens: Sequence[int], tree: Sequence[int], parents: Sequence[int]
    ) -> tuple[list[int], list[Prefix]]:
        """The text and the nodes on trial as they will be."""
        text, nodes = [*self._tokens, *tokens], [] if len(tokens) else list(self._prefixes)
        for token, parent in zip(tree, parents, strict=True):
            nodes.append((*(nodes[parent] if parent >= 0 else text), token))
        return text, nodes

    def keep(self, path: Sequence[int]) -> None:
        self._growth.keep(path)
        self._tokens.extend(self._prefixes[node][-1] for node in path)
        self._prefixes = []

    def rewind(self, length: int) -> None:
        self._growth.rewind(length)
        del self._tokens[length:]
        self._prefixes = []

    def close(self) -> None:
        if self._cache is not None:
            self._cache.free += 1
            self._cache = None
