"""What every simulation must satisfy, computed again from its records and from the laws of time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest

from specmath.simulate import Result, Timing

SIGMAS = 6.0
"""Two-sided false alarms of a normal deviate: 2e-9 a test."""


def agrees(cycles: Iterable[tuple[float, float]], rate: float) -> bool:
    """Whether mean tokens / mean time of independent cycles is ``rate`` within `SIGMAS` standard errors.

    Refuses (AssertionError) where the standard error is above 1 % of the rate: a rate that is 12 % off is then told
    with probability 1 - 1e-9.
    """
    found = np.asarray(list(cycles), dtype=np.float64)  # (cycles, 2)
    tokens, time = found.mean(axis=0)
    measured = tokens / time
    error = np.std(found[:, 0] - measured * found[:, 1], ddof=1) / time / np.sqrt(len(found))
    assert error < 0.01 * measured, f"standard error {error:.3g} of {measured:.4g}: more cycles are needed"
    return bool(abs(measured - rate) < SIGMAS * error + 1e-9)


def rounds_of(found: Result) -> list[tuple[float, float]]:
    """Tokens and time of each round of the server, without the first (drafts anew) and the last ones (cut short)."""
    return [(one.emitted, one.end - one.start) for one in found.rounds[1:-12]]


def between_rejections(found: Result) -> list[tuple[float, float]]:
    """Tokens and time from one correction to the next, of a text that is alone; the unfinished last one is left out."""
    cycles, tokens, time = [], 0, 0.0
    for one in found.trace:
        tokens, time = tokens + len(one.emitted), time + one.seconds
        if len(one.emitted) > one.accepted:
            cycles.append((tokens, time))
            tokens, time = 0, 0.0
    return cycles


def consistent(found: Result, timing: Timing) -> None:
    """Records, rounds and requests tell the same story, and serial rounds take what their work takes."""
    for earlier, later in pairwise(found.rounds):
        assert later.start >= earlier.end
    assert sum(one.seconds for one in found.trace) == pytest.approx(found.busy)
    assert sum(len(one.emitted) for one in found.trace) == found.tokens == sum(one.emitted for one in found.rounds)
    place: dict[int, tuple[int, int]] = {}
    for one in found.trace:
        number, position = place.get(one.request, (0, one.position))
        assert (one.round, one.position) == (number, position)
        assert len(one.emitted) <= one.accepted + 1
        place[one.request] = number + 1, position + len(one.emitted)
    records = iter(found.trace)
    for step in found.rounds:
        mine = [next(records) for _ in step.requests]
        steps, drafted = max(one.draft_calls for one in mine), sum(len(one.drafted) for one in mine)
        context = sum(one.position for one in mine)
        reading = timing.verify(len(mine) + drafted) + timing.context * context
        prompts = [span for span in step.spans[:1] if timing.prefill and one_is_new(mine) and span.model == "target"]
        work = reading + (timing.draft(steps) if steps else 0) + timing.overhead
        assert step.end - step.start == pytest.approx(work + sum(span.end - span.start for span in prompts))
        for earlier, later in pairwise(step.spans):
            assert later.start >= earlier.end, "work that begins before what it needs is there"
        assert all(step.start <= span.start <= span.end <= step.end + 1e-12 for span in step.spans)


def one_is_new(records: list) -> bool:
    """Whether a text has its first round here."""
    return any(one.round == 0 for one in records)
