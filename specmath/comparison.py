"""Every rule against the optimum over many contexts: mean acceptance, gap, and intervals over the contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from specmath import draft_laws, rules
from specmath.rules import acceptance
from specmath.transport import optimum

OPTIMUM = "optimum"
"""Name of the optimum among the rules."""

LEVEL = 0.95

ENTRIES, ROWS = 2**17, 256
"""Most entries of one law array, and most contexts, of a granule; see `granule`."""

ON_REQUEST = {
    ("optimal", "without_replacement"): "is solved by iteration, some 0.1 s a context and seconds at worst "
    "(survey: make bench-priority); it is computed when asked for"
}
"""(rule, draft law) that a plan holds only when the rule is named, and why."""

_ROUNDING = 1e-9  # a mean of probabilities may leave [0, 1] by rounding, never by more


@dataclass(frozen=True)
class Row:
    """One rule at one number of drafts, over all contexts.

    Attributes
    ----------
    rule, drafts, n : what was computed; the optimum, which bounds every rule, is the row "optimum".
    acceptance : mean over contexts of P(the emitted token is one of the n drafted ones).
    low, high : 95 % interval of that mean, Student t over contexts, clipped to [0, 1]; None for a single context.
    gap : the optimum's mean minus this one.
    gap_low, gap_high : 95 % interval of the gap, from the contexts' own differences; None for a single context.
    method : "formula" (exact up to rounding) or "monte-carlo".
    monte_carlo_error : standard error of ``acceptance`` for these very contexts, 0 for a formula.
    contexts : how many contexts were averaged.
    """

    rule: str
    drafts: str
    n: int
    acceptance: float
    low: float | None
    high: float | None
    gap: float
    gap_low: float | None
    gap_high: float | None
    method: str
    monte_carlo_error: float
    contexts: int


@dataclass(frozen=True)
class Part:
    """The numbers of consecutive contexts, one line per job of a plan.

    Attributes
    ----------
    first : how many contexts come before.
    values : acceptance, shape (jobs, contexts).
    estimated : whether a job was estimated by Monte Carlo, shape (jobs,).
    errors : standard errors of the estimated jobs, shape (estimated jobs, contexts).
    correction : largest |sum - 1| of the laws before they were scaled, as the reader of the laws found it.
    """

    first: int
    values: np.ndarray[Any, Any]
    estimated: np.ndarray[Any, Any]
    errors: np.ndarray[Any, Any]
    correction: float = 0.0

    @property
    def stop(self) -> int:
        """First context after the part."""
        return self.first + self.values.shape[1]


@dataclass(frozen=True)
class Skipped:
    """A rule without a row: named and unable to verify these drafts, or not named and computed on request only.

    As "optimum": no row at all for a number of drafts that was not asked for and that the draft law cannot draw.
    """

    rule: str
    drafts: str
    n: int
    reason: str


@dataclass(frozen=True)
class Plan:
    """What will be computed: (drafts, n, rule) in the order of the rows, and what cannot be."""

    jobs: tuple[tuple[str, int, str], ...]
    skipped: tuple[Skipped, ...]


COUNTS = (1, 2, 4, 8)
"""Numbers of drafts of a plan that is asked for none."""


def plan(
    n: Sequence[int] | None, drafts: Sequence[str], only: Sequence[str] | None = None, *, vocabulary: int = 2**62
) -> Plan:
    """The rows for these numbers of drafts and draft laws: the optimum, then every node rule that verifies the drafts.

    With ``n`` None the numbers are those of `COUNTS` that the draft law can draw from so large a vocabulary; the others
    are listed as skipped optima. ``only`` restricts the rules to some names; those that cannot verify some of the
    drafts are listed as skipped. Without it the pairs of `ON_REQUEST` are skipped.
    Raises ValueError for unknown names, n < 1, a draft law that is not defined for an n whatever the draft, and a rule
    in ``only`` that verifies none of the drafts.

    >>> plan([1], ["iid"], ["single"]).jobs
    (('iid', 1, 'optimum'), ('iid', 1, 'single'))
    """
    allowed = (*rules.names("node"), OPTIMUM)
    for name in only or ():
        if name not in allowed:
            raise ValueError(f"rule is {name!r}; allowed are {', '.join(map(repr, allowed))}")
    wanted = [name for name in rules.names("node") if only is None or name in only]
    jobs: list[tuple[str, int, str]] = []
    skipped: list[Skipped] = []
    left_out: list[Skipped] = []
    undrawn: list[Skipped] = []
    for law in map(draft_laws.get, dict.fromkeys(drafts)):
        missing = _undrawn(law, vocabulary) if n is None else {}
        undrawn += missing.values()
        for count in dict.fromkeys(COUNTS if n is None else n):
            if count in missing:
                continue
            law.check(count, 2**62)  # a draft without end: what still fails is no matter of support
            jobs.append((law.name, count, OPTIMUM))
            for name in wanted:
                try:
                    rules.get(name).supported(count, law.name)
                except ValueError as error:
                    skipped.append(Skipped(name, law.name, count, str(error)))
                    continue
                if only is None and (name, law.name) in ON_REQUEST:
                    left_out.append(Skipped(name, law.name, count, ON_REQUEST[name, law.name]))
                else:
                    jobs.append((law.name, count, name))
    if only is None:
        return Plan(tuple(jobs), (*undrawn, *left_out))
    for name in wanted:
        if not any(name == job[2] for job in jobs):
            raise ValueError(next(entry.reason for entry in skipped if entry.rule == name))
    return Plan(tuple(jobs), (*undrawn, *skipped))


def _undrawn(law: draft_laws.DraftLaw, vocabulary: int) -> dict[int, Skipped]:
    problems = {count: law.needs(count, vocabulary) for count in COUNTS}
    if all(problems.values()):
        raise ValueError(f"none of the default n, {', '.join(map(str, COUNTS))}, can be drawn from {vocabulary} tokens "
                         f"by drafts={law.name!r}")  # fmt: skip
    return {
        count: Skipped(OPTIMUM, law.name, count, f"drafts={law.name!r} {why}") for count, why in problems.items() if why
    }


def granule(vocabulary: int) -> int:
    """Contexts that are computed together: as many as fit into `ENTRIES`, at least 1 and at most `ROWS`.

    A number may depend on its neighbours in the last bit, and draws are made for a granule at once. Granules lie at
    multiples of this number from the first context on, whatever the blocks, chunks or workers: so no result depends on
    how the work was cut.

    >>> granule(128_000), granule(1000), granule(50)
    (1, 131, 256)
    """
    return max(1, min(ROWS, ENTRIES // vocabulary))


def compare(
    blocks: Iterable[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]],
    todo: Plan,
    *,
    seed: int = 0,
    replicates: int = 256,
) -> tuple[Row, ...]:
    """Mean acceptance of every rule in the plan over all contexts, which come in blocks of laws (contexts, V).

    How the contexts are cut into blocks does not matter. Memory holds two blocks, one granule and one number per
    context and row. Where no formula is known, `specmath.acceptance` estimates with ``replicates`` draws per context;
    the first granule uses ``seed`` itself and every later one a seed derived from it and the number of contexts before,
    so that contexts never share their draws. Raises ValueError when a context's draft has too few possible tokens for
    the drafts, naming it, and when there are no contexts.

    >>> laws = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> [(row.rule, row.acceptance) for row in compare([laws], plan([1], ["iid"], ["single"]))]
    [('optimum', 0.75), ('single', 0.75)]
    """
    parts = [
        measure(first, target, draft, todo, seed=seed, replicates=replicates)
        for first, target, draft in _granules(blocks)
    ]
    return summary(todo, parts)


def measure(
    first: int,
    target: np.ndarray[Any, Any],
    draft: np.ndarray[Any, Any],
    todo: Plan,
    *,
    seed: int = 0,
    replicates: int = 256,
    step: Callable[[], object] = lambda: None,
) -> Part:
    """Every job of the plan on the laws (contexts, V) of one granule, whose first context has the number ``first``.

    ``step`` is called after each job. Raises ValueError as `compare` does.

    >>> laws = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> measure(0, *laws, plan([1], ["iid"], ["single"])).values.tolist()
    [[0.75], [0.75]]
    """
    support = (draft > 0).sum(axis=-1)
    for drafts, n in dict.fromkeys(job[:2] for job in todo.jobs):
        law = draft_laws.get(drafts)
        problems = {int(size): law.needs(n, int(size)) for size in np.unique(support)}
        for context, size in enumerate(support):
            if problems[int(size)]:
                raise ValueError(f"context {first + context}: n is {n}: drafts={drafts!r} {problems[int(size)]}")
    own = seed if first == 0 else int(np.random.SeedSequence([seed, first]).generate_state(1, np.uint64)[0])
    values, estimated, errors = [], [], []
    for drafts, n, rule in todo.jobs:
        if rule == OPTIMUM:
            values.append(np.asarray(optimum(target, draft, n, drafts).acceptance))
            estimated.append(False)
        else:
            result = acceptance(rule, target, draft, n, drafts, seed=own, replicates=replicates)
            values.append(np.asarray(result.values))
            estimated.append(result.method != "formula")
            if estimated[-1]:
                errors.append(np.asarray(result.standard_error))
        step()
    shape = len(errors), len(target)
    return Part(first, np.array(values), np.array(estimated), np.array(errors, dtype=np.float64).reshape(shape))


def joined(parts: Sequence[Part]) -> Part:
    """One part from those that follow each other without a gap; ValueError for others, or none.

    >>> one, other = (Part(i, np.array([[i / 2]]), np.array([False]), np.zeros((0, 1))) for i in (0, 1))
    >>> joined([other, one]).values.tolist()
    [[0.0, 0.5]]
    """
    ordered = sorted(parts, key=lambda part: part.first)
    if not ordered:
        raise ValueError("there are no contexts; at least one is needed")
    for one, other in pairwise(ordered):
        if one.stop != other.first or not np.array_equal(one.estimated, other.estimated):
            raise ValueError(f"contexts {one.first} to {one.stop - 1} are followed by context {other.first}")
    return Part(
        ordered[0].first,
        np.concatenate([part.values for part in ordered], axis=1),
        ordered[0].estimated,
        np.concatenate([part.errors for part in ordered], axis=1),
        max(part.correction for part in ordered),
    )


def summary(todo: Plan, parts: Sequence[Part]) -> tuple[Row, ...]:
    """The rows of the plan from the parts of all contexts, in any order."""
    whole = joined(parts)
    best: dict[tuple[str, int], np.ndarray] = {}
    rows = []
    errors = iter(whole.errors)
    for (drafts, n, rule), values, estimated in zip(todo.jobs, whole.values, whole.estimated, strict=True):
        best.setdefault((drafts, n), values)  # the optimum is the first job of its drafts
        error = next(errors) if estimated else np.zeros(1)
        method = "monte-carlo" if estimated else "formula"
        rows.append(_row(rule, drafts, n, values, best[drafts, n], error, method))
    return tuple(rows)


def _granules(
    blocks: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(contexts before, target, draft) of each granule, whatever the blocks."""
    first = 0
    target = draft = np.empty((0, 0))
    for more_target, more_draft in blocks:
        held = len(target) > 0
        target = np.concatenate([target, more_target]) if held else more_target
        draft = np.concatenate([draft, more_draft]) if held else more_draft
        size = granule(target.shape[-1])
        while len(target) >= size:
            yield first, target[:size], draft[:size]
            first += size
            target, draft = target[size:], draft[size:]
    if len(target):
        yield first, target, draft


