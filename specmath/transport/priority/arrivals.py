"""The exponential race behind drafts without replacement: token x arrives at time Exp(q_x), the first n are drafted.

At a time t, token y is late with probability A = e^{-q t} and early with B = 1 - A. Two truncated power series in u,
which counts arrivals, describe all tokens at once, F_y being the probability that y scores below a given score:

    E(u) = prod_y (A_y + u B_y F_y),        D(u) = sum_y q_y A_y F_y prod_{z != y} (A_z + u B_z F_z),

D marks the token that arrives just now. Tokens with large q t (heads) enter factor by factor. The many small ones (the
crowd) enter through moments: with a = e^{q t} - 1,

    log prod (1 + u a F) = sum_k (-1)^{k+1} u^k / k sum_y (a F)^k,      a^k = sum_j c_kj (q t)^j.
"""

from __future__ import annotations

import math

import numpy as np

from specmath.draft_laws.race import step_of
from specmath.transport.priority.ladder import Vector

SMALL = 0.3  # largest q t of the crowd: its Taylor series in q t then end below 1e-16
LAST = 40.0  # exp(-LAST) is what the time axis leaves out


class Series:
    """A pair (E, D) of truncated power series, coefficients first: E has n of them, D has n - 1."""

    def __init__(self, product: Vector, marked: Vector) -> None:
        self.product, self.marked = product, marked

    @staticmethod
    def one(n: int, shape: tuple[int, ...]) -> Series:
        product = np.zeros((n, *shape))
        product[0] = 1.0
        return Series(product, np.zeros((n - 1, *shape)))

    def with_token(self, late: Vector, early: Vector, rate: Vector) -> Series:
        """The pair after one more token: late A, early B F, rate q A F."""
        product, marked = self.product * late, self.marked * late
        product[1:] += early * self.product[:-1]
        marked[1:] += early * self.marked[:-1]
        marked += rate * self.product[:-1]
        return Series(product, marked)

    def times(self, other: Series) -> Series:
        """The pair of the union of two disjoint groups of tokens."""
        n = len(self.product)
        return Series(
            np.stack([coefficient(self.product, other.product, k) for k in range(n)]),
            np.stack(
                [
                    coefficient(self.marked, other.product, k) + coefficient(self.product, other.marked, k)
                    for k in range(n - 1)
                ]
            ),
        )


def coefficient(left: Vector, right: Vector, k: int) -> Vector:
    """[u^k] of a product of two series, coefficients first."""
    return sum((left[i] * right[k - i] for i in range(k + 1)), np.zeros(()))


def powers(k: int, last: int) -> Vector:
    """Coefficients of (e^x - 1)^k up to x^last."""
    base = np.array([0.0] + [1 / math.factorial(j) for j in range(1, last + 1)])
    found = np.zeros(last + 1)
    found[0] = 1.0
    for _ in range(k):
        found = np.convolve(found, base)[: last + 1]
    return found


class Clock:
    """Nodes and weights of the trapezoid rule in log t, and what of the crowd's series does not depend on scores.

    Rates are the draft's probabilities times ``unit``, so that about at time 1 the n drafts have arrived.

    The error of the rule falls geometrically with the step, see `draft_laws.race.step_of`.
    """

    def __init__(self, draft: Vector, n: int) -> None:
        self.n = n
        step = step_of(n)
        small = len(draft) - (n - 1)
        rest = np.partition(draft, small)[:small].sum() if n > 1 else draft.sum()  # 1 - top would cancel
        length = math.log(LAST / max(rest, 1e-300))
        # The unit of time is the last node: the law of the order of arrivals is the same, and no power overflows.
        self.unit = math.exp(length)
        self.time = np.exp(np.arange(math.log(1e-18) / n - length, step, step))
        self.weight = step * self.time
        self.terms = n + 14
        self.taylor = [powers(k, self.terms + 1) for k in range(n + 1)]
        self.powers = self.time ** np.arange(self.terms + 2)[:, None]

    def late(self, rate: Vector) -> Vector:
        return np.exp(-rate[:, None] * self.time)

    def early(self, rate: Vector) -> Vector:
        return -np.expm1(-rate[:, None] * self.time)

    def large(self, rate: Vector) -> Vector:
        """Which tokens are heads."""
        return rate * self.time[-1] > SMALL

    def moments(self, rate: Vector) -> Vector:
        """sum q^j for j = 1..terms + 1."""
        found, power = [], np.ones_like(rate)
        for _ in range(self.terms + 1):
            power = power * rate
            found.append(power.sum())
        return np.array(found)

    def crowd(self, moments: Vector, leftover: Vector) -> Series:
        """The pair of a crowd from ``moments[j - 1, k]`` = sum_y q^j F^k (k = 0..n - 1, then nodes); A = ``leftover``.

        Shapes: moments (terms + 1, n, ...), leftover (times, ...), result (n, times, ...).
        """
        n, last = self.n, self.terms
        sums = [np.zeros(())]
        marks = []
        for k in range(1, n):
            by_time = (self.powers[1 : last + 1].T * self.taylor[k][1 : last + 1]) @ moments[:last, k]
            sums.append((-1) ** (k + 1) * by_time)
            marked = (self.powers[: last + 1].T * self.taylor[k - 1][: last + 1]) @ moments[:, k]
            marks.append((-1) ** (k - 1) * marked)
        product = [np.ones_like(sums[1])]
        for k in range(1, n):
            product.append(sum((sums[i] * product[k - i] for i in range(1, k + 1)), np.zeros(())) / k)
        product = [leftover * entry for entry in product]
        marked = [coefficient(np.stack(marks), np.stack(product), k) for k in range(n - 1)]
        return Series(np.stack(product), np.stack(marked))
