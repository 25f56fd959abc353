"""Event-level loops of the published methods, as short as possible: what the closed forms are held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

SIGMAS = 6.0
"""Two-sided false alarms of a normal deviate: 2e-9 a test."""


def agrees(cycle: Callable[[np.random.Generator], tuple[float, float]], rate: float, *, cycles: int = 10_000) -> bool:
    """Whether mean tokens / mean time of independent cycles is ``rate`` within `SIGMAS` standard errors.

    Refuses to say so (AssertionError) where the standard error is above 1 % of the rate: a rate that is 12 % off is
    then told with probability 1 - 1e-9.
    """
    generator = np.random.default_rng(20261120)
    found = np.asarray([cycle(generator) for _ in range(cycles)])  # (cycles, 2)
    tokens, time = found.mean(axis=0)
    measured = tokens / time
    error = np.std(found[:, 0] - measured * found[:, 1], ddof=1) / time / np.sqrt(cycles)
    assert error < 0.01 * measured, f"standard error {error:.3g} of {measured:.4g}: more cycles are needed"
    return bool(abs(measured - rate) < SIGMAS * error + 1e-12)


def accepted(generator: np.random.Generator, acceptance: float, most: int) -> int:
    """Drafts accepted before the first rejection, at most ``most``."""
    count = 0
    while count < most and generator.random() < acceptance:
        count += 1
    return count


def chain(generator: np.random.Generator, a: float, length: int, c: float) -> tuple[float, float]:
    """One round: L drafts, one pass, one token more."""
    return 1 + accepted(generator, a, length), length * c + 1


def pearl(generator: np.random.Generator, a: float, length: int, c: float) -> tuple[float, float]:
    """From pre-verify to the next rejection, as in the published loop."""
    step, tokens, steps = max(length * c, 1.0), 0, 1
    if generator.random() >= a:
        return 1, step
    tokens += 1  # the first token of the block that was drafted meanwhile
    while True:
        steps += 1
        found = accepted(generator, a, length)
        tokens += found
        if found < length:
            return tokens + 1, steps * step


def dsi(generator: np.random.Generator, a: float, length: int, c: float) -> tuple[float, float]:
    """A segment of the published simulator: blocks until a rejection, or the target alone if that was faster."""
    tokens, drafting = 0, 0.0
    while True:
        found = accepted(generator, a, length)
        tokens += found
        drafting += length * c
        if found < length:
            return tokens + 1, min(drafting + 1, tokens + 1)


def overlapped(
    generator: np.random.Generator, a: float, length: int, c: float, early: float, hit: float, transfer: float
) -> tuple[float, float]:
    """A round whose drafts were written beside the end of the round before."""
    time = early + max(1 - early, length * c) + transfer
    if generator.random() >= hit:
        time += length * c
    return 1 + accepted(generator, a, length), time


def block(
    generator: np.random.Generator, rates: tuple[float, ...], costs: tuple[float, ...], lengths: Any, size: int
) -> float:
    """Time in which a stack of models delivers exactly ``size`` tokens; the last of ``costs`` is its top model's."""
    if len(costs) == 1:
        return size * costs[0]
    time, left = 0.0, size
    while left:
        drafted = min(lengths[-1], left - 1)
        if drafted:
            time += block(generator, rates[:-1], costs[:-1], lengths[:-1], drafted)
        time += costs[-1]
        left -= 1 + accepted(generator, rates[-1], drafted)
    return time


def stack(generator: np.random.Generator, rates: Any, costs: Any, lengths: Any) -> tuple[float, float]:
    """A round of the target above a stack of drafts."""
    time = block(generator, rates[:-1], costs[:-1], lengths[:-1], lengths[-1]) if lengths[-1] else 0.0
    return 1 + accepted(generator, rates[-1], lengths[-1]), time + costs[-1]


def splits(requests: int, longest: int) -> Iterator[tuple[int, ...]]:
    """All draft lengths of all requests."""
    return product(range(longest + 1), repeat=requests)
