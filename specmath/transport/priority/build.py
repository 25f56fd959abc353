"""Graded priority: every token has a height, every draft a random score around it, and the largest score is selected.

There are heights for which the selected draft's law reaches the optimum, for every draft law
(docs/theory/graded_priority.md). The law is computed for the heights that the solver returns, so that the verifier is
lossless whether or not they are the optimal ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from specmath.arrays import Array, as_pytree, like, namespace, to_numpy
from specmath.transport import independent, prefix
from specmath.transport.priority.drafters import Drafters
from specmath.transport.priority.goals import capped, filled
from specmath.transport.priority.ladder import Vector
from specmath.transport.priority.race import Race
from specmath.transport.priority.solver import TOLERANCE, Solution, solve
from specmath.transport.search import pick

NEAR = 1e-3  # relative difference of goal and mass below which the bound may do harm
GROUPS = 256  # of the crowd, in the first approximation
LEAST, LIFT = 1e-280, 1e60  # for probabilities beside which the times of arrival would overflow
MOST = 12  # distinct drafts: beyond, the series in the number of arrivals lose too many digits
APART = 3.0  # more than two score ranges: tokens of the cut never win against one outside


@dataclass(frozen=True)
class Priority:
    """Selects the draft with the largest score; a token's score is its knot plus the draft's position.

    Attributes
    ----------
    low, high : (..., V) the two knots around the token's height, in units of one score range.
    fraction : (..., V) probability of the higher one.
    """

    low: Array
    high: Array
    fraction: Array

    def select(self, tokens: Array, uniforms: Array) -> Array:
        """Index (...) of the selected draft of tokens (..., n); uniforms (..., 2n): positions, then coins."""
        xp, n = namespace(tokens), tokens.shape[-1]
        position, coin = uniforms[..., :n], uniforms[..., n : 2 * n]
        knot = xp.where(coin < pick(self.fraction, tokens), pick(self.high, tokens), pick(self.low, tokens))
        return xp.argmax(knot + position, axis=-1)


class Built(NamedTuple):
    """What is built.

    The marginal (..., V) of the selected draft, its selector, the optimum's value (...) and cut (..., V), and how far
    the search for the cut may have missed it (...).
    """

    marginal: Array
    selector: Priority
    acceptance: Array
    cut: Array
    open: Array


class _Row(NamedTuple):
    marginal: Vector
    low: Vector
    high: Vector
    fraction: Vector


def build(goal: Array, draft: Array, n: int, drafts: str) -> Built:
    """Optimal selection for "without_replacement" (draft (..., V)) and "independent" (draft (..., n, V)).

    ``goal`` (..., V) is the target times its weight. Computed on the host, one context after the other.
    """
    if drafts != "independent" and n > MOST:
        raise ValueError(
            f"n is {n}: a coupling for drafts={drafts!r} is computed for n up to {MOST} (the optimum for any n)"
        )
    xp = namespace(goal)
    lead, size = tuple(goal.shape[:-1]), goal.shape[-1]
    wanted = to_numpy(goal).astype(np.float64).reshape(-1, size)
    laws = to_numpy(draft).astype(np.float64).reshape(len(wanted), *draft.shape[len(lead) :])
    if drafts == "independent":
        value, cut, missed = independent.minimise(wanted, laws)
    else:
        value, cut = prefix.without_replacement(wanted, laws, n)
        missed = np.zeros_like(value)
    rows = [_row(*row, n, drafts) for row in zip(wanted, laws, value, cut, strict=True)]

    def back(values: Any, *own: int) -> Array:
        return xp.astype(like(np.asarray(values, dtype=np.float64).reshape((*lead, *own)), goal), goal.dtype)

    columns = [back([row[i] for row in rows], size) for i in range(len(_Row._fields))]
    selector = as_pytree(Priority(*columns[1:]), arrays=("low", "high", "fraction"))
    return Built(columns[0], selector, back(value), like(np.asarray(cut).reshape((*lead, size)), goal), back(missed))


def _row(goal: Vector, law: Vector, value: float, cut: Vector, n: int, drafts: str) -> _Row:
    """One context: the tokens outside the cut win against those inside, and each group has heights of its own."""
    size = len(goal)
    if n == 1:  # nothing to select
        return _Row(law.reshape(-1, size)[0], *(np.zeros(size) for _ in _Row._fields[1:]))
    if drafts != "independent":
        law = _in_range(law, n)
    possible = (law > 0).any(axis=0) if drafts == "independent" else law > 0
    outer, inner = np.flatnonzero(possible & ~cut), np.flatnonzero(possible & cut)
    above = float(np.clip(value - goal[inner].sum(), 0.0, 1.0))  # P(some draft outside the cut)
    row = _Row(*(np.zeros(size) for _ in _Row._fields))
    floor = 0.0
    if len(outer):
        floor = _place(row, outer, _outer(goal, law, outer, inner, above, n, drafts), 0.0)
    if len(inner):
        found = _inner(goal, law, outer, inner, 1 - above, n, drafts)
        _place(row, inner, found, np.floor(floor - APART - found.heights.max()))
    return row


def _in_range(law: Vector, n: int) -> Vector:
    """The law as distinct drafts see it in float64: times of arrival must not overflow.

    Tokens below `LEAST` are never reached where n others are possible. Where they are, all others have been drawn by
    then, and only the ratios among them matter: they are lifted (to at most 1e-220; the law of the drafts changes by
    less than that unless other tokens lie in between).
    """
    large = law >= LEAST
    return np.where(large, law, 0.0 if large.sum() >= n else law * LIFT)


def _outer(goal: Vector, law: Vector, outer: Vector, inner: Vector, total: float, n: int, drafts: str) -> Solution:
    if drafts == "independent":
        return _drafters(Drafters(law[:, outer], law[:, inner].sum(axis=1)), goal[outer], total, "cap")
    wanted = capped(goal[outer], law[outer], total)
    return _race(Race(law[outer], law[inner], law[:0], n), wanted)


def _inner(goal: Vector, law: Vector, outer: Vector, inner: Vector, total: float, n: int, drafts: str) -> Solution:
    if drafts == "independent":
        return _drafters(Drafters(law[:, inner], np.zeros(n)), goal[inner], total, "floor")
    wanted = filled(goal[inner], law[inner], total)
    return _race(Race(law[inner], law[:0], law[outer], n), wanted)


def _drafters(model: Drafters, goal: Vector, total: float, bound: Literal["cap", "floor"]) -> Solution:
    """With the bound of the proof; where the goal nearly has the group's mass also without it.

    There next to no token stays at the bound, and Newton's matrix is nearly singular. What misses less is taken.
    """
    found = solve(model, goal, bound=bound)
    have = goal.sum()
    if found.error <= TOLERANCE or abs(total - have) > NEAR * have:
        return found
    free = solve(model, goal * (total / have))
    sign = 1 if bound == "cap" else -1
    missed = [np.maximum(sign * (one.marginal - goal), 0.0).sum() for one in (found, free)]
    return free if missed[1] < missed[0] else found


def _race(race: Race, wanted: Vector) -> Solution:
    """A large crowd is solved in groups first; then few steps are left for its many tokens."""
    if len(race.crowd) < 4 * GROUPS:
        return solve(race, wanted)
    coarse, summed = race.grouped(wanted, GROUPS)
    rough = solve(coarse, summed, tolerance=1e-9)
    return solve(race, wanted, start=race.start(rough, wanted))


def _place(row: _Row, tokens: Vector, found: Solution, shift: float) -> float:
    """Write a group's heights into the row, moved by ``shift``; the group's lowest knot."""
    knots = found.heights * found.width
    lower = np.floor(knots)
    row.marginal[tokens] = np.maximum(found.marginal, 0.0)
    row.low[tokens] = lower / found.width + shift
    row.high[tokens] = (lower + 1) / found.width + shift
    row.fraction[tokens] = knots - lower
    return float(row.low[tokens].min())
