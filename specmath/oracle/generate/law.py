"""The exact law of what a generate call returns, and how it stands to the target's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from specmath.exact import BudgetError, Law
from specmath.oracle.draws import Draws, UnsupportedRandomness
from specmath.oracle.kinds import Raised, raised, shown
from specmath.oracle.prompted import Prompted, Text
from specmath.oracle.reach import Held
from specmath.oracle.run import Exploration, Open, entries, exploration

Rows = tuple[Text, ...]
Law_ = dict[Rows, float]
REPEATS = 2
"""How often the first path is run again after all others."""


class Remembers(RuntimeError):
    """The same random numbers led to something else in another call."""


class OutOfBudget(RuntimeError):
    """More runs than allowed; ``covered`` is the probability of the paths that were run."""

    def __init__(self, covered: float, choices: int) -> None:
        super().__init__()
        self.covered, self.choices = covered, choices


@dataclass
class Found:
    """What one instance showed.

    Attributes
    ----------
    instance : the instance.
    expected : law of the target's texts, a tuple of rows each.
    texts : returned texts -> probability.
    raised : outcome -> probability, of runs that raised or returned no tokens.
    total_variation : between both; runs that raised count as lost.
    cells : texts whose probabilities differ, expected and found, most different first.
    models : whether the function holds models of torch.
    changed, remembered : their weights and settings that calls have changed.
    calls, coarsest, reseeded, seeded : as of `Draws`.
    runs : how often the function was run.
    """

    instance: Prompted
    expected: Law_
    texts: Law_ = field(default_factory=dict)
    raised: dict[Raised, float] = field(default_factory=dict)
    total_variation: float = 0.0
    cells: list[tuple[Rows, float, float]] = field(default_factory=list)
    models: bool = False
    changed: tuple[str, ...] = ()
    remembered: tuple[str, ...] = ()
    calls: dict[str, None] = field(default_factory=dict)
    coarsest: Fraction = Fraction(0)
    reseeded: dict[str, None] = field(default_factory=dict)
    seeded: dict[str, None] = field(default_factory=dict)
    runs: int = 0

    @property
    def impossible(self) -> Law_:
        """Texts of tokens of the vocabulary, as long as they should be, that the target cannot write."""
        return {rows: p for rows, p in self.texts.items() if rows not in self.expected and self._whole(rows)}

    @property
    def outside(self) -> Law_:
        """Texts with numbers that are no tokens."""
        size = self.instance.vocabulary
        return {rows: p for rows, p in self.texts.items() if any(not 0 <= x < size for row in rows for x in row)}

    @property
    def wrong_length(self) -> Law_:
        """Texts that are longer than asked for, or shorter without a stop token."""
        return {rows: p for rows, p in self.texts.items() if any(not self._length(row) for row in rows)}

    @property
    def after_stop(self) -> Law_:
        """Texts that go on after their stop token."""
        stop = self.instance.stop
        return {rows: p for rows, p in self.texts.items() if any(stop in row[:-1] for row in rows)}

    def _length(self, row: Text) -> bool:
        wanted = self.instance.length
        return len(row) == wanted or (len(row) < wanted and self.instance.stop in row)

    def _whole(self, rows: Rows) -> bool:
        inside = all(0 <= x < self.instance.vocabulary for row in rows for x in row)
        stop = self.instance.stop
        return inside and all(self._length(row) and stop not in row[:-1] for row in rows)


def explore(
    call: Callable[[], Any],
    found: Found,
    *,
    arrays: str,
    held: Held,
    functions: tuple[Any, ...],
    budget: int,
    several: bool,
    told: Callable[[float], None],
) -> None:
    """Run ``call`` along every outcome of its random calls, and compare with ``found.expected``.

    ``told`` is called with the probability of the paths that were run. Raises `Remembers`, `OutOfBudget` and
    `UnsupportedRandomness`.
    """
    covered, first = [0.0], []

    def run(draws: Draws) -> Any:
        found.runs += 1
        held.restart()
        try:
            outcome = read(entries(call()), found.instance, several)
        except UnsupportedRandomness:
            raise
        except (Exception, SystemExit) as error:
            outcome = raised(error)
        if not draws.again:
            covered[0] += float(draws.explorer.probability)
            told(min(covered[0], 1.0))
        first.append((repr(outcome), draws.explorer.probability))  # open tokens have other numbers each time
        del first[1:]
        return outcome

    with exploration(arrays, generators=held.generators, function=functions[0]) as explored:
        draws = explored.draws
        law = _law(explored, run, budget, covered, draws)
        before = first[0]
        for _ in range(REPEATS):
            first.clear()
            _again(explored, run)
            if first[0] != before:
                raise Remembers(f"the same random numbers gave {before[0][:80]}, and later {first[0][0][:80]}")
    held.restart()
    found.calls, found.coarsest = draws.calls, draws.coarsest
    found.reseeded, found.seeded = draws.reseeded, draws.seeded
    found.models = bool(held.modules)
    found.changed, found.remembered = tuple(held.changed()), tuple(held.remembered)
    parts: dict[Any, list[float]] = {}
    for outcome, share in law.items():
        parts.setdefault(outcome, []).append(float(share))
    for outcome, shares in parts.items():
        if isinstance(outcome, Raised):
            found.raised[outcome] = math.fsum(shares)
        else:
            found.texts[outcome] = math.fsum(shares)
    compare(found)


def _law(explored: Exploration, run: Callable[[Draws], Any], budget: int, covered: list[float], draws: Draws) -> Law:
    try:
        return explored.law(run, budget, failed=lambda outcome: isinstance(outcome, Raised))
    except BudgetError:
        raise OutOfBudget(covered[0], draws.choices) from None
    except UnsupportedRandomness as error:
        if "not a function of its" in str(error):
            raise Remembers(str(error)) from error
        raise
    except RuntimeError as error:  # a replay that ended early, or probabilities that do not sum to one
        raise Remembers(str(error)) from error


def _again(explored: Exploration, run: Callable[[Draws], Any]) -> None:
    """The first path once more."""
    try:
        explored.law(run, 1)
    except BudgetError:
        pass
    except RuntimeError as error:
        raise Remembers(str(error)) from error


def compare(found: Found) -> None:
    """Fill in total variation and cells."""
    every = {**dict.fromkeys(found.expected), **dict.fromkeys(found.texts)}
    cells = [(rows, found.expected.get(rows, 0.0), found.texts.get(rows, 0.0)) for rows in every]
    lost = math.fsum(found.raised.values())
    found.total_variation = (math.fsum(abs(e - f) for _, e, f in cells) + lost) / 2
    found.cells = sorted(cells, key=lambda cell: -abs(cell[1] - cell[2]))


def read(value: Any, instance: Prompted, several: bool) -> Any:
    """Rows of new tokens from a result as `entries` gives it, `Open` among them; `Raised` says what is wrong."""
    if not several:
        while isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], tuple):
            value = value[0]  # (1, T)
        value = (value,)
    wanted = len(instance.prompts)
    if not isinstance(value, tuple) or len(value) != wanted:
        return Raised("shape", f"returned {shown(value)}; expected one row of tokens for each of {wanted} prompts")
    rows = []
    for row in value:
        if not isinstance(row, tuple) or not all(_token(x) for x in row):
            return Raised("shape", f"returned {shown(row)}; expected new tokens, a list or an array (T,)")
        end = len(row)
        while end and row[end - 1] == -1:
            end -= 1
        rows.append(row[:end])
    return tuple(rows)


def _token(value: Any) -> bool:
    return isinstance(value, Open) or (isinstance(value, int) and not isinstance(value, bool))
