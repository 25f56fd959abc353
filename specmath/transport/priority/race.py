"""The tokens of one group when drafts are distinct: who competes, who loses to all, whose draw ends it."""

from __future__ import annotations

import math
from copy import copy

import numpy as np

from specmath.transport.priority.arrivals import Clock
from specmath.transport.priority.ladder import Ladder, Vector, reach
from specmath.transport.priority.race_response import RaceResponse
from specmath.transport.priority.solver import Solution

FEW = 40  # a crowd smaller than this is not worth its tables


class Race:
    """Tokens that compete (``active``), tokens that lose to all of them (``below``) and tokens whose draw ends it.

    The marginal of an active token x is P(x is drawn, scores highest among the drawn, and no token ``above`` is drawn):

        r_x = int dF_x(score) int dt { q_x A_x [u^{n-1}] E_{-x} + B_x [u^{n-2}] D_{-x} }

    with the series of `arrivals`, where below tokens have F = 1 and those above F = 0; -x leaves x out.
    """

    def __init__(self, active: Vector, below: Vector, above: Vector, n: int) -> None:
        self.n = n
        self.clock = clock = Clock(np.concatenate([active, below, above]), n)
        active, below, above = active * clock.unit, below * clock.unit, above * clock.unit
        large = clock.large(active)
        if len(active) - large.sum() <= FEW:
            large[:] = True
        heads, crowd = np.flatnonzero(large), np.flatnonzero(~large)
        # Falling q; for the crowd its binary exponent is enough, and sorts in linear time.
        self.head = heads[np.argsort(-active[heads], kind="stable")]
        self.crowd = crowd[np.argsort(-np.frexp(active[crowd])[1].astype(np.int16), kind="stable")]
        self.rate = active
        self.late, self.early = clock.late(active[self.head]), clock.early(active[self.head])
        share = active[self.crowd]
        # q, q^2, ... of the crowd; powers that no longer matter are cut off as a tail.
        exponent = -np.frexp(share)[1]
        self.moments = [share]
        for j in range(2, clock.terms + 2):
            least = math.exp((math.log(1e-17) + math.lgamma(j + 1)) / j) / clock.time[-1]
            count = int(np.searchsorted(exponent, -np.frexp(least)[1], side="right"))
            self.moments.append(self.moments[-1][:count] * share[:count])
        others = clock.large(below)
        self.leftover = np.exp(-(share.sum() + below[~others].sum() + above.sum()) * clock.time)[:, None]
        fixed = clock.moments(below[~others])
        series = clock.crowd(np.broadcast_to(fixed[:, None, None], (len(fixed), n, 1)), np.ones((1, 1)))
        for q in below[others]:
            late, early = np.exp(-q * clock.time)[:, None], -np.expm1(-q * clock.time)[:, None]
            series = series.with_token(late, early, q * late)
        self.below = series

    def grouped(self, goal: Vector, groups: int) -> tuple[Race, Vector]:
        """The same race with the crowd in groups of similar goal / q that share one height, and the groups' goals.

        Heads come first, then the groups. Good heights of the groups are a good start for the tokens.
        """
        share, wanted = self.rate[self.crowd], goal[self.crowd]
        order = np.argsort(wanted / share)
        place = np.cumsum(share[order]) / share.sum() + np.cumsum(wanted[order]) / max(wanted.sum(), 1e-300)
        step = np.diff((place * (groups / 2)).astype(np.int64), prepend=0) > 0  # empty groups are passed over
        label = np.empty(len(order), dtype=np.int64)
        label[order] = np.cumsum(step)
        count = int(label.max()) + 1
        coarse = copy(self)
        coarse.moments = [np.bincount(label[: len(power)], power, count) for power in self.moments]
        coarse.rate = np.concatenate([self.rate[self.head], coarse.moments[0]])
        coarse.head, coarse.crowd = np.arange(len(self.head)), np.arange(len(self.head), len(self.head) + count)
        return coarse, np.concatenate([goal[self.head], np.bincount(label, wanted, count)])

    def start(self, rough: Solution, goal: Vector) -> Vector:
        """Heights of all tokens from those of the groups: each token of the crowd best responds to them."""
        found = np.empty(len(self.rate))
        found[self.head] = rough.heights[: len(self.head)]
        state = rough.response
        group = state.marginal[state.race.crowd].sum() / max(float(state.crowd_share() @ state.race.moments[0]), 1e-300)
        knots = reach(state.crowd_table, goal[self.crowd] / (self.rate[self.crowd] * group))
        found[self.crowd] = (knots + np.floor((rough.heights * rough.width).min())) / rough.width
        return found

    def evaluate(self, ladder: Ladder, heights: Vector) -> RaceResponse:
        """Marginals at these heights (in knots of the ladder), and what a solver needs to move them."""
        return RaceResponse(self, ladder, heights)
