"""Selection marginals of graded priority for different drafters: one candidate from each of n laws, independently."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from specmath.transport.priority.ladder import Ladder, Vector, reach, unknowns


class Drafters:
    """Tokens that compete, each with a probability per drafter; draft (n, tokens).

    The candidate of drafter l is x with probability q^l_x, and its score has the law of x's height, so that with
    G_l(score) = ``below[l]`` + sum_y q^l_y F_y(score)

        r_x = sum_l q^l_x int dF_x(score) prod_{m != l} G_m(score).

    ``below`` (n,) is the mass of tokens that lose to all of these; a token that is neither ends the competition.
    """

    def __init__(self, draft: Vector, below: Vector) -> None:
        self.draft, self.below = draft, below
        self.n = len(draft)

    def evaluate(self, ladder: Ladder, heights: Vector) -> DraftersResponse:
        """Marginals at these heights (in knots of the ladder), and what a solver needs to move them."""
        return DraftersResponse(self, ladder, heights)


class DraftersResponse:
    """Marginals of `Drafters` at given heights; everything is computed when asked for, and kept."""

    def __init__(self, model: Drafters, ladder: Ladder, heights: Vector) -> None:
        self.model, self.ladder = model, ladder
        self.cell, self.fraction = ladder.split(heights)

    @cached_property
    def _lower(self) -> Vector:
        """G: every drafter's probability to score below each node, (n, nodes)."""
        ladder = self.ladder
        found = []
        for law, below in zip(self.model.draft, self.model.below, strict=True):
            upper = np.bincount(self.cell, law * self.fraction, ladder.cells)
            binned = np.zeros(ladder.cells + 1)
            binned[:-1] += np.bincount(self.cell, law, ladder.cells) - upper
            binned[1:] += upper
            found.append(below + binned @ ladder.below)
        return np.stack(found)

    def _others(self, *left_out: int) -> Vector:
        rows = [i for i in range(self.model.n) if i not in left_out]
        return np.prod(self._lower[rows], axis=0)

    @cached_property
    def tables(self) -> Vector:
        """P(a candidate of drafter l at a knot is selected), (n, cells + 1)."""
        return np.stack([self.ladder.mass @ self._others(drafter) for drafter in range(self.model.n)])

    @cached_property
    def marginal(self) -> Vector:
        """r, one number per token."""
        won = [self.ladder.mixed(table, self.cell, self.fraction) for table in self.tables]
        return np.einsum("lx,lx->x", self.model.draft, np.stack(won))

    @cached_property
    def slope(self) -> Vector:
        """d r_x / d height of x, its effect on the lower scores of the other drafters left out."""
        return np.einsum("lx,lx->x", self.model.draft, self.tables[:, self.cell + 1] - self.tables[:, self.cell])

    def best_response(self, goal: Vector) -> Vector:
        """Heights at which each token alone would meet its goal, as if it had its mean table."""
        mean = self.tables.mean(axis=0)
        here = self.ladder.mixed(mean, self.cell, self.fraction)
        return reach(mean, goal * here / np.maximum(self.marginal, 1e-300))

    @cached_property
    def _answers(self) -> Vector:
        """d tables[l] / d (sum of q^m dh over the tokens of cell c): (n, cells + 1, n, cells)."""
        n, ladder = self.model.n, self.ladder
        found = np.zeros((n, ladder.cells + 1, n, ladder.cells))
        for one in range(n):
            for other in range(n):
                if one != other:
                    found[one, :, other] = (ladder.mass * self._others(one, other)) @ ladder.lift.T
        return found

    def newton(self, residual: Vector, diagonal: Vector, free: Vector) -> Vector:
        """Change of the heights that removes the residual to first order, with ``diagonal`` for the own slopes.

        Tokens that are not free stay. All couplings run through S = sum of q^m dh over the free tokens of each cell,
        n unknowns per cell.
        """
        n, cells, draft = self.model.n, self.ladder.cells, self.model.draft
        moves = np.where(free, 1 / diagonal, 0.0)
        spread = np.zeros((n, cells, n, cells + 1))
        right = np.zeros((n, cells))
        place = np.arange(cells)
        for one in range(n):
            right[one] = np.bincount(self.cell, moves * draft[one] * residual, cells)
            for other in range(n):
                weight = moves * draft[one] * draft[other]
                upper = np.bincount(self.cell, weight * self.fraction, cells)
                spread[one, place, other, place] = np.bincount(self.cell, weight, cells) - upper
                spread[one, place, other, place + 1] = upper
        size = n * cells
        answers = self._answers.reshape(n * (cells + 1), size)
        matrix = np.eye(size) + spread.reshape(size, -1) @ answers
        field = (answers @ unknowns(matrix, right.reshape(size))).reshape(n, cells + 1)
        pushed = np.stack([self.ladder.mixed(row, self.cell, self.fraction) for row in field])
        return moves * (residual - np.einsum("lx,lx->x", draft, pushed))
