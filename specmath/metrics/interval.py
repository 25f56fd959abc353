"""Intervals for metrics: Wilson's for counts of independent trials, a bootstrap over requests for traces."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specmath.arrays import check_count, check_number

LEVEL = 0.95
_ENTRIES = 4_000_000


@dataclass(frozen=True)
class Interval:
    """An interval with its level and how it was made.

    >>> Interval(0.5, 0.7, 0.95, "wilson").high
    0.7
    """

    low: float
    high: float
    level: float
    method: str


def wilson(accepted: int, tested: int, *, level: float = LEVEL) -> Interval:
    """Wilson's interval of a probability: (x + z^2/2 -+ z sqrt(x (n - x)/n + z^2/4)) / (n + z^2), x of n.

    Trials are taken as independent. Drafts of one text are not: for traces see `cluster_bootstrap`.

    Raises ValueError unless 0 <= accepted <= tested, tested >= 1 and 0 < level < 1.

    Source: wilson1927probable.

    >>> found = wilson(80, 100)
    >>> round(found.low, 4), round(found.high, 4)
    (0.7112, 0.8666)
    """
    count = check_count("tested", tested)
    if isinstance(accepted, bool) or not isinstance(accepted, int) or not 0 <= accepted <= count:
        raise ValueError(f"accepted is {accepted!r}; allowed are whole numbers from 0 to tested, {count}")
    z = NormalDist().inv_cdf((1 + _level(level)) / 2)
    middle = accepted + z * z / 2
    half = z * math.sqrt(accepted * (count - accepted) / count + z * z / 4)
    # At the ends rounding must not move an exact 0 or 1.
    low = 0.0 if accepted == 0 else (middle - half) / (count + z * z)
    high = 1.0 if accepted == count else (middle + half) / (count + z * z)
    return Interval(low, high, level, "wilson")


def cluster_bootstrap(
    sums: Any,
    statistic: Callable[[NDArray[np.float64]], Any],
    *,
    level: float = LEVEL,
    replicates: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a function of sums, when whole requests are drawn again with replacement.

    Rounds of one request resemble each other; requests are taken as independent. With few requests (below twenty or
    so) percentile intervals are too short.

    Parameters
    ----------
    sums : (R, M), M sums for each of R requests, such as accepted and drafted tokens.
    statistic : (B, M) total sums -> (B,) values. A ratio of sums, then, and not a mean of ratios.
    level, replicates, seed : of the interval; its draws, and what makes them the same each time.

    Raises ValueError for fewer than two requests, and values that are not finite.

    Source: davison1997bootstrap, Section 3.8.

    >>> found = cluster_bootstrap([[8, 10], [6, 10], [7, 10]], lambda sums: sums[:, 0] / sums[:, 1])
    >>> round(found.low, 2), round(found.high, 2)
    (0.6, 0.8)
    """
    rows = np.asarray(sums, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"sums has shape {rows.shape}; allowed is (R, M) with R >= 2 requests")
    if not np.isfinite(rows).all():
        raise ValueError("sums holds numbers that are not finite; allowed are finite sums")
    draws, size = check_count("replicates", replicates), len(rows)
    generator, at_once = np.random.default_rng(seed), max(1, _ENTRIES // size)
    parts = []
    for start in range(0, draws, at_once):  # (draws, R) whole could be larger than memory
        counts = generator.multinomial(size, np.full(size, 1 / size), size=min(at_once, draws - start))
        parts.append(counts @ rows)
    values = np.asarray(statistic(np.concatenate(parts)), dtype=np.float64)
    if values.shape != (draws,) or not np.isfinite(values).all():
        raise ValueError(f"statistic gives {values.shape} values, or some not finite; allowed are {draws} finite ones")
    low, high = np.quantile(values, [(1 - _level(level)) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, "bootstrap by request")


def _level(level: float) -> float:
    return check_number("level", level, math.ulp(0.0), math.nextafter(1.0, 0.0), "numbers above 0 and below 1")
