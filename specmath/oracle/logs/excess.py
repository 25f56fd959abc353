"""Acceptance above what any lossless rule can reach: from counts alone, with an error that is stated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FALSE_ALARM = 1e-9
"""Default probability with which counts of a lossless decoder are called a proof of a bug."""

ODDS = np.concatenate([1 + 2.0 ** np.arange(-9, 4), 4.0 ** np.arange(2, 16)])
"""Factors by which the bettor thinks the odds of acceptance are higher than allowed; fixed beforehand."""


@dataclass(frozen=True)
class Excess:
    """Accepted drafts against the most that a lossless rule accepts on average.

    Attributes
    ----------
    accepted, tested : drafts, summed over all places.
    most : largest possible mean of ``accepted``, sum of tested_t * bound_t.
    log_e_value : log of the evidence against every lossless rule; infinite after an impossible acceptance.
    false_alarm : as asked for.
    exact : whether the counts were handed in as exact frequencies.
    """

    accepted: float
    tested: float
    most: float
    log_e_value: float
    false_alarm: float
    exact: bool = False

    @property
    def p_bound(self) -> float:
        """Upper bound of the probability of such counts under a lossless rule, at every sample size."""
        return math.exp(-max(self.log_e_value, 0.0))

    @property
    def proof(self) -> bool:
        """Whether the counts prove a bug: for samples with error ``false_alarm``, for exact frequencies with none."""
        return self.log_e_value >= math.log(1 / self.false_alarm)

    def __str__(self) -> str:
        share = f"accepted {self.accepted:.6g} of {self.tested:.6g}, at most {self.most:.6g} on average"
        if self.exact:
            return f"{share} (exact): " + ("a bug" if self.proof else "possible")
        return f"{share} (p <= {self.p_bound:.2g}): " + ("a bug" if self.proof else "possible")


@dataclass(frozen=True)
class TwoSided:
    """Events of known probability, counted.

    Attributes
    ----------
    happened, expected : how many happened, and the sum of their probabilities.
    log_often, log_rarely : log of the evidence that they happen too often, and too rarely.
    false_alarm : as asked for, both sides together.
    """

    happened: float
    expected: float
    log_often: float
    log_rarely: float
    false_alarm: float

    @property
    def word(self) -> str:
        """Either "too often", "too rarely", or "" where neither is proved."""
        level = math.log(2 / self.false_alarm)
        return "too often" if self.log_often >= level else "too rarely" if self.log_rarely >= level else ""


def above_optimum(
    accepted: ArrayLike,
    tested: ArrayLike,
    bound: ArrayLike,
    *,
    false_alarm: float = FALSE_ALARM,
    exact: bool = False,
) -> Excess:
    """Whether more drafts were accepted than any lossless rule can accept.

    At place t, a_t of m_t tested drafts (or sets of n candidates) were accepted, and every lossless rule accepts with
    probability at most c_t there, whatever happened before: c_t = `specmath.optimum`(target, draft, n, drafts).upper
    for the laws at that place. For each of the fixed odds b the product over t of

        b^a_t / (1 - c_t + c_t b)^m_t

    is a supermartingale of mean at most one, and so is the mean over b, the e-value. By Ville's inequality it ever
    reaches 1 / false_alarm with probability at most ``false_alarm``. Source: ramdas2023game, Section 2.

    Parameters
    ----------
    accepted, tested : whole numbers, scalars or (T,).
    bound : largest acceptance probability of a lossless rule, from 0 to 1, scalar or (T,).
    exact : the counts are exact frequencies (from an enumeration), not samples: any excess at any place beyond rounding
        (1e-9 of the tested) is then a proof.

    Raises ValueError for negative counts, more accepted than tested, bounds outside [0, 1], shapes that do not
    broadcast and a false-alarm rate outside (0, 1). Bounds above one by rounding (1e-9) are taken as one.

    >>> above_optimum(830, 1000, 0.728).proof, above_optimum(740, 1000, 0.728).proof
    (True, False)
    >>> print(above_optimum(7830, 10000, 0.728))
    accepted 7830 of 10000, at most 7280 on average (p <= 6.3e-32): a bug
    """
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm is {false_alarm}; allowed are numbers above 0 and below 1")
    taken, tried, most = _checked(accepted, tested, bound)
    if exact:
        wealth = math.inf if (taken > most * tried + 1e-9 * tried).any() else 0.0
    else:
        wealth = _wealth(taken, tried, most)
    return Excess(
        accepted=float(taken.sum()),
        tested=float(tried.sum()),
        most=float((tried * most).sum()),
        log_e_value=wealth,
        false_alarm=false_alarm,
        exact=exact,
    )


def _checked(accepted: ArrayLike, tested: ArrayLike, bound: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    given = {"accepted": accepted, "tested": tested, "bound": bound}
    arrays: dict[str, NDArray[Any]] = {name: np.asarray(value, dtype=np.float64) for name, value in given.items()}
    for name, array in arrays.items():
        if array.ndim > 1:
            raise ValueError(f"{name}: shape {array.shape}; allowed are scalars and one axis")
        if not np.isfinite(array).all() or (array < 0).any():
            raise ValueError(f"{name}: a number is negative or not finite; allowed are finite numbers >= 0")
    try:
        taken, tried, most = np.broadcast_arrays(*(np.atleast_1d(array) for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"{shapes}: these shapes do not broadcast") from None
    if (most > 1 + 1e-9).any():
        raise ValueError(f"bound is {most.max()}; allowed are probabilities, 0 to 1")
    if (taken > tried).any():
        place = int(np.argmax(taken > tried))
        raise ValueError(f"accepted: {taken[place]:g} of {tried[place]:g} tested at place {place}; allowed are all")
    return taken, tried, np.minimum(most, 1.0)


def against_tests(
    accepted: ArrayLike, chances: ArrayLike, *, rounding: float = 1e-6, false_alarm: float = FALSE_ALARM
) -> TwoSided:
    """Whether events of known probability happen too often, or too rarely.

    Event t, of probability c_t given the past, happened or not: an accept test min(1, p/q) of a token-wise rule, or a
    draft being the likeliest token. For fixed odds b above one (too often) and below one (too rarely) the mean over b
    of the product of b^a_t / (1 - c_t + c_t b) is a supermartingale of mean at most one, as in `above_optimum`; each
    of the two sides has half of ``false_alarm``. The probabilities may be off by ``rounding`` either way, which
    favours the decoder.

    Raises ValueError as `above_optimum`. Source: ramdas2023game, Section 2.

    >>> found = against_tests([True] * 60, [0.5] * 60)
    >>> found.word, found.happened, found.expected
    ('too often', 60.0, 30.0)
    """
    events = np.asarray(accepted, dtype=np.float64)
    taken, tried, chance = _checked(events, np.ones_like(events), chances)
    if not 0 <= rounding < 1:
        raise ValueError(f"rounding is {rounding}; allowed are numbers from 0, below 1")
    often = _wealth(taken, tried, np.minimum(chance + rounding, 1.0))
    rarely = _wealth(1 - taken, tried, np.minimum(1 - chance + rounding, 1.0))
    return TwoSided(float(taken.sum()), float(chance.sum()), often, rarely, false_alarm)


def _wealth(taken: NDArray[np.float64], tried: NDArray[np.float64], most: NDArray[np.float64]) -> float:
    """log e-value; taken, tried and most (T,)."""
    if ((most == 0) & (taken > 0)).any():
        return math.inf
    # (T,) against the odds (B,): log b^a - m log(1 - c + c b), summed over places
    gains = np.log(ODDS) * taken.sum() - (tried[:, None] * np.log1p(most[:, None] * (ODDS - 1))).sum(axis=0)
    return float(np.logaddexp.reduce(gains) - math.log(len(ODDS)))
