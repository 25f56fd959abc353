"""Selection marginals of graded priority for drafts without replacement, by the exponential race."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from specmath.transport.priority.arrivals import Series, coefficient
from specmath.transport.priority.derivatives import Derivatives, Tokens, of_race
from specmath.transport.priority.ladder import Ladder, Vector, reach, unknowns


class RaceResponse:
    """Marginals of a `Race` at given heights; everything is computed when asked for, and kept."""

    def __init__(self, race: Tokens, ladder: Ladder, heights: Vector) -> None:
        self.race, self.ladder = race, ladder
        self.cell, self.fraction = ladder.split(heights)

    @cached_property
    def head_below(self) -> Vector:
        """F of every head at the nodes."""
        return self.ladder.mixed(self.ladder.below, self.cell[self.race.head], self.fraction[self.race.head])

    @cached_property
    def head_mass(self) -> Vector:
        return self.ladder.mixed(self.ladder.mass, self.cell[self.race.head], self.fraction[self.race.head])

    @cached_property
    def _crowd_moments(self) -> Vector:
        """sum q^j F^k over the crowd: (terms + 1, n, nodes). F^k is a binomial in the fraction, cell by cell."""
        race, ladder = self.race, self.ladder
        cell, fraction = self.cell[race.crowd], self.fraction[race.crowd]
        found = np.zeros((len(race.moments), race.n, ladder.below.shape[1]))
        binned = np.zeros((len(race.moments), race.n, ladder.cells))
        for j, power in enumerate(race.moments):
            for i in range(race.n):
                binned[j, i] = np.bincount(cell[: len(power)], power, ladder.cells)
                power = power * fraction[: len(power)]
        low = ladder.below[:-1]
        for k in range(race.n):
            for i in range(k + 1):
                found[:, k] += math.comb(k, i) * (binned[:, i] @ (low ** (k - i) * ladder.lift**i))
        return found

    @cached_property
    def _series(self) -> tuple[list[Series], list[Series]]:
        """Products from the left (crowd and below tokens, then heads 0..i) and from the right (heads i..)."""
        race = self.race
        if len(race.crowd):
            start = race.clock.crowd(self._crowd_moments, race.leftover).times(race.below)
        else:
            size = (len(race.clock.time), self.ladder.below.shape[1])
            start = Series(race.below.product * race.leftover, race.below.marked * race.leftover)
            start = start.times(Series.one(race.n, size))
        left, right = [start], [Series.one(race.n, start.product.shape[1:])]
        for i in range(len(race.head)):
            left.append(left[-1].with_token(*self.token(i)))
        for i in reversed(range(len(race.head))):
            right.append(right[-1].with_token(*self.token(i)))
        return left, right[::-1]

    def token(self, i: int) -> tuple[Vector, Vector, Vector]:
        """Factors of head i: A, B F and q A F."""
        race, below = self.race, self.head_below[i]
        late = race.late[i][:, None]
        return late, race.early[i][:, None] * below, race.rate[race.head[i]] * late * below

    @property
    def all(self) -> Series:
        """The pair of all tokens."""
        return self._series[0][-1]

    def rest_of(self, first: int) -> Series:
        """The pair of the crowd, the tokens below, and the heads from ``first`` on."""
        left, right = self._series
        return left[0].times(right[first])

    def without_each(self, k: int) -> tuple[Vector, Vector]:
        """[u^k] of E and of D with one head left out: two arrays (heads, times, nodes)."""
        left, right = self._series
        pairs = [(a, b) for a, b in zip(left[:-1], right[1:], strict=True)]
        product = [coefficient(a.product, b.product, k) for a, b in pairs]
        if k > self.race.n - 2:
            return np.stack(product), np.zeros(())
        marked = [coefficient(a.marked, b.product, k) + coefficient(a.product, b.marked, k) for a, b in pairs]
        return np.stack(product), np.stack(marked)

    @cached_property
    def head_win(self) -> Vector:
        """P(head is drawn and all others drawn score below the node), (heads, nodes)."""
        race, weight = self.race, self.race.clock.weight
        if not len(race.head):
            return np.zeros((0, self.ladder.below.shape[1]))
        product, _ = self.without_each(race.n - 1)
        _, marked = self.without_each(race.n - 2)
        arriving = race.rate[race.head][:, None] * race.late * weight
        return np.einsum("xtz,xt->xz", product, arriving) + np.einsum("xtz,xt->xz", marked, race.early * weight)

    @cached_property
    def crowd_table(self) -> Vector:
        """For a token of vanishing q: marginal / q at every knot, (cells + 1,)."""
        clock, n = self.race.clock, self.race.n
        win = clock.weight @ (self.all.product[n - 1] + clock.time[:, None] * self.all.marked[n - 2])
        return self.ladder.mass @ win

    @cached_property
    def marginal(self) -> Vector:
        """r, one number per active token."""
        race = self.race
        found = np.empty(len(race.rate))
        found[race.head] = (self.head_mass * self.head_win).sum(axis=1)
        if len(race.crowd):
            found[race.crowd] = self._crowd_marginal()
        return found

    def _crowd_marginal(self) -> Vector:
        """r of the crowd, exactly: a polynomial in q and in the fraction, cell by cell.

        Leaving out y itself divides the series by 1 + u a F, which gives
        r / mass = q E[n-1] + a sum_k (-a F)^k { D[n-2-k] - (k + 2) q F E[n-2-k] }.
        """
        race, ladder, clock, n = self.race, self.ladder, self.race.clock, self.race.n
        product, marked = self.all.product, self.all.marked
        terms = np.zeros((n, clock.terms + 2, ladder.below.shape[1]))  # by power of F, by power of q
        terms[0, 1] += clock.weight @ product[n - 1]
        for k in range(n - 1):
            series = clock.powers[: clock.terms + 1] * clock.weight * clock.taylor[k + 1][: clock.terms + 1, None]
            terms[k, : clock.terms + 1] += (-1) ** k * (series @ marked[n - 2 - k])
            terms[k + 1, 1 : clock.terms + 2] -= (-1) ** k * (k + 2) * (series @ product[n - 2 - k])
        points = np.arange(n + 1)[:, None] / n
        below = (1 - points) * ladder.below[:-1, None] + points * ladder.below[1:, None]
        mass = (1 - points) * ladder.mass[:-1, None] + points * ladder.mass[1:, None]
        values = np.zeros((ladder.cells, n + 1, clock.terms + 2))
        for k in range(n):
            values += np.tensordot(mass * below**k, terms[k], (2, 1))
        inverse = np.linalg.inv(np.vander(points[:, 0], n + 1, increasing=True))
        polynomial = np.einsum("il,clj->jic", inverse, values)  # (power of q, power of the fraction, cell)
        cell, fraction = self.cell[race.crowd], self.fraction[race.crowd]
        found = np.zeros(len(race.crowd))
        for j, power in enumerate(race.moments):
            count = len(power)
            place, share = cell[:count], fraction[:count]
            value = polynomial[j + 1, n][place]
            for i in reversed(range(n)):
                value *= share
                value += polynomial[j + 1, i][place]
            value *= power
            found[:count] += value
        return found

    def crowd_share(self) -> Vector:
        """`crowd_table` at the heights of the crowd."""
        return self.ladder.mixed(self.crowd_table, self.cell[self.race.crowd], self.fraction[self.race.crowd])

    @cached_property
    def _own(self) -> tuple[Vector, Vector]:
        """The heads' own tables (heads, cells + 1), and per crowd token the factor on `crowd_table`."""
        race = self.race
        factor = self.marginal[race.crowd] / np.maximum(self.crowd_share(), 1e-300)
        return self.head_win @ self.ladder.mass.T, factor

    @cached_property
    def slope(self) -> Vector:
        """d r_x / d height of x alone."""
        race, (tables, factor) = self.race, self._own
        found = np.empty(len(race.rate))
        rows, cell = np.arange(len(race.head)), self.cell[race.head]
        found[race.head] = tables[rows, cell + 1] - tables[rows, cell]
        cell = self.cell[race.crowd]
        found[race.crowd] = factor * (self.crowd_table[cell + 1] - self.crowd_table[cell])
        return found

    def best_response(self, goal: Vector) -> Vector:
        """Heights at which each token alone would meet its goal, the others staying (crowd: to first order in q)."""
        race, (tables, factor) = self.race, self._own
        found = np.empty(len(race.rate))
        found[race.head] = [reach(table, aim) for table, aim in zip(tables, goal[race.head], strict=True)]
        found[race.crowd] = reach(self.crowd_table, goal[race.crowd] / np.maximum(factor, 1e-300))
        return found

    @cached_property
    def _derivatives(self) -> Derivatives:
        return of_race(self)

    def newton(self, residual: Vector, diagonal: Vector, free: Vector) -> Vector:
        """Change of the heights that removes the residual to first order, with ``diagonal`` for the own slopes.

        Tokens that are not free stay. Heads are unknowns of their own; the crowd enters through S_c = sum of q dh over
        the free tokens of cell c, so that the system has heads + cells unknowns.
        """
        race, cells = self.race, self.ladder.cells
        links = self._derivatives
        heads = len(race.head)
        matrix = np.eye(heads + cells)
        right = np.zeros(heads + cells)
        held = ~free[race.head]
        matrix[:heads, :heads] = links.head_head
        matrix[np.arange(heads), np.arange(heads)] = diagonal[race.head]
        matrix[:heads, heads:] = links.head_crowd
        matrix[:heads][held] = np.eye(heads + cells)[:heads][held]
        right[:heads] = np.where(held, 0.0, residual[race.head])
        share, cell, fraction = race.rate[race.crowd], self.cell[race.crowd], self.fraction[race.crowd]
        moves = np.where(free[race.crowd], 1 / diagonal[race.crowd], 0.0)
        upper = np.bincount(cell, moves * share * share * fraction, cells)
        lower = np.bincount(cell, moves * share * share, cells) - upper
        spread = np.zeros((cells, cells + 1))
        spread[np.arange(cells), np.arange(cells)] = lower
        spread[np.arange(cells), np.arange(cells) + 1] = upper
        matrix[heads:, heads:] += spread @ links.crowd_crowd
        matrix[heads:, :heads] = spread @ links.crowd_head
        right[heads:] = np.bincount(cell, moves * share * residual[race.crowd], cells)
        scale = 1 / np.maximum(np.abs(np.diag(matrix)), 1e-300)
        solution = unknowns(matrix * scale[:, None], right * scale)
        field = links.crowd_crowd @ solution[heads:] + links.crowd_head @ solution[:heads]
        change = np.empty(len(race.rate))
        change[race.head] = solution[:heads]
        change[race.crowd] = moves * (residual[race.crowd] - share * self.ladder.mixed(field, cell, fraction))
        return change
