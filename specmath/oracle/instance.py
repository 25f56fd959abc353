"""What functions are judged on: small laws that depend on the context, zeros and ties on either side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any, Literal

from specmath import draft_laws

Kind = Literal["node", "chain", "tree", "batch"]
KINDS = ("node", "chain", "tree", "batch")
Row = tuple[Fraction, ...]
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Distance from 1.0 to the next number."""


class Table(Mapping[tuple[int, ...], Row]):
    """A model of small vocabulary: context -> next-token law; contexts that are not listed have ``otherwise``."""

    def __init__(self, rows: Mapping[tuple[int, ...], Row], otherwise: Row) -> None:
        self._rows, self.otherwise = dict(rows), otherwise

    def __getitem__(self, context: tuple[int, ...]) -> Row:
        return self._rows.get(context, self.otherwise)

    def __call__(self, context: tuple[int, ...]) -> Row:
        return self[context]

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Table({self._rows!r}, {self.otherwise!r})"


@dataclass(frozen=True)
class Instance:
    """A pair of models and the drafts that are drawn from one of them.

    Attributes
    ----------
    name : what is special about it.
    kind : "node", "chain", "tree" or "batch" (two chains at once).
    target, draft : next-token laws by context, fractions.
    parents : parent of each drafted token, -1 for the root; a node has n times -1, a chain -1, 0, 1, ...
    drafts : the draft law of the children of a node, a name of `specmath.draft_laws`.
    mate : the second row of a batch, None else.
    """

    name: str
    kind: Kind
    target: Table
    draft: Table
    parents: tuple[int, ...]
    drafts: str = "iid"
    mate: Instance | None = None

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return len(self.target.otherwise)

    @property
    def n(self) -> int:
        """Number of drafted tokens."""
        return len(self.parents)

    @property
    def depth(self) -> int:
        """Drafted tokens on the longest path: the depth of a chain, 1 for a node."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(1 if parent < 0 else depths[parent] + 1)
        return max(depths)

    @property
    def length(self) -> int:
        """The most tokens that a round emits: 1 at a node, else one more than the depth."""
        return 1 if self.kind == "node" else self.depth + 1

    @property
    def rows(self) -> tuple[Instance, ...]:
        """The instances of a batch's rows; itself for any other kind."""
        return (self,) if self.mate is None else (self, self.mate)

    def contexts(self) -> list[tuple[int, ...]]:
        """All contexts that a round can meet, shortest first."""
        tokens = range(self.vocabulary)
        return [context for length in range(self.length) for context in product(tokens, repeat=length)]


def fractions(*parts: int) -> Row:
    """Parts over their sum.

    >>> fractions(1, 3)
    (Fraction(1, 4), Fraction(3, 4))
    """
    return tuple(Fraction(part, sum(parts)) for part in parts)


# (name, rows of the target, rows of the draft): a context takes one of each, over their sums. Most are multiples of
# 1/64 and the same numbers in every dtype; sevenths and ninths are rounded, differently in each.
_PAIRS: tuple[tuple[str, tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]], ...] = (
    ("two tokens", ((1, 3), (5, 3)), ((3, 1), (1, 1))),
    ("two tokens, one impossible", ((1, 0), (0, 1)), ((1, 1), (1, 3))),
    ("three tokens", ((4, 3, 2), (1, 5, 1), (3, 1, 3)), ((1, 2, 4), (2, 2, 5), (6, 1, 2))),
    ("equal laws", ((4, 2, 2), (1, 6, 1)), ((4, 2, 2), (1, 6, 1))),
    ("target zeros", ((4, 0, 4), (0, 8, 0), (2, 6, 0)), ((2, 4, 2), (2, 2, 4), (1, 3, 4))),
    ("draft zeros", ((2, 2, 4), (3, 4, 1)), ((8, 0, 0), (0, 4, 4), (4, 4, 0))),
    ("disjoint supports", ((4, 4, 0, 0), (0, 2, 6, 0)), ((0, 0, 4, 4), (4, 0, 0, 4))),
    ("ties", ((2, 2, 2, 2), (4, 4, 0, 0)), ((4, 2, 1, 1), (2, 2, 2, 2))),
    ("residual of two tokens", ((8, 4, 3, 1), (1, 3, 4, 8)), ((2, 2, 6, 6), (6, 6, 2, 2))),
    ("residual of three tokens", ((1, 5, 5, 5), (5, 5, 1, 5)), ((13, 1, 1, 1), (1, 1, 13, 1))),
    ("point target", ((8, 0, 0, 0), (0, 0, 8, 0)), ((2, 2, 2, 2), (1, 1, 2, 4))),
    ("point draft", ((2, 3, 1, 2), (1, 1, 3, 3)), ((0, 8, 0, 0), (8, 0, 0, 0))),
    ("rare draft", ((16, 16, 16, 16), (40, 8, 8, 8)), ((61, 1, 1, 1), (1, 1, 1, 61))),
    ("rare target", ((61, 1, 1, 1), (1, 1, 1, 61)), ((16, 16, 16, 16), (8, 8, 8, 40))),
    ("mostly accepted", ((20, 20, 16, 8), (9, 17, 19, 19)), ((18, 22, 16, 8), (10, 16, 18, 20))),
    ("mostly rejected", ((60, 2, 1, 1), (1, 2, 1, 60)), ((1, 1, 2, 60), (60, 1, 1, 2))),
    ("second tests that fail", ((9, 5, 1, 1), (1, 1, 5, 9)), ((4, 4, 4, 4), (3, 4, 4, 5))),
    ("crossed", ((7, 5, 3, 1), (1, 3, 5, 7)), ((1, 3, 5, 7), (7, 5, 3, 1))),
    ("zero on both sides", ((5, 0, 3, 0), (0, 4, 0, 4)), ((3, 0, 5, 0), (0, 2, 0, 6))),
    ("sevenths and ninths", ((3, 1, 2, 1), (1, 4, 2, 2), (2, 1, 1, 3)), ((2, 2, 2, 3), (1, 3, 1, 2), (4, 1, 3, 1))),
    ("mixed", ((4, 0, 2, 2), (1, 1, 0, 6), (3, 3, 1, 1)), ((1, 5, 1, 1), (4, 2, 2, 0), (2, 2, 2, 2))),
)