def _row(rule: str, drafts: str, n: int, values: np.ndarray, best: np.ndarray, errors: np.ndarray, method: str) -> Row:
    low, mean, high = interval(values)
    gap_low, gap, gap_high = interval(best - values)
    if not -_ROUNDING <= mean <= 1 + _ROUNDING:
        raise ArithmeticError(f"rule {rule!r}, drafts={drafts!r}, n = {n}: mean acceptance {mean}; please report this")
    return Row(
        rule,
        drafts,
        n,
        min(max(mean, 0.0), 1.0),
        None if low is None else max(low, 0.0),
        None if high is None else min(high, 1.0),
        gap,
        gap_low,
        gap_high,
        method,
        float(np.sqrt(np.square(errors).sum()) / len(errors)),
        len(values),
    )


def interval(values: np.ndarray[Any, Any]) -> tuple[float | None, float, float | None]:
    """Mean of the values, and mean -+ t s / sqrt(m): the 95 % Student interval over m values taken as independent.

    The ends are None for one value. Source: student1908probable.

    >>> interval(np.array([0.5]))
    (None, 0.5, None)
    >>> low, mean, high = interval(np.array([0.4, 0.6]))
    >>> round(low, 4), mean, round(high, 4)
    (-0.7706, 0.5, 1.7706)
    """
    from scipy.special import stdtrit

    mean = float(np.mean(values))
    if len(values) < 2:
        return None, mean, None
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean - half, mean, mean + half
