"""A test of what can only be sampled: it stops when the law is refuted, or shown to be close, or at a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from specmath.arrays import check_count
from specmath.exact import Number
from specmath.oracle.sampled.evidence import Evidence, check_law

FALSE_ALARM = 1e-9
"""Default probability with which an implementation of the reference law is ever called biased."""

MISSED = 1e-9
"""Default probability with which an implementation further away than ``tolerance`` is ever called lossless."""


@dataclass(frozen=True)
class Sequential:
    """What a sequential test found.

    Attributes
    ----------
    status : "biased" (the law is not the reference), "lossless" (the total variation is at most ``tolerance``) or
        "undecided" (``limit`` was reached first).
    samples : outcomes that were looked at.
    log_e_value : log of the evidence against the reference; "biased" from log(1 / false_alarm) on.
    total_variation : of the empirical law; chance alone keeps it above zero.
    low, high : ends between which the total variation of the true law lies, but for probability ``missed``.
    tolerance, false_alarm, missed : as asked for.
    impossible : an outcome of reference probability zero, if one was seen.
    cause : the named alternative that explains the outcomes, for a biased law.
    """

    status: Literal["biased", "lossless", "undecided"]
    samples: int
    log_e_value: float
    total_variation: float
    low: float
    high: float
    tolerance: float
    false_alarm: float
    missed: float
    impossible: Hashable | None = None
    cause: str | None = None

    def __str__(self) -> str:
        seen = f"{self.samples} samples, total variation from {self.low:.4f} to {self.high:.4f}"
        if self.status == "biased":
            why = (
                f"{self.impossible!r} has probability 0"
                if self.impossible is not None
                else f"e-value 10^{self.log_e_value / math.log(10):.1f}"
            )
            return f"biased: {why} ({seen}, false alarm {self.false_alarm:g})" + (
                f"; matches: {self.cause}" if self.cause else ""
            )
        if self.status == "lossless":
            return f"lossless within {self.tolerance:g} ({seen}, missed {self.missed:g})"
        return f"undecided: neither refuted nor within {self.tolerance:g} ({seen})"


def sequential_test(
    sample: Callable[[int], Sequence[Hashable]],
    reference: Mapping[Any, Number],
    *,
    tolerance: float = 0.05,
    false_alarm: float = FALSE_ALARM,
    missed: float = MISSED,
    limit: int = 10_000_000,
    alternatives: Mapping[str, Mapping[Any, Number]] | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Sequential:
    """Sample until the law is refuted, or shown to be within ``tolerance`` of the reference in total variation.

    Two statements hold at every sample size, so that stopping early costs nothing (proofs in
    `specmath.oracle.sampled.evidence`): an implementation whose outcomes follow the reference, given all earlier ones,
    is ever called "biased" with probability at most ``false_alarm``; one whose outcomes are independent draws from a
    law further away than ``tolerance`` is ever called "lossless" with probability at most ``missed``. `samples_needed`
    says how long that takes. Laws that are neither equal nor further away may be called either; both words are then
    true.

    Parameters
    ----------
    sample : ``sample(count)`` returns that many outcomes, hashable and independent. For a decoder: each is the tuple of
        tokens of one whole run, drafts drawn inside, under a seed or position of its own.
    reference : outcome -> probability, for a decoder the autoregressive law of the tuples.
    tolerance : total variation, above 0 and below 1.
    limit : most samples.
    alternatives : name -> law of a known defect; sharpens the test against it, and names it.
    progress : called with (samples, tolerance still to be proved) after each batch.

    Raises
    ------
    ValueError
        For what is no law, probabilities outside (0, 1), and a sampler that returns another number of outcomes.

    Source: ramdas2023game, Sections 2 and 4.

    >>> import numpy as np
    >>> draws = np.random.default_rng(1)
    >>> fair = {0: 0.5, 1: 0.5}
    >>> sequential_test(lambda count: draws.integers(2, size=count).tolist(), fair).status
    'lossless'
    >>> sequential_test(lambda count: (draws.random(count) < 0.6).astype(int).tolist(), fair).status
    'biased'
    """
    for name, value in (("tolerance", tolerance), ("false_alarm", false_alarm), ("missed", missed)):
        _check_share(name, value)
    limit = check_count("limit", limit)
    seen = Evidence(reference, alternatives)
    status: Literal["biased", "lossless", "undecided"] = "undecided"
    for end in ends(limit):
        wanted = end - seen.samples
        outcomes = sample(wanted)
        if len(outcomes) != wanted:
            raise ValueError(f"sample({wanted}) returned {len(outcomes)} outcomes; allowed is the number asked for")
        seen.update(outcomes)
        high = seen.interval(missed)[1]
        if progress is not None:
            progress(seen.samples, high)
        if seen.log_e_value >= math.log(1 / false_alarm):
            status = "biased"
            break
        if high <= tolerance:
            status = "lossless"
            break
    return Sequential(
        status=status,
        samples=seen.samples,
        log_e_value=seen.log_e_value,
        total_variation=seen.total_variation,
        low=seen.interval(missed)[0],
        high=seen.interval(missed)[1],
        tolerance=tolerance,
        false_alarm=false_alarm,
        missed=missed,
        impossible=seen.impossible,
        cause=seen.cause if status == "biased" else None,
    )


@dataclass(frozen=True)
class Needed:
    """Sample sizes that are enough, with probability ``power``; most runs stop far earlier.

    ``reject``: until any law at the given total variation or further is called "biased". ``accept``: until the
    reference itself is called "lossless".
    """

    reject: int
    accept: int
    power: float


def samples_needed(
    reference: Mapping[Any, Number],
    *,
    tolerance: float = 0.05,
    false_alarm: float = FALSE_ALARM,
    missed: float = MISSED,
    power: float = 0.999,
) -> Needed:
    """How many samples `sequential_test` takes at most, with probability ``power``, for every law.

    With k cells, d the tolerance, b = 1 - power:

    - **reject**, for any law Q with TV(Q, P) >= d: some set A has Q(A) - P(A) >= d, so by Hoeffding's inequality the
      empirical law has TV(F, P) >= d - sqrt(log(1/b) / 2n), and n KL(F, P) >= 2 n TV(F, P)^2. The Dirichlet(1/2) part
      of the e-value, a third of it or half, is at least exp(n KL(F, P) - R), R = log G(n + k/2) G(1/2) / (G(n + 1/2)
      G(k/2)). (f(m) = m log m - log G(m + 1/2) is convex, so the regret is largest where all outcomes are equal.)
    - **accept**, for the reference: TV(F, P) exceeds its mean, at most sum sqrt(P (1 - P) / n) / 2, by sqrt(log(2/b) /
      2n) with probability at most b/2 (McDiarmid); n KL(F, P) has a moment generating function below that of a
      Gamma(k - 1) variable (agrawal2020multinomial), which bounds it with probability 1 - b/2.

    Raises ValueError for what is no law and probabilities outside (0, 1).

    >>> samples_needed({0: 0.5, 1: 0.5}, tolerance=0.1)
    Needed(reject=3359, accept=4250, power=0.999)
    """
    shares = (("tolerance", tolerance), ("false_alarm", false_alarm), ("missed", missed), ("power", power))
    for name, value in shares:
        _check_share(name, value)
    law = np.array(list(check_law("reference", reference).values()))
    cells, lost = len(law), 1 - power

    def enough(n: int) -> bool:
        gap = tolerance - math.sqrt(math.log(1 / lost) / (2 * n))
        regret = math.lgamma(n + cells / 2) + math.lgamma(0.5) - math.lgamma(n + 0.5) - math.lgamma(cells / 2)
        return gap > 0 and 2 * n * gap**2 >= math.log(3 / false_alarm) + regret

    spread = float(np.sqrt(law * (1 - law)).sum()) / 2 + math.sqrt(math.log(2 / lost) / 2)
    excess = _gamma_bound(cells - 1, math.log(2 / lost))
    accept = ((spread + math.sqrt((math.log(2 / missed) + excess) / 2)) / tolerance) ** 2
    return Needed(
        reject=next(end for end in ends() if enough(end)),
        accept=next(end for end in ends() if end >= accept),
        power=power,
    )


def found_from(cells: int, samples: int, *, false_alarm: float = FALSE_ALARM, power: float = 0.99) -> float:
    """Total variation from which on every law is called "biased" within ``samples``, with probability ``power``.

    The bound ``reject`` of `samples_needed`, solved for the total variation, for a reference law of ``cells`` outcomes.
    Most laws are found far earlier; 1.0 where nothing is promised.

    >>> round(found_from(64, 20_000), 3), found_from(64, 10)
    (0.09, 1.0)
    """
    regret = math.lgamma(samples + cells / 2) + math.lgamma(0.5) - math.lgamma(samples + 0.5) - math.lgamma(cells / 2)
    needed = math.sqrt(math.log(3 / false_alarm) + regret) + math.sqrt(math.log(1 / (1 - power)))
    return min(1.0, needed / math.sqrt(2 * samples))


def _gamma_bound(shape: int, level: float) -> float:
    """x with P(X >= x) <= exp(-level) for all X whose moment generating function is below (1 - t)^-shape."""
    slopes = np.linspace(0.001, 0.999, 999)
    return float(np.min((level - shape * np.log1p(-slopes)) / slopes))


def ends(limit: int | None = None) -> Iterator[int]:
    """Sample sizes at which the test looks: 64, then an eighth more each time; the last is ``limit``."""
    end = 0
    while limit is None or end < limit:
        end += max(64, end // 8)
        end = end if limit is None else min(end, limit)
        yield end


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} is {value}; allowed are numbers above 0 and below 1")
