"""How the marginal of one token answers to the height of another, for drafts without replacement.

    d r_x / d height_y = sum over nodes of  mass_x kappa_xy lift_y,
    kappa_xy = int dt { (q_x A_x B_y + B_x q_y A_y) [u^{n-2}] E_{-xy} + B_x B_y [u^{n-3}] D_{-xy} },

symmetric in x and y. Series without two tokens: for a token with moderate a = e^{q t} - 1 dividing by A (1 + u a F) is
stable; pairs of two large tokens are multiplied out from the others. Crowd tokens enter in the limit q -> 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from specmath.transport.priority.arrivals import Clock, Series, coefficient
from specmath.transport.priority.ladder import Ladder, Vector

GIANT = 3.0  # q t from which dividing a token out would lose digits: (e^3)^(n - 1) eps is still small


class Tokens(Protocol):
    """The tokens of a race, as `race.Race` keeps them."""

    n: int
    clock: Clock
    head: Vector
    crowd: Vector
    rate: Vector
    late: Vector
    early: Vector
    moments: list[Vector]
    leftover: Vector
    below: Series


class State(Protocol):
    """A race at given heights, as `race_response.RaceResponse` computes it."""

    race: Tokens
    ladder: Ladder
    cell: Vector

    @cached_property
    def head_below(self) -> Vector: ...
    @cached_property
    def head_mass(self) -> Vector: ...
    @property
    def all(self) -> Series: ...
    def rest_of(self, first: int) -> Series: ...
    def without_each(self, k: int) -> tuple[Vector, Vector]: ...
    def token(self, i: int) -> tuple[Vector, Vector, Vector]: ...


@dataclass(frozen=True)
class Derivatives:
    """Derivatives of marginals by heights, the heads' own ones left out.

    ``head_head`` (x, y); ``head_crowd`` (x, cell) and ``crowd_crowd`` (knot, cell) per unit of sum q dh in the cell;
    ``crowd_head`` (knot, y); the crowd's per unit of q.
    """

    head_head: Vector
    head_crowd: Vector
    crowd_head: Vector
    crowd_crowd: Vector


def of_race(state: State) -> Derivatives:
    """All of them at the state's heights."""
    race, ladder, n = state.race, state.ladder, state.race.n
    weight, time = race.clock.weight, race.clock.time
    whole = state.all
    crowd = (2 * time * weight) @ whole.product[n - 2]
    if n >= 3:
        crowd += (time**2 * weight) @ whole.marked[n - 3]
    crowd_crowd = (ladder.mass * crowd) @ ladder.lift.T
    heads = len(race.head)
    if not heads:
        return Derivatives(np.zeros((0, 0)), np.zeros((0, ladder.cells)), np.zeros((ladder.cells + 1, 0)), crowd_crowd)
    share = race.rate[race.head]
    arriving = share[:, None] * race.late
    lift = ladder.lift[state.cell[race.head]]
    alone = [state.without_each(k) for k in range(n - 1)]  # [u^k] of E and D without x
    reaction = np.einsum("xtz,xt->xz", alone[n - 2][0], (arriving * time + race.early) * weight)
    if n >= 3:
        reaction += np.einsum("xtz,xt->xz", alone[n - 3][1], race.early * time * weight)
    giants = int((share * time[-1] > GIANT).sum())
    head_head = np.zeros((heads, heads))
    if heads > giants:
        head_head[:, giants:] = _divided(state, alone, arriving, slice(0, heads), slice(giants, heads), lift)
        if giants:
            turned = _divided(state, alone, arriving, slice(0, giants), slice(giants, heads), lift, turned=True)
            head_head[giants:, :giants] = turned.T
    _pairs(state, arriving, lift, giants, head_head)
    return Derivatives(
        head_head,
        (state.head_mass * reaction) @ ladder.lift.T,
        ladder.mass @ (reaction * lift).T,
        crowd_crowd,
    )


def _divided(
    state: State,
    alone: list[tuple[Vector, Vector]],
    arriving: Vector,
    kept: slice,
    divided: slice,
    lift: Vector,
    turned: bool = False,
) -> Vector:
    """Couplings (kept, divided) by dividing tokens of the second group out of the series without one of the first.

    ``turned`` exchanges which of the two carries the score's mass and which the lift.
    """
    race, n, weight = state.race, state.race.n, state.race.clock.weight
    first, second = (lift, state.head_mass) if turned else (state.head_mass, lift)
    share = race.rate[race.head]
    odds = np.expm1(share[divided, None] * race.clock.time)  # a = B / A, moderate for these tokens
    ratio = -odds[:, :, None] * state.head_below[divided][:, None, :]
    base = first[kept][:, None, :] * weight[:, None]
    found = np.zeros((first[kept].shape[0], ratio.shape[0]))
    for k in range(n - 1):
        series = alone[n - 2 - k][0][kept]
        one = arriving[kept][:, :, None] * series
        if n - 3 - k >= 0:
            one = one + race.early[kept][:, :, None] * alone[n - 3 - k][1][kept]
        two = (k + 1) * race.early[kept][:, :, None] * series
        spread = second[divided][:, None, :] * ratio**k
        found += _inner(base * one, odds[:, :, None] * spread)
        found += _inner(base * two, share[divided, None, None] * spread)
    return found


def _inner(left: Vector, right: Vector) -> Vector:
    return left.reshape(len(left), -1) @ right.reshape(len(right), -1).T


def _pairs(state: State, arriving: Vector, lift: Vector, giants: int, into: Vector) -> None:
    """Couplings among the largest tokens, from explicit products of all others."""
    if giants < 2:
        return
    race, n, weight = state.race, state.race.n, state.race.clock.weight
    left = [state.rest_of(giants)]
    right = [Series.one(n, left[0].product.shape[1:])]
    for i in range(giants):
        left.append(left[-1].with_token(*state.token(i)))
    for i in reversed(range(giants)):
        right.append(right[-1].with_token(*state.token(i)))
    right.reverse()
    for x in range(giants - 1):
        between = left[x]
        for y in range(x + 1, giants):
            after = right[y + 1]
            series = coefficient(between.product, after.product, n - 2)
            kernel = weight * (arriving[x] * race.early[y] + race.early[x] * arriving[y]) @ series
            if n >= 3:
                marked = coefficient(between.marked, after.product, n - 3)
                marked = marked + coefficient(between.product, after.marked, n - 3)
                kernel = kernel + (weight * race.early[x] * race.early[y]) @ marked
            into[x, y] = (state.head_mass[x] * kernel * lift[y]).sum()
            into[y, x] = (state.head_mass[y] * kernel * lift[x]).sum()
            between = between.with_token(*state.token(y))
