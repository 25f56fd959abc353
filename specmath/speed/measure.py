"""Time a model's forward pass at 1 .. N tokens, and turn the times into cost laws for plans."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from specmath.arrays import check_count
from specmath.speed.check import Floats, whole
from specmath.speed.costs import Curve, Line, line_through


@dataclass(frozen=True)
class Measured:
    """Times of a pass at several numbers of tokens, and the laws fitted to them.

    Attributes
    ----------
    tokens : (T,) numbers of tokens, rising.
    samples : (T, repeats) seconds, in the order they were taken.
    seconds : (T,) medians: half of the samples may be disturbed.
    low, high : (T,) quartiles.
    curve : the medians with dips taken out (the nearest curve that never falls, weighted equally): what plans use.
    line : fixed + per_token * tokens through the medians (`line_through`).
    curve_residuals, line_residuals : (T,) (median - law) / median.
    """

    tokens: tuple[int, ...]
    samples: Floats
    seconds: Floats
    low: Floats
    high: Floats
    curve: Curve
    line: Line
    curve_residuals: Floats
    line_residuals: Floats

    @property
    def spread(self) -> float:
        """Median over the sizes of (high - low) / median: how noisy the machine was."""
        return float(np.median((self.high - self.low) / self.seconds))

    def ratio(self, tokens: int) -> float:
        """Time of a pass over so many tokens over that of one, by the curve; ValueError beyond the measured sizes."""
        return self.curve(tokens) / self.curve(1)


def measure(
    forward: Callable[[int], Any],
    tokens: Sequence[int] | int,
    *,
    repeats: int = 9,
    warmup: int = 2,
    clock: Callable[[], float] = time.perf_counter,
    wait: Callable[[], Any] | None = None,
) -> Measured:
    """Time ``forward(t)`` for several t.

    Parameters
    ----------
    forward : runs the model on t new tokens, as a decoding round would (a cache of the length of interest below them).
        What it returns is dropped. It must leave the state as it found it.
    tokens : the numbers t, or N for 1, 2, 3, 4, 6, 8, 12, .. up to N; 1 is always among them.
    repeats, warmup : timed and untimed passes per size. Sizes take turns, forwards and backwards, so that a slow drift
        of the machine meets all alike.
    clock : seconds; another one for tests.
    wait : called before the clock is read, for devices that work on their own (`torch.cuda.synchronize`).

    Raises ValueError for counts below 1, an unsorted or repeated size, and times that are not above zero (a clock too
    coarse for this function).

    Source: docs/theory/speed.md.

    >>> ticks = iter(range(1000))
    >>> measure(lambda t: None, [1, 2, 8], repeats=3, clock=lambda: float(next(ticks))).seconds.tolist()
    [1.0, 1.0, 1.0]
    """
    sizes = _sizes(tokens)
    repeats = check_count("repeats", repeats)
    for _ in range(whole("warmup", warmup)):
        for size in sizes:
            forward(size)
    samples = np.zeros((len(sizes), repeats))
    for turn in range(repeats):
        order = range(len(sizes)) if turn % 2 == 0 else range(len(sizes) - 1, -1, -1)
        for row in order:
            if wait is not None:
                wait()
            started = clock()
            forward(sizes[row])
            if wait is not None:
                wait()
            samples[row, turn] = clock() - started
    return from_samples(sizes, samples)


def from_samples(tokens: Sequence[int], samples: Any) -> Measured:
    """The same from times taken elsewhere, (T, repeats) seconds; raises as `measure`.

    >>> found = from_samples([1, 2, 4], [[1.0, 1.1], [0.9, 1.0], [2.0, 2.0]])
    >>> found.seconds.tolist(), found.curve.seconds, found.ratio(4)
    ([1.05, 0.95, 2.0], (1.0, 1.0, 2.0), 2.0)
    """
    sizes, times = _sizes(tokens), np.asarray(samples, dtype=np.float64)
    if times.ndim != 2 or len(times) != len(sizes) or not times.shape[1]:
        raise ValueError(f"samples has shape {times.shape}; allowed is ({len(sizes)}, repeats), repeats >= 1")
    if not np.all((times > 0) & (times < np.inf)):
        raise ValueError(
            "samples holds times that are not above zero; allowed are finite seconds: is the clock too coarse?"
        )
    middle = np.median(times, axis=1)
    low, high = np.quantile(times, [0.25, 0.75], axis=1)
    curve = Curve(sizes, tuple(float(value) for value in _never_falling(middle)))
    line = line_through(sizes, middle.tolist()) if len(sizes) > 1 else Line(float(middle[0]))
    fitted = [np.asarray([law(size) for size in sizes]) for law in (curve, line)]
    return Measured(sizes, times, middle, low, high, curve, line, *((middle - fit) / middle for fit in fitted))


def _sizes(tokens: Sequence[int] | int) -> tuple[int, ...]:
    if not isinstance(tokens, Sequence | np.ndarray):
        most = check_count("tokens", tokens)
        steps = sorted({1, most, *(k * 2**i for k in (2, 3) for i in range(most.bit_length()) if k * 2**i <= most)})
        return tuple(steps)
    sizes = [check_count(f"tokens[{place}]", size) for place, size in enumerate(tokens)]
    if any(a >= b for a, b in pairwise(sizes)):
        raise ValueError(f"tokens is {sizes}; allowed are rising whole numbers")
    return tuple(sizes) if sizes and sizes[0] == 1 else (1, *sizes)


def _never_falling(values: Floats) -> Floats:
    """The non-decreasing sequence of least squares: neighbours that fall are pooled to their mean."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        blocks.append((float(value), 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, i), (b, j) = blocks[-2:]
            blocks[-2:] = [((a * i + b * j) / (i + j), i + j)]
    return np.concatenate([np.full(count, value) for value, count in blocks])
