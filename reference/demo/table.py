"""The acceptance table: every node rule and draft law against the optimum, on the contexts of decoded texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reference.demo.contexts import Laws, spaced
from reference.demo.settings import Settings
from specmath import draft_laws
from specmath.cli.table import without_row
from specmath.comparison import Plan, Row, compare, interval, plan

COUNTS = {"iid": (1, 2, 4, 8), "hub": (2,)}
OTHERS = (1, 2, 4)
"""Numbers of drafts of every draft law that `COUNTS` does not name."""


def jobs() -> Plan:
    """Every rule at every number of drafts that the table shows, and what is computed on request only."""
    plans = [plan(COUNTS.get(name, OTHERS), [name]) for name in draft_laws.names()]
    return Plan(tuple(job for one in plans for job in one.jobs), tuple(entry for one in plans for entry in one.skipped))


def notes() -> list[str]:
    """What has no row, and why, as `specmath acceptance` says it."""
    return without_row(jobs().skipped)


def rows(
    texts: Sequence[Laws],
    settings: Settings,
    *,
    watch: Callable[[Iterator[Any], int], Any] = lambda steps, total: steps,
) -> tuple[Row, ...]:
    """`specmath.comparison` text by text, then averaged over texts.

    Contexts of one text resemble each other, so intervals rest on the spread of the texts' own means (Student t, texts
    taken as independent), not on the number of contexts. Each text contributes evenly spaced contexts.
    """
    todo = jobs()
    chosen = [spaced(len(one.target), settings.contexts) for one in texts]
    found = []
    for number in watch(iter(range(len(texts))), len(texts)):
        block = texts[number].target[chosen[number]], texts[number].draft[chosen[number]]
        seed = int(np.random.SeedSequence([settings.seed, number]).generate_state(1, np.uint64)[0])
        found.append(compare([block], todo, seed=seed, replicates=settings.replicates))
    return tuple(averaged(parts) for parts in zip(*found, strict=True))


def averaged(parts: Sequence[Row]) -> Row:
    """One row from the rows of the texts: means of their means, with intervals over texts."""
    low, mean, high = interval(np.array([part.acceptance for part in parts]))
    gap_low, gap, gap_high = interval(np.array([part.gap for part in parts]))
    return replace(
        parts[0],
        acceptance=mean,
        low=None if low is None else max(low, 0.0),
        high=None if high is None else min(high, 1.0),
        gap=gap,
        gap_low=gap_low,
        gap_high=gap_high,
        monte_carlo_error=float(np.sqrt(sum(part.monte_carlo_error**2 for part in parts)) / len(parts)),
        contexts=sum(part.contexts for part in parts),
    )