def table(rows: tuple[Row, ...], vocabulary: int, length: int) -> Table:
    """A model whose context takes one of ``rows``, neighbouring contexts different ones."""
    return Table(
        {
            context: rows[(len(context) + sum(context) + context[-1] * len(context) if context else 0) % len(rows)]
            for depth in range(length)
            for context in product(range(vocabulary), repeat=depth)
        },
        rows[0],
    )


SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "node": ((-1, -1), (-1, -1, -1), (-1,)),
    "chain": ((-1, 0, 1), (-1, 0)),
    "tree": ((-1, -1, 0), (-1, 0, 0), (-1, -1, 0, 0)),
    "batch": ((-1,), (-1, 0)),
}
"""Parents by kind; every instance takes one of them, in turn."""


def standard(kind: Kind, *, drafts: str = "iid", dtype: str = "float32", n: int | None = None) -> tuple[Instance, ...]:
    """The standard instances of a kind, the same on every machine, small ones first.

    ``drafts`` is the draft law at every node; instances whose draft laws it cannot draw from are left out. ``dtype`` is
    what laws are handed over in: one instance has laws that differ in its last bit. ``n`` fixes the number of
    candidates at a node, or the depth of a chain or of the chains of a batch. Raises ValueError for unknown names, and
    where no instance is left.

    >>> len(standard("chain")), standard("chain")[0].parents, standard("node", n=2)[0].parents
    (22, (-1, 0, 1), (-1, -1))
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; allowed are {', '.join(map(repr, KINDS))}")
    if dtype not in EPS:
        raise ValueError(f"dtype is {dtype!r}; allowed are {', '.join(map(repr, EPS))}")
    law = draft_laws.get(drafts)
    if n is not None and (n < 1 or kind == "tree"):
        raise ValueError(f"n is {n}; allowed are whole numbers >= 1 for nodes, chains and batches")
    shapes = SHAPES[kind]
    if n is not None:
        shapes = ((-1,) * n if kind == "node" else tuple(range(-1, n - 1)),)
    found = []
    pairs = _PAIRS if kind != "node" else tuple(_single())
    for number, (name, targets, draft_rows) in enumerate(pairs):
        parents = shapes[number % len(shapes)]
        one = _instance(
            name, kind, parents, drafts, [fractions(*r) for r in targets], [fractions(*r) for r in draft_rows]
        )
        if kind == "batch":
            if one.vocabulary > 3:  # two rows at once have the product of the paths
                continue
            alike = [pair for pair in _PAIRS if len(pair[1][0]) == one.vocabulary and pair[0] != name]
            _, targets, draft_rows = alike[number % len(alike)]
            mate = _instance(
                name, kind, parents, drafts, [fractions(*r) for r in targets], [fractions(*r) for r in draft_rows]
            )
            one = Instance(name, kind, one.target, one.draft, parents, drafts, mate)
        found.append(one)
    last = Fraction(EPS[dtype]) / 8
    near = (Fraction(1, 4) - last, Fraction(1, 4), Fraction(1, 2))
    if kind != "batch":
        found.append(_instance("equal up to the last bit", kind, shapes[0], drafts, [near], [fractions(1, 1, 2)]))
    found = [one for one in found if not any(law.needs(*need) for need in _needs(one))]
    if not found:
        raise ValueError(f"n is {n}: no standard instance can be drawn with drafts={drafts!r}")
    return tuple(found)


def _single() -> Iterator[Any]:
    """The pairs of single rows: all that a node sees."""
    for name, targets, draft_rows in _PAIRS:
        for i in range(max(len(targets), len(draft_rows))):
            yield name, (targets[i % len(targets)],), (draft_rows[i % len(draft_rows)],)


def _instance(name: str, kind: Kind, parents: tuple[int, ...], drafts: str, t: list[Row], d: list[Row]) -> Instance:
    vocabulary, deepest = len(t[0]), 2 if kind == "node" else len(parents) + 1
    return Instance(
        name, kind, table(tuple(t), vocabulary, deepest), table(tuple(d), vocabulary, deepest), parents, drafts
    )


def _support(row: Row) -> int:
    return sum(probability > 0 for probability in row)


def _needs(instance: Instance) -> set[tuple[int, int]]:
    """(children, tokens of positive draft probability) of every node that a round may draft below."""
    widths = {instance.parents.count(parent) for parent in instance.parents}
    rows = [row for part in instance.rows for row in (*part.draft.values(), part.draft.otherwise)]
    return {(width, _support(row)) for width in widths for row in rows}
