"""Every rule against the optimum over many contexts: mean acceptance, gap, and intervals over the contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specmath import draft_laws, rules
from specmath.rules import acceptance
from specmath.transport import optimum

OPTIMAL = "optimal"
"""Name of the optimum among the rules."""

LEVEL = 0.95

_ROUNDING = 1e-9  # a mean of probabilities may leave [0, 1] by rounding, never by more


@dataclass(frozen=True)
class Row:
    """One rule at one number of drafts, over all contexts.

    Attributes
    ----------
    rule, drafts, n : what was computed; the optimum is the rule "optimal".
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
class Skipped:
    """A rule that was asked for by name and cannot verify these drafts."""

    rule: str
    drafts: str
    n: int
    reason: str


@dataclass(frozen=True)
class Plan:
    """What will be computed: (drafts, n, rule) in the order of the rows, and what cannot be."""

    jobs: tuple[tuple[str, int, str], ...]
    skipped: tuple[Skipped, ...]


def plan(n: Sequence[int], drafts: Sequence[str], only: Sequence[str] | None = None) -> Plan:
    """The rows for these numbers of drafts and draft laws: the optimum, then every node rule that verifies the drafts.

    ``only`` restricts the rules to some names; those that cannot verify some of the drafts are listed as skipped.
    Raises ValueError for unknown names, n < 1, a draft law that is not defined for an n whatever the draft, and a rule
    in ``only`` that verifies none of the drafts.

    >>> plan([1], ["iid"], ["single"]).jobs
    (('iid', 1, 'optimal'), ('iid', 1, 'single'))
    """
    allowed = (*rules.names("node"), OPTIMAL)
    for name in only or ():
        if name not in allowed:
            raise ValueError(f"rule is {name!r}; allowed are {', '.join(map(repr, allowed))}")
    wanted = [name for name in rules.names("node") if only is None or name in only]
    jobs: list[tuple[str, int, str]] = []
    skipped: list[Skipped] = []
    for law in map(draft_laws.get, dict.fromkeys(drafts)):
        for count in dict.fromkeys(n):
            law.check(count, 2**62)  # a draft without end: what still fails is no matter of support
            jobs.append((law.name, count, OPTIMAL))
            for name in wanted:
                try:
                    rules.get(name).supported(count, law.name)
                except ValueError as error:
                    skipped.append(Skipped(name, law.name, count, str(error)))
                else:
                    jobs.append((law.name, count, name))
    if only is None:
        return Plan(tuple(jobs), ())
    for name in wanted:
        if not any(name == job[2] for job in jobs):
            raise ValueError(next(entry.reason for entry in skipped if entry.rule == name))
    return Plan(tuple(jobs), tuple(skipped))


def compare(
    blocks: Iterable[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]],
    todo: Plan,
    *,
    seed: int = 0,
    replicates: int = 256,
    watch: Callable[[Iterator[Any]], Iterable[Any]] = iter,
) -> tuple[Row, ...]:
    """Mean acceptance of every rule in the plan over all contexts, which come in blocks of laws (contexts, V).

    Memory holds one block and one number per context and row. Where no formula is known, `specmath.acceptance`
    estimates with ``replicates`` draws per context; the first block uses ``seed`` itself and every later one a seed
    derived from it and the number of contexts before, so that contexts never share their draws. ``watch`` wraps the
    stream of (block, job) steps, for example in a progress bar. Raises ValueError when a context's draft has too few
    possible tokens for the drafts, naming it, and when there are no contexts.

    >>> laws = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> [(row.rule, row.acceptance) for row in compare([laws], plan([1], ["iid"], ["single"]))]
    [('optimal', 0.75), ('single', 0.75)]
    """
    found: dict[tuple[str, int, str], list[tuple[np.ndarray, np.ndarray, str]]] = {job: [] for job in todo.jobs}
    for first, (target, draft), (drafts, n, rule) in watch(_steps(blocks, todo)):
        if rule == OPTIMAL:
            value = np.asarray(optimum(target, draft, n, drafts).acceptance)
            part = (value, np.zeros_like(value), "formula")
        else:
            own = seed if first == 0 else int(np.random.SeedSequence([seed, first]).generate_state(1, np.uint64)[0])
            result = acceptance(rule, target, draft, n, drafts, seed=own, replicates=replicates)
            part = (np.asarray(result.values), np.asarray(result.standard_error), result.method)
        found[drafts, n, rule].append(part)
    rows = []
    for drafts, n, rule in todo.jobs:
        parts = found[drafts, n, rule]
        if not parts:
            raise ValueError("there are no contexts; at least one is needed")
        values = np.concatenate([part[0] for part in parts])
        if rule == OPTIMAL:
            best = values
        errors = np.concatenate([part[1] for part in parts])
        rows.append(_row(rule, drafts, n, values, best, errors, parts[0][2]))
    return tuple(rows)


def _steps(blocks: Iterable[tuple[np.ndarray, np.ndarray]], todo: Plan) -> Iterator[tuple[int, Any, Any]]:
    """(contexts before the block, block, job), after a check that every context can give the drafts."""
    first = 0
    for target, draft in blocks:
        support = (draft > 0).sum(axis=-1)
        for drafts, n in dict.fromkeys(job[:2] for job in todo.jobs):
            law = draft_laws.get(drafts)
            problems = {int(size): law.needs(n, int(size)) for size in np.unique(support)}
            for context, size in enumerate(support):
                if problems[int(size)]:
                    raise ValueError(f"context {first + context}: n is {n}: drafts={drafts!r} {problems[int(size)]}")
        for job in todo.jobs:
            yield first, (target, draft), job
        first += len(target)


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
