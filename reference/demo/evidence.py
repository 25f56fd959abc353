"""Intervals over texts, and a test of a claim whose false-alarm rate holds at every sample size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specmath.comparison import LEVEL

FALSE_ALARM = 1e-6
"""Largest probability with which a check of this demo fails although the claim is true."""

BETS = np.array([sign * size for size in (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8) for sign in (1, -1)])
"""The tilts of `judged`, fixed beforehand."""


@dataclass(frozen=True)
class Estimate:
    """A measured number with its 95 % interval; the ends are None where one text gives no interval."""

    value: float
    low: float | None
    high: float | None


def ratio(numerators: ArrayLike, denominators: ArrayLike, *, most: float = float("inf")) -> Estimate:
    """sum a_r / sum b_r over texts r, with the Student interval of its linearisation, texts taken as independent.

    se^2 = R / (R - 1) * sum (a_r - B b_r)^2 / (sum b_r)^2 with B the ratio and R texts. Rounds of one text are not
    taken as independent. The ends are clipped to [0, ``most``]. Source: cochran1977sampling, Section 2.11.

    >>> ratio([2, 2], [1, 1])
    Estimate(value=2.0, low=2.0, high=2.0)
    """
    from scipy.special import stdtrit

    above, below = np.asarray(numerators, float), np.asarray(denominators, float)
    value, count = float(above.sum() / below.sum()), len(above)
    if count < 2:
        return Estimate(value, None, None)
    error = np.sqrt(count / (count - 1) * np.sum((above - value * below) ** 2)) / below.sum()
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2) * error)
    return Estimate(value, max(value - half, 0.0), min(value + half, most))


@dataclass(frozen=True)
class Judgement:
    """How a sum of observations compares with what theory says about each of them.

    ``observed`` and ``expected`` are means per observation, ``z`` the difference in standard deviations of its exact
    variance, ``error`` that standard deviation, ``p_bound`` an upper bound of the p-value that holds for every number
    of observations (no normal approximation), ``passed`` whether it stays above `FALSE_ALARM`.
    """

    observed: float
    expected: float
    error: float
    z: float
    p_bound: float
    count: int
    passed: bool


def judged(
    values: NDArray[np.float64],
    means: NDArray[np.float64],
    variances: NDArray[np.float64],
    cumulants: NDArray[np.float64],
) -> Judgement:
    """Test that each value has, given the past, the law whose mean, variance and cumulants are handed in.

    ``values``, ``means`` and ``variances`` have shape (T,), ``cumulants`` (T, B) with log E exp(b (X_t - mean_t)) for
    the B tilts in `BETS`. For each tilt, prod_t exp(b (x_t - mean_t) - cumulant_t) is a positive martingale of mean
    one if the claim holds, and so is the average over tilts, M. By Markov's inequality P(M >= 1 / a) <= a: ``p_bound``
    = min(1, 1 / M). Source: shafer2021testing, Section 2.

    >>> heads = np.full(200, 0.5)
    >>> judged(np.ones(200), heads, heads / 2, bernoulli_cumulants(heads)).passed
    False
    """
    from scipy.special import logsumexp

    gaps = values - means
    wealth = float(logsumexp(BETS * gaps.sum() - cumulants.sum(axis=0)) - np.log(len(BETS)))
    if not np.isfinite(gaps).all():  # something impossible happened
        wealth = float("inf")
    spread = float(np.sqrt(variances.sum()))
    total = float(gaps.sum())
    z = 0.0 if abs(total) < 1e-9 else (total / spread if spread > 0 else float(np.copysign(np.inf, total)))
    count = len(values)
    return Judgement(
        observed=float(values.mean()),
        expected=float(means.mean()),
        error=spread / count,
        z=z,
        p_bound=float(np.exp(-max(wealth, 0.0))),
        count=count,
        passed=bool(-wealth > np.log(FALSE_ALARM)),
    )


def bernoulli_cumulants(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """log E exp(b (X - a)) for X = 1 with probability a, else 0: log(1 - a + a e^b) - a b; shape (T, B)."""
    chance = chances[:, None]
    return np.log1p(chance * np.expm1(BETS)) - chance * BETS
