"""The exponential race behind n distinct drafts: P(all n drafts lie in a prefix), for any prefixes, on the host."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, Any]

ERROR = 1e-12
"""Stated absolute error of every mass; tests hold it against enumeration over Fractions and a finer direct integral."""

_TAIL = 0.5  # tokens that arrive by the last node with a smaller rate are summed up through their moments
_CELLS = 1 << 21  # numbers in the largest temporary array


@lru_cache
def step_of(n: int) -> float:
    """Step of the trapezoid rule in log t that leaves an error below 1e-17 for n drafts.

    In log t the time of the n-th arrival among many small tokens has the Fourier transform Gamma(n + i w) / Gamma(n),
    and the rule's error is that at w = 2 pi / step. Heavy tokens only spread the arrivals further.
    """
    frequency = 20.0
    while True:
        wave = math.pi * frequency
        log_square = math.log(2 * wave) - wave  # |Gamma(1 + i w)|^2 = pi w / sinh(pi w)
        log_square += sum(math.log1p((frequency / k) ** 2) for k in range(1, n))
        if log_square < 2 * math.log(1e-17):
            return 2 * math.pi / frequency
        frequency *= 1.05


def leftover(laws: FloatArray, n: int) -> FloatArray:
    """Mass (B,) that the n - 1 likeliest tokens leave, summed over the small ones: 1 - top would lose it."""
    cut = max(laws.shape[1] - n + 1, 0)
    return (np.partition(laws, cut, axis=1)[:, :cut] if cut < laws.shape[1] else laws).sum(axis=1)


class Race:
    """P(all n drafts among the first m tokens) of ordered laws (B, V), for the m one asks for.

    Token x arrives at time Exp(q_x); the drafts are the first n arrivals. With l = mass of the tokens outside H and
    D(t) = density of the n-th arrival within H,

        Q(H) = int_0^inf e^{-l t} D(t) dt,    D(t) = [u^(n-1)] sum_{y in H} q_y A_y prod_{z in H, z != y} (A_z + B_z u),

    A = e^{-q t}, B = 1 - A, by the trapezoid rule in log t. Each term is non-negative, so no mass is lost to
    cancellation, and the integrand vanishes at both ends. Tokens of small rate enter only through the sums of their
    powers q^j (the logarithm of the product is additive), the at most 84 + 9 n others through explicit products:
    the set-up takes O(V n), each further prefix O(n^2 M) for M nodes. M grows with the logarithm of the mass that the
    n - 1 likeliest tokens leave: 90 for n = 3 and 55 for n = 16 if they leave nearly all, 3,500 and more for 1e-300.

    Source: yellott1977luce (the race), trefethen2014trapezoidal (the rule); docs/theory/optimal_acceptance.md.
    """

    def __init__(self, ordered: FloatArray, n: int) -> None:
        rows, size = ordered.shape
        self.n, self.size = n, size
        # Everything has happened by the last node, at (42 + 4 n) / rest; rates are per that time, huge ones capped.
        rest = leftover(ordered, n)
        self.rest, self.span = np.where(rest > 0, rest, 1.0), 42.0 + 4.0 * n
        first = math.log(1e-18) / n
        self.step = step_of(n)
        count = int(np.ceil((np.log(self.span) - np.log(np.min(self.rest, initial=1.0)) - first) / self.step)) + 1
        self.share = np.exp(-self.step * np.arange(count))  # t over the last node, the same for every row
        self.outside = np.zeros((rows, size + 1))
        np.cumsum(ordered[:, ::-1], axis=1, out=self.outside[:, -2::-1])
        rates = self._rates(ordered, np.arange(rows)[:, None])
        row, column = np.nonzero(rates > _TAIL)
        slot = np.arange(len(row)) - np.searchsorted(row, row)
        heads = int(np.max(slot, initial=-1)) + 1
        self.columns = np.full((rows, heads), size)
        self.columns[row, slot] = column
        head_rates = np.zeros((rows, heads))
        head_rates[row, slot] = rates[row, column]
        rates[row, column] = 0.0
        self._moments(rates)
        self._heads(head_rates)

    def _rates(self, masses: FloatArray, row: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):
            return self.span * np.minimum(masses / self.rest[row], 1e300)

    def _moments(self, rates: FloatArray) -> None:
        """Cumulative sums of x^j over the tail, x = q t at the last node, and the series of (e^x - 1)^k they feed."""
        n, terms = self.n, self.n + 14
        self.moments = np.zeros((terms, *self.outside.shape))
        power = rates.copy()
        for j in range(terms):
            np.cumsum(power, axis=1, out=self.moments[j, :, 1:])
            if j + 1 < terms:
                power *= rates
        base = np.array([0.0, *(1 / math.factorial(j) for j in range(1, terms + 1))])
        series = [np.eye(1, terms + 1)[0]]
        for _ in range(n - 1):
            series.append(np.convolve(series[-1], base)[: terms + 1])
        powers = self.share[:, None] ** np.arange(terms + 1)
        # sums of a^k, k = 1..n-1, and of (q t) a^k, k = 0..n-1, with a = e^{q t} - 1; both in moments j = 1..terms
        sums = [c[1:, None] * powers.T[1:] for c in series[1:]]
        weighted = [c[:-1, None] * powers.T[1:] for c in series]
        self.kernel = np.concatenate([*sums, *weighted], axis=1)

    def _heads(self, rates: FloatArray) -> None:
        """Polynomials of the first h head tokens: `both[h]` (B, 2, n, M) = arrivals, and arrivals times a last one."""
        rows, heads = rates.shape
        self.both = np.zeros((heads + 1, rows, 2, self.n, len(self.share)))
        self.both[0, :, 0, 0] = 1.0
        for h in range(heads):
            rate = rates[:, h, None] * self.share
            late, early = np.exp(-rate)[:, None, None], -np.expm1(-rate)[:, None, None]
            before, after = self.both[h], self.both[h + 1]
            np.multiply(late, before, out=after)
            after[:, :, 1:] += early * before[:, :, :-1]
            after[:, 1] += (rate * late[:, 0, 0])[:, None] * before[:, 0]

    def masses(self, positions: FloatArray) -> FloatArray:
        """Q of the first m tokens for every m of positions (B, P), whole numbers in 0..V; shape (B, P)."""
        rows, wanted = positions.shape
        found = np.empty((rows, wanted))
        step = max(1, _CELLS // (2 * self.n * len(self.share)))
        width = max(1, min(wanted, step))
        height = max(1, step // width)
        for top in range(0, rows, height):
            for start in range(0, wanted, width):
                block = np.s_[top : top + height, start : start + width]
                found[block] = self._block(np.arange(rows)[top : top + height, None], positions[block])
        return found

    def _block(self, row: FloatArray, place: FloatArray) -> FloatArray:
        n, nodes = self.n, len(self.share)
        # Not by BLAS: its threads cost more than they save on matrices this small.
        sums = np.einsum("jbp,jk->bpk", self.moments[:, row, place], self.kernel)
        sums = sums.reshape(*place.shape, 2 * n - 1, nodes)
        tail = np.empty((*place.shape, n, nodes))  # coefficients of prod (A + B u) over the tail
        tail[..., 0, :] = np.exp(-sums[..., n - 1, :])
        for k in range(1, n):
            total = sums[..., 0, :] * tail[..., k - 1, :]
            for i in range(2, k + 1):
                total += (-1) ** (i - 1) * sums[..., i - 1, :] * tail[..., k - i, :]
            tail[..., k, :] = total / k
        count = (self.columns[row[:, 0], None, :] < place[:, :, None]).sum(axis=-1)
        head = self.both[count, row]
        density = np.zeros((*place.shape, nodes))
        for k in range(n):
            # [u^k] of (last arrival in the tail) = sum_i (-1)^i (sum of q t a^i) tail_{k-i}
            final = sums[..., n - 1, :] * tail[..., k, :]
            for i in range(1, k + 1):
                final += (-1) ** i * sums[..., n - 1 + i, :] * tail[..., k - i, :]
            density += head[..., 0, n - 1 - k, :] * final
            density += head[..., 1, n - 1 - k, :] * tail[..., k, :]
        rate = self._rates(self.outside[row, place], row)[..., None] * self.share
        density *= np.exp(-rate)
        found = np.clip(self.step * density.sum(axis=-1), 0.0, 1.0)
        # Fewer than n tokens cannot hold n distinct drafts; all possible tokens always do.
        return np.where(place < n, 0.0, np.where(self.outside[row, place] > 0, found, 1.0))


def prefix_masses(ordered: FloatArray, n: int) -> FloatArray:
    """P(all n drafts among the first m tokens) for m = 0..V; ordered (B, V) float64 rows, result (B, V + 1).

    >>> prefix_masses(np.array([[0.25, 0.25, 0.5]]), 2).round(9).tolist()
    [[0.0, 0.0, 0.166666667, 1.0]]
    """
    rows, size = ordered.shape
    places = np.broadcast_to(np.arange(size + 1), (rows, size + 1))
    return Race(ordered, n).masses(places)


def best_prefix(target: FloatArray, draft: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """max_m [Q(first m) - p(first m)] and the first m that reaches it, for ordered laws (B, V).

    Q grows ever faster per unit of draft mass along the order (q-convexity, on which the prefixes' optimality rests
    too), so between two known prefixes it lies below the chord. Only prefixes whose chord could still beat the best
    known one by 1e-15 are evaluated. Small vocabularies are evaluated whole.
    """
    rows, size = draft.shape
    gain, count = np.zeros(rows), np.zeros(rows, dtype=np.int64)
    if size > 32:
        for row in range(rows):
            gain[row], count[row] = _search(target[row], draft[row], n)
        return gain, count
    alike = np.argsort(leftover(draft, n))  # rows of one block share their nodes, and their number grows with the peak
    for top in range(0, rows, 16):
        part = alike[top : top + 16]
        missed = np.zeros((len(part), size + 1))
        np.cumsum(target[part], axis=1, out=missed[:, 1:])
        gains = prefix_masses(draft[part], n) - missed
        count[part] = np.argmax(gains, axis=1)
        gain[part] = np.max(gains, axis=1)
    return gain, count


def _search(target: FloatArray, draft: FloatArray, n: int) -> tuple[float, int]:
    race = Race(draft[None], n)
    missed, held = np.zeros(race.size + 1), np.zeros(race.size + 1)
    np.cumsum(target, out=missed[1:])
    np.cumsum(draft, out=held[1:])
    # Ends of equal steps in target plus draft mass, and both ends: intervals of more mass hold a single token.
    both = missed + held
    known = np.unique([0, race.size, *np.searchsorted(both, np.linspace(0, both[-1], 96)[1:-1])])
    masses = race.masses(known[None])[0]
    left = np.arange(1, race.size)
    while True:
        gains = masses - missed[known]
        best = int(np.argmax(gains))
        chord = np.interp(held[left], held[known], masses)
        left = left[chord - missed[left] > gains[best] + 1e-15]
        left = left[~np.isin(left, known)]
        if not len(left):
            return float(gains[best]), int(known[best])
        fresh = left[np.unique(np.linspace(0, len(left) - 1, 64).astype(np.int64))]
        known = np.concatenate([known, fresh])
        masses = np.concatenate([masses, race.masses(fresh[None])[0]])
        order = np.argsort(known)
        known, masses = known[order], masses[order]
