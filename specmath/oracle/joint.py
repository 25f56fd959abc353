"""The joint law of drawing drafts, verifying them and going on, against the law of the target's own text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from specmath import exact
from specmath.oracle.draws import UnsupportedRandomness
from specmath.oracle.grid import NUMPY, TORCH
from specmath.oracle.instance import Instance, Table
from specmath.oracle.kinds import Call, Raised, Tokens, uniforms_shape
from specmath.oracle.run import DEFAULT_BUDGET, exploration
from specmath.rules.laws import drafted

Rows = tuple[Tokens, ...]


@dataclass
class Joint:
    """What one instance showed.

    Attributes
    ----------
    instance : the instance.
    emitted : emitted tokens (a tuple of rows) -> probability, over drafts and verification.
    raised : outcome -> probability, of runs that raised or returned something that is no outcome.
    total_variation : of the completed texts from the target's, rows jointly; runs that raised count as lost.
    cells : the texts whose probabilities differ, under the target and as found, most different first.
    impossible : emitted tokens of target probability zero -> probability.
    outside : emitted numbers that are no token of the vocabulary -> probability.
    mates : how far the rows of a batch are from independent: the largest total variation between laws of one row beside
        different mates, and between the joint law and the product of the rows' laws.
    mutated : names of inputs that were changed.
    calls, coarsest, reseeded, seeded : as of `Draws`, over all drafts.
    runs : how often the function was run.
    """

    instance: Instance
    emitted: dict[Rows, float] = field(default_factory=dict)
    raised: dict[Raised, float] = field(default_factory=dict)
    total_variation: float = 0.0
    cells: list[tuple[Rows, float, float]] = field(default_factory=list)
    impossible: dict[Rows, float] = field(default_factory=dict)
    outside: dict[Rows, float] = field(default_factory=dict)
    mates: float = 0.0
    mutated: dict[str, None] = field(default_factory=dict)
    calls: dict[str, None] = field(default_factory=dict)
    coarsest: Fraction = Fraction(0)
    reseeded: dict[str, None] = field(default_factory=dict)
    seeded: dict[str, None] = field(default_factory=dict)
    runs: int = 0


def joint(
    call: Call, instance: Instance, *, target: Table | None = None, budget: int = DEFAULT_BUDGET, generator: Any = None
) -> Joint:
    """Explore the function on every draft of an instance, and compare with ``target`` (default: the instance's).

    A function that takes its uniforms as an argument and does with them what cannot be followed, as a compiled kernel
    does, is explored by the breakpoints of its uniforms (`law_of_arguments`).
    """
    found = Joint(instance)
    laws: list[tuple[Rows, Any, exact.Law]] = []
    try:
        laws = list(_followed(call, found, budget, generator))
        opaque = any(isinstance(outcome, Raised) for _, _, law in laws for outcome in law)
    except UnsupportedRandomness:
        if not _scriptable(call):
            raise
        opaque = True
    if opaque and _scriptable(call):  # it may have asked for the memory of its uniforms
        found = Joint(instance)
        laws = list(_by_breakpoints(call, found, budget))
    parts: dict[Any, list[float]] = {}
    alone: dict[tuple[int, Tokens], exact.Law] = {}
    for tokens, probability, law in laws:
        for outcome, share in law.items():
            parts.setdefault(outcome, []).append(float(probability * share))
        if instance.kind == "batch":
            _beside(found, alone, tokens, law)
    for outcome, shares in parts.items():
        if isinstance(outcome, Raised):
            found.raised[outcome] = math.fsum(shares)
        else:
            rows = outcome if instance.kind == "batch" else (outcome,)
            found.emitted[rows] = math.fsum(shares)
    compare(found, [row.target for row in instance.rows] if target is None else [target])
    return found


def _scriptable(call: Call) -> bool:
    return "uniforms" in call.extra and call.arrays != "jax"


def _followed(call: Call, found: Joint, budget: int, generator: Any) -> Iterator[tuple[Rows, Any, exact.Law]]:
    """Drafted tokens, their probability, and the law of what is emitted, all randomness intercepted."""
    instance = found.instance
    generators = () if generator is None else (generator,)
    with exploration(call.arrays, generators=generators, function=call.function) as explored:
        draws = explored.draws
        for tokens, probability in _drafts(instance):
            kept = call.inputs(instance, tokens)
            law = explored.law(
                lambda draws, kept=kept: call.run(draws, instance, kept, generator, found.mutated),
                max(budget - found.runs, 1),
                failed=lambda outcome: isinstance(outcome, Raised) and outcome.check == "returns",
            )
            found.runs += law.paths
            yield tokens, probability, law
    found.calls, found.coarsest = draws.calls, draws.coarsest
    found.reseeded, found.seeded = draws.reseeded, draws.seeded


def _by_breakpoints(call: Call, found: Joint, budget: int) -> Iterator[tuple[Rows, Any, exact.Law]]:
    """The same for a function of its uniforms, which are scripted."""
    from specmath.oracle.uniforms_in import law_of_arguments

    instance = found.instance
    found.calls["uniforms, by breakpoints"] = None
    grid = (TORCH if call.arrays == "torch" else NUMPY).get(call.dtype)
    if grid is None:
        raise UnsupportedRandomness(f"uniforms of dtype {call.dtype} as an argument")
    found.coarsest = grid.zero
    for tokens, probability in _drafts(instance):
        kept = call.inputs(instance, tokens)

        def scripted(uniforms: Any, kept: tuple[Any, ...] = kept) -> Any:
            found.runs += 1
            return call.scripted(instance, kept, uniforms, found.mutated)

        try:
            law = law_of_arguments(
                scripted,
                uniforms={"uniforms": uniforms_shape(instance)},
                arrays=call.arrays,
                dtype=call.dtype,
                budget=budget,
            )
        except exact.UnresolvedError as error:
            raise UnsupportedRandomness(f"uniforms as an argument: {error}") from error
        yield tokens, probability, law


def _beside(found: Joint, alone: dict[tuple[int, Tokens], exact.Law], tokens: Rows, law: exact.Law) -> None:
    """Hold the law of each row of a batch against that of the same drafts beside another mate."""
    for i, row in enumerate(tokens):
        mine = law.map(lambda outcome, i=i: outcome if isinstance(outcome, Raised) else outcome[i])
        known = alone.setdefault((i, row), mine)
        found.mates = max(found.mates, float(mine.total_variation(known)))


def first_drafts(instance: Instance) -> Rows:
    """The drafted tokens that come first."""
    return next(_drafts(instance))[0]


def _drafts(instance: Instance) -> Iterator[tuple[Rows, Any]]:
    """Drafted tokens of every row, and their probability."""
    laws = []
    for row in instance.rows:
        law = exact.law(lambda chance, row=row: drafted(chance, row.draft, row.parents, row.drafts)[0])
        laws.append(list(law.items()))
    for one in itertools.product(*laws):
        yield tuple(tokens for tokens, _ in one), math.prod((p for _, p in one), start=Fraction(1))


def compare(found: Joint, targets: list[Table]) -> None:
    """Total variation, worst cell and impossible tokens, from the emitted law."""
    instance = found.instance
    known: dict[Rows, float] = {}
    for rows, probability in found.emitted.items():
        inside = [all(0 <= token < instance.vocabulary for token in row) for row in rows]
        if not all(inside):
            found.outside[rows] = probability
            continue
        known[rows] = probability
        if any(
            not target[row[:i]][token] for row, target in zip(rows, targets, strict=True) for i, token in enumerate(row)
        ):
            found.impossible[rows] = probability
    tables = [_floats(target) for target in targets]
    lost = math.fsum([*found.raised.values(), *found.outside.values()])
    differences: list[float] = []
    for cell, expected, actual in _cells(found, known, tables):
        if expected != actual:
            differences.append(abs(expected - actual))
            found.cells.append((cell, expected, actual))
    found.cells.sort(key=lambda cell: (-abs(cell[1] - cell[2]), cell[0]))
    found.total_variation = (math.fsum(differences) + lost) / 2


def _cells(found: Joint, known: Mapping[Rows, float], tables: list[Any]) -> Iterator[tuple[Rows, float, float]]:
    """(text, probability under the target, probability as found) for every text of full length."""
    instance = found.instance
    if len(tables) == 1:
        (table,) = tables
        prefixes = {row[:i] for (row,) in known for i in range(len(row))}
        emitted = {row: probability for (row,), probability in known.items()}
        todo: list[tuple[Tokens, float, float]] = [((), 1.0, 0.0)]
        while todo:
            text, expected, actual = todo.pop()
            # Below a text that no round exceeds both sides go on with the target: one cell stands for all.
            if len(text) == instance.length or text not in prefixes:
                yield (text,), expected, actual
                continue
            for token, share in enumerate(table(text)):
                longer = (*text, token)
                todo.append((longer, expected * share, actual * share + emitted.get(longer, 0.0)))
        return
    shares: dict[Rows, list[float]] = {}
    for rows, probability in known.items():
        laws = [list(_texts(table, instance.length, row)) for table, row in zip(tables, rows, strict=True)]
        for one in itertools.product(*laws):
            cell = tuple(text for text, _ in one)
            shares.setdefault(cell, []).append(probability * math.prod(p for _, p in one))
    laws = [list(_texts(table, instance.length, ())) for table in tables]
    expected = {tuple(text for text, _ in one): math.prod(p for _, p in one) for one in itertools.product(*laws)}
    found.mates = max(found.mates, _dependence(shares))
    for cell in {**expected, **shares}:
        yield cell, expected.get(cell, 0.0), math.fsum(shares.get(cell, ()))


def _dependence(law: Mapping[Rows, list[float]]) -> float:
    """Total variation between a joint law of rows and the product of its rows' laws."""
    rows: list[dict[Tokens, float]] = [{}, {}]
    for cell, shares in law.items():
        for row, text in zip(rows, cell, strict=True):
            row[text] = row.get(text, 0.0) + math.fsum(shares)
    one, other = rows
    pairs = itertools.product(one, other)
    return math.fsum(abs(math.fsum(law.get(pair, ())) - one[pair[0]] * other[pair[1]]) for pair in pairs) / 2


def _texts(table: Any, length: int, start: Tokens) -> Iterator[tuple[Tokens, float]]:
    """Texts that begin with ``start``, completed by the target."""
    todo = [(start, 1.0)]
    while todo:
        text, probability = todo.pop()
        if len(text) == length:
            yield text, probability
            continue
        todo += [((*text, token), probability * share) for token, share in enumerate(table(text)) if share]


def _floats(table: Table) -> Any:
    """The model with float rows, each converted once."""
    rows: dict[Tokens, tuple[float, ...]] = {}

    def row(context: Tokens) -> tuple[float, ...]:
        if context not in rows:
            rows[context] = tuple(map(float, table[context]))
        return rows[context]

    return row
