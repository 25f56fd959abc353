"""What independent outcomes say about one law: an e-value against it, and a confidence sequence for the distance to it.

Both come from one likelihood. Let P be the reference law, x_1 .. x_n the outcomes, and M a mixture of likelihood ratios
against P that was fixed beforehand:

- Dirichlet(1/2) over the cells of P, which can follow any law;
- Dirichlet(c P) for several strengths c, over the cells and, where outcomes are tuples, over those of every prefix:
  strong ones see small differences spread over many cells, weak ones large differences in few;
- laws that the caller names: known defects.

**False alarms.** If outcomes follow P given the past, each ratio is a martingale of mean one, hence so is M. By Ville's
inequality P(M ever reaches 1/a) <= a, at every stopping time, however often one looks.

**Distance.** Let N = (P + P M) / 2, a likelihood, and suppose outcomes are independent draws from Q, any law. N / Q is
a supermartingale of mean at most one, so with probability 1 - a, for all n at once, log N - log Q < log(1/a). With the
empirical law F, log F - log Q = n KL(F, Q) >= 2 n TV(F, Q)^2 (Pinsker's inequality), hence

    TV(F, Q) <= r,    r^2 = (log(1/a) + log F - log N) / (2 n),    |TV(Q, P) - TV(F, P)| <= r.

No regret is paid for where Q = P, because P is half of N. Source: ramdas2023game, Sections 2 and 4.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specmath.exact import Number

STRENGTHS = tuple(4.0**j for j in range(1, 11))
"""Prior counts c of the mixtures Dirichlet(c P)."""

TOLERANCE = 1e-9
"""Largest |sum - 1| of a law."""


def check_law(name: str, law: Mapping[Any, Number]) -> dict[Hashable, float]:
    """The outcomes of positive probability, in float; ValueError naming ``name`` for what is no law."""
    if not isinstance(law, Mapping) or not law:
        raise ValueError(f"{name} is {type(law).__name__}; allowed is a mapping of outcomes to probabilities")
    for outcome, probability in law.items():
        if not 0 <= probability < math.inf:
            raise ValueError(f"{name}: probability {probability} of {outcome!r}; allowed are numbers >= 0")
    total = float(sum(law.values()))
    if abs(total - 1) > TOLERANCE:
        raise ValueError(f"{name} sums to {total:.12g}; allowed is 1 within {TOLERANCE:g}")
    return {outcome: float(probability) for outcome, probability in law.items() if probability > 0}


def prefixes(outcomes: Sequence[Hashable]) -> list[NDArray[np.intp]]:
    """Groups of outcomes: each by itself, and, for tuples, those that begin alike; one index array (k,) per grouping.

    >>> [groups.tolist() for groups in prefixes([(0, 0), (0, 1), (1, 0)])]
    [[0, 1, 2], [0, 0, 1]]
    """
    found = [np.arange(len(outcomes))]
    if all(isinstance(outcome, tuple) for outcome in outcomes):
        rows = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
        for length in range(1, max(map(len, rows))):
            numbers: dict[tuple[Hashable, ...], int] = {}
            found.append(np.array([numbers.setdefault(row[:length], len(numbers)) for row in rows], dtype=np.intp))
    return found


class Evidence:
    """Counts of outcomes, and what they say about ``reference``; see the module for the proofs.

    Parameters
    ----------
    reference : outcome -> probability, the law that is claimed.
    alternatives : name -> law, defects whose law is known.

    Raises ValueError for what is no law.

    >>> seen = Evidence({0: 0.5, 1: 0.5})
    >>> seen.update([0, 1] * 500)
    >>> seen.samples, seen.log_e_value < 0, [round(end, 3) for end in seen.interval(1e-9)]
    (1000, True, [0.0, 0.103])
    """

    def __init__(
        self,
        reference: Mapping[Any, Number],
        alternatives: Mapping[str, Mapping[Any, Number]] | None = None,
    ) -> None:
        law = check_law("reference", reference)
        self._cells = {outcome: place for place, outcome in enumerate(law)}
        self._law = np.array(list(law.values()))
        self._groups = prefixes(list(law))
        self._others: dict[str, NDArray[np.float64]] = {}
        for name, other in (alternatives or {}).items():
            checked = check_law(f"alternatives[{name!r}]", other)
            self._others[name] = np.array([checked.get(outcome, 0.0) for outcome in law])
        self._counts = np.zeros(len(law), dtype=np.int64)
        self.samples = 0
        self.impossible: Hashable | None = None
        """The first outcome of probability zero; one is enough to reject the law."""

    def update(self, outcomes: Iterable[Hashable]) -> None:
        """Count more outcomes."""
        for outcome, times in Counter(outcomes).items():
            self.samples += times
            place = self._cells.get(outcome)
            if place is not None:
                self._counts[place] += times
            elif self.impossible is None:
                self.impossible = outcome

    @property
    def log_e_value(self) -> float:
        """log M; infinite after an impossible outcome."""
        if self.impossible is not None:
            return math.inf
        groups = [[_dirichlet(self._counts, self._law, np.full(len(self._law), 0.5))]]
        groups.append([self._tilted(cells, strength) for cells in self._groups for strength in STRENGTHS])
        groups.append(list(self._ratios().values()))
        return _log_mean([_log_mean(group) for group in groups if group])

    @property
    def total_variation(self) -> float:
        """TV(F, P) of the empirical law, 1/2 sum |F - P|; above zero for finitely many samples of P itself."""
        shares = self._counts / max(self.samples, 1)
        outside = 1 - shares.sum()
        return float(np.abs(shares - self._law).sum() + outside) / 2

    def interval(self, missed: float) -> tuple[float, float]:
        """Ends between which TV(Q, P) lies for all sample sizes at once, but for probability ``missed``."""
        if self.impossible is not None or not self.samples:
            return 0.0, 1.0
        shares = self._counts[self._counts > 0] / self.samples
        excess = float(self.samples * np.sum(shares * np.log(shares / self._law[self._counts > 0])))  # log F - log P
        above = excess - float(np.logaddexp(0.0, self.log_e_value)) + math.log(2)  # log F - log N
        radius = math.sqrt((math.log(1 / missed) + above) / (2 * self.samples))
        seen = self.total_variation
        return max(seen - radius, 0.0), min(seen + radius, 1.0)

    @property
    def cause(self) -> str | None:
        """The alternative that explains the outcomes at least as well as the whole mixture does, if one does."""
        ratios = self._ratios()
        best = max(ratios, key=ratios.__getitem__, default=None)
        return best if best is not None and ratios[best] >= max(self.log_e_value, 0.0) else None

    def _tilted(self, cells: NDArray[np.intp], strength: float) -> float:
        counts = np.asarray(np.bincount(cells, weights=self._counts), dtype=np.int64)
        law = np.asarray(np.bincount(cells, weights=self._law), dtype=np.float64)
        return _dirichlet(counts, law, strength * law)

    def _ratios(self) -> dict[str, float]:
        seen = self._counts > 0
        with np.errstate(divide="ignore"):
            return {
                name: float(self._counts[seen] @ np.log(other[seen] / self._law[seen]))
                for name, other in self._others.items()
            }


def _dirichlet(counts: NDArray[np.int64], law: NDArray[np.float64], prior: NDArray[np.float64]) -> float:
    """log of the likelihood ratio of Dirichlet(prior) against the law; counts, law and prior (k,)."""
    from scipy.special import gammaln

    n, total = counts.sum(), prior.sum()
    joint = gammaln(prior + counts) - gammaln(prior) - counts * np.log(law)
    return float(joint.sum() + gammaln(total) - gammaln(total + n))


def _log_mean(logs: Sequence[float]) -> float:
    return float(np.logaddexp.reduce(logs) - math.log(len(logs)))
