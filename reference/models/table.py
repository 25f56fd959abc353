"""A model whose next-token laws are all given: what proofs decode with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Rational

import numpy as np
from numpy.typing import NDArray

from reference.models.protocol import UNBOUNDED, check_extend, check_rewind
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

    def start(self) -> TableState:
        return TableState(self)

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


class TableState:
    """The tokens so far; all there is to remember."""

    def __init__(self, model: TableModel) -> None:
        self._model = model
        self._tokens: list[int] = []

    @property
    def length(self) -> int:
        return len(self._tokens)

    def extend(
        self, tokens: Sequence[int], tree: Sequence[int] = (), parents: Sequence[int] = ()
    ) -> NDArray[np.float64]:
        model, before = self._model, len(self._tokens)
        check_extend(tokens, before, model.vocabulary_size, model.context_length, tree, parents)
        self._tokens.extend(tokens)
        ends = range(before + 1, len(self._tokens) + 1)
        prefixes = [tuple(self._tokens[:end]) for end in ends]
        for token, parent in zip(tree, parents, strict=True):
            prefixes.append((*prefixes[parent + len(tokens)], token))  # parent -1 is the last of the tokens
        return np.stack([model.logits(prefix) for prefix in prefixes])

    def rewind(self, length: int) -> None:
        check_rewind(length, len(self._tokens))
        del self._tokens[length:]
