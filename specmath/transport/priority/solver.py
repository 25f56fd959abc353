"""Heights that give wanted marginals: a damped Newton iteration, with finer ladders where it stalls.

r rises in a token's own height, falls in those of others, and sums to a constant: its derivative plus a positive
diagonal is an M-matrix, and a damped Newton step never increases the L1 norm of the residual to first order. r is
piecewise smooth, with kinks at the knots; a wider ladder (scores spread over more, finer rungs) has weaker kinks, so
that a stalled iteration goes on with doubled width from the heights it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

from specmath.transport.priority.ladder import Ladder, Vector

TOLERANCE = 1e-11  # of the L1 norm of what is missing
MANY = 10  # drafts, above which marginals are right to about 2e-11 only and ten times the tolerance is asked for
WIDTHS = (4, 8, 16, 32, 64)
ROUNDS = 40  # evaluations on one ladder
TRIES = 7  # dampings tried for one step
STUCK = 100.0  # damping from which a step no longer moves anything
NEGLIGIBLE = 1e-30  # probability below which a token need not move; keeps every slope above zero

Bound = Literal["none", "cap", "floor"]


class Response(Protocol):
    """Marginals at given heights and their derivatives, in knots of one ladder."""

    @cached_property
    def marginal(self) -> Vector: ...
    @cached_property
    def slope(self) -> Vector: ...
    def best_response(self, goal: Vector) -> Vector: ...
    def newton(self, residual: Vector, diagonal: Vector, free: Vector) -> Vector: ...


class Model(Protocol):
    """Tokens whose selection marginals depend on their heights."""

    n: int

    def evaluate(self, ladder: Ladder, heights: Vector) -> Response: ...


@dataclass(frozen=True)
class Solution:
    """Heights in units of one full score range (1 apart means strict priority), and the marginals they really give.

    ``error`` is the L1 norm of goal - marginal over the tokens that are not held at the bound. ``response`` is the
    model's at heights * width, counted from the whole number below the lowest.
    """

    heights: Vector
    marginal: Vector
    width: int
    error: float
    evaluations: int
    response: Any


@dataclass(frozen=True)
class _Point:
    heights: Vector
    response: Response
    residual: Vector
    free: Vector
    error: float


def solve(
    model: Model, goal: Vector, *, bound: Bound = "none", tolerance: float = TOLERANCE, start: Vector | None = None
) -> Solution:
    """Heights with marginal = goal; with a bound, heights <= 0 where a marginal may stay below its goal ("cap"), or
    heights >= 0 where it may exceed it ("floor"). ``start`` are heights to begin with, in units of one score range."""
    tolerance = max(tolerance, TOLERANCE * (10 if model.n > MANY else 1))
    heights = np.zeros(len(goal)) if start is None else start
    best: Solution | None = None
    evaluations = 0
    for width in WIDTHS:
        point, used = _descend(model, goal, heights * width, width, bound, tolerance)
        evaluations += used
        if best is None or point.error < best.error:
            best = Solution(
                point.heights / width, point.response.marginal, width, point.error, evaluations, point.response
            )
        if best.error <= tolerance:
            break
        heights = point.heights / width
    assert best is not None
    return Solution(best.heights, best.marginal, best.width, best.error, evaluations, best.response)


def _evaluate(model: Model, goal: Vector, heights: Vector, width: int, bound: Bound) -> _Point:
    base = np.floor(heights.min())
    ladder = Ladder(int(np.floor(heights.max() - base)) + 1, width, model.n)
    response = model.evaluate(ladder, heights - base)
    residual = goal - response.marginal
    free = np.ones(len(goal), dtype=bool)
    if bound == "cap":
        free = ~((heights >= 0) & (residual >= 0))
    elif bound == "floor":
        free = ~((heights <= 0) & (residual <= 0))
    return _Point(heights, response, residual, free, float(np.abs(residual[free]).sum()))


def _descend(
    model: Model, goal: Vector, heights: Vector, width: int, bound: Bound, tolerance: float
) -> tuple[_Point, int]:
    """Damped Newton steps on one ladder until the residual is small, a step fails, or the rounds are used up."""
    point = _evaluate(model, goal, heights, width, bound)
    used, damping = 1, 1e-3
    limits = {"none": (-np.inf, np.inf), "cap": (-np.inf, 0.0), "floor": (0.0, np.inf)}[bound]
    while used < ROUNDS and point.error > tolerance and damping <= STUCK:
        response, residual = point.response, point.residual
        weight = (goal + response.marginal) / width + NEGLIGIBLE
        local = np.maximum(response.slope, 0.0)
        own = local + min(damping, 1e-6) * weight
        for attempt in range(TRIES):
            if attempt:
                # Plain Newton oversteps where a token's own slope is nearly flat: the secant to its best response
                # stands in for it then, with growing damping.
                own = np.maximum(local, _secant(point, goal)) + damping * weight
            change = np.clip(response.newton(residual, own, point.free), -width, width)
            new = _evaluate(model, goal, np.clip(point.heights + change, *limits), width, bound)
            used += 1
            # Groups in strict priority that move towards each other overstep, and change nothing before they meet: half
            # the way is taken even if the error stays.
            if attempt and new.error > point.error:
                new = _evaluate(model, goal, np.clip(point.heights + change / 2, *limits), width, bound)
                used += 1
            if new.error < point.error * (1 - 1e-4 if not attempt else 1 + 1e-9):
                break
            damping = max(8 * damping, 1e-8)
        else:
            break
        ratio = new.error / point.error
        damping *= 0.01 if ratio < 0.05 else 0.1 if ratio < 0.3 else 2.0 if ratio > 0.8 else 1.0
        point = new
    return point, used


def _secant(point: _Point, goal: Vector) -> Vector:
    way = point.response.best_response(goal) - (point.heights - np.floor(point.heights.min()))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(way) > 1e-3, point.residual / way, 0.0)
