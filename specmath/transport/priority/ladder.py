"""The scores of graded priority: where a token of a given height may land, and quadrature that is exact there.

A token of height h scores ``g / width + u``, u uniform on [0, 1) and g one of the two whole numbers around
``h * width``, so that its mean is right: g is the token's knot, drawn with a coin. The drawn token with the largest
score is selected. Scores are piecewise uniform on rungs of length 1 / width; inside a rung every distribution function
is linear, so that few Gauss nodes integrate products of n of them exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Vector = np.ndarray[Any, Any]


class Ladder:
    """Knots 0..cells and Gauss nodes on rungs 0..cells + width - 1, for n drafts.

    ``below[g]`` is P(score of knot g <= node), ``mass[g]`` the score's law as quadrature weights on the nodes, both
    (cells + 1, nodes). A width above one makes neighbouring knots overlap: marginals get smoother in the heights.
    """

    def __init__(self, cells: int, width: int, n: int) -> None:
        self.cells, self.width = cells, width
        nodes, weights = np.polynomial.legendre.leggauss((n + 1) // 2)  # products of n - 1 linear functions: exact
        rungs = cells + width
        rung = np.repeat(np.arange(rungs), len(nodes))
        place = np.tile((nodes + 1) / 2, rungs)
        knot = np.arange(cells + 1)[:, None]
        self.below = np.clip((rung - knot + place) / width, 0.0, 1.0)
        self.mass = ((rung >= knot) & (rung < knot + width)) * np.tile(weights / 2, rungs) / width
        self.lift = self.below[1:] - self.below[:-1]  # d below / d height inside cell c, (cells, nodes), never positive

    def split(self, heights: Vector) -> tuple[Vector, Vector]:
        """Lower knot and fraction of heights given in knots."""
        cell = np.clip(np.floor(heights).astype(np.int64), 0, self.cells - 1)
        return cell, heights - cell

    def mixed(self, table: Vector, cell: Vector, fraction: Vector) -> Vector:
        """Rows of a table (cells + 1, ...) interpolated at the heights: (tokens, ...)."""
        share = fraction.reshape(-1, *(1,) * (table.ndim - 1))
        return (1 - share) * table[cell] + share * table[cell + 1]


def reach(table: Vector, goal: Vector) -> Vector:
    """Heights (in knots) at which a rising table reaches the goals; its ends where it never does."""
    rising = np.maximum.accumulate(table)
    return np.interp(goal, rising + 1e-15 * rising[-1] * np.arange(len(rising)), np.arange(len(rising)))


def unknowns(matrix: Vector, right: Vector) -> Vector:
    """Solution of a linear system; of least squares where it is singular, which a damped step can live with."""
    try:
        return np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        return np.linalg.lstsq(matrix, right, rcond=None)[0]
