"""Judges of graded priority that share no code with it: exact marginals over Fractions, and Gauss-Seidel heights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise, product

import numpy as np

from specmath.exact import Number

Law = Mapping[tuple[int, ...], Number]


def wins(knots: Sequence[Fraction], chosen: int) -> Fraction:
    """P(knots[chosen] + uniform is the largest of all knots[i] + uniform): polynomials, integrated piece by piece."""
    low, high = knots[chosen], knots[chosen] + 1
    edges = sorted({low, high, *(e for k in knots for e in (k, k + 1) if low < e < high)})
    total = Fraction(0)
    for left, right in pairwise(edges):
        polynomial = [Fraction(1)]
        for i, knot in enumerate(knots):
            if i == chosen or left >= knot + 1:
                continue
            if right <= knot:
                polynomial = [Fraction(0)]
                break
            shifted = [Fraction(0), *polynomial]  # times (z - knot)
            polynomial = [a - knot * b for a, b in zip(shifted, [*polynomial, Fraction(0)], strict=True)]
        total += sum(c * (right ** (k + 1) - left ** (k + 1)) / (k + 1) for k, c in enumerate(polynomial))
    return total


def marginal(law: Law, low: np.ndarray, high: np.ndarray, fraction: np.ndarray) -> list[Fraction]:
    """Law of the selected token, exactly: every tuple of drafts, every coin, every piece of the scores."""
    found = [Fraction(0)] * len(low)
    for tokens, probability in law.items():
        for coins in product((0, 1), repeat=len(tokens)):
            weight = Fraction(probability)
            for token, coin in zip(tokens, coins, strict=True):
                weight *= Fraction(fraction[token]) if coin else 1 - Fraction(fraction[token])
            if weight:
                knots = [Fraction(high[t]) if c else Fraction(low[t]) for t, c in zip(tokens, coins, strict=True)]
                for place, token in enumerate(tokens):
                    found[token] += weight * wins(knots, place)
    return found


def smooth_marginal(law: Law, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """heights -> law of the selected token when the score is height + uniform, without knots; in float64."""
    nodes, weights = np.polynomial.legendre.leggauss(4)

    def at(heights: np.ndarray) -> np.ndarray:
        found = np.zeros(size)
        for tokens, probability in law.items():
            knots = heights[list(tokens)]
            edges = np.unique([*knots, *(knots + 1)])
            middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
            z = (middle[:, None] + half[:, None] * nodes).ravel()
            mass = (half[:, None] * weights).ravel()
            below = np.clip(z - knots[:, None], 0.0, 1.0)
            inside = (z > knots[:, None]) & (z < knots[:, None] + 1)
            for place, token in enumerate(tokens):
                others = np.prod(np.delete(below, place, axis=0), axis=0)
                found[token] += float(probability) * (mass * inside[place] * others).sum()
        return found

    return at


def gauss_seidel(law: Law, goal: np.ndarray, cut: np.ndarray, *, sweeps: int) -> np.ndarray:
    """Marginal after ``sweeps`` of the algorithm in the proof: outside the cut lower every token that is selected too
    often until it is right, inside the cut raise every token that is selected too rarely; one token at a time."""
    at = smooth_marginal(law, len(goal))
    far = 4.0 * len(goal)
    heights = np.where(cut, -far, 0.0)

    def moved(token: int, direction: int) -> None:
        """Bisection for the height of one token at which it meets its goal, others fixed."""
        base = heights[token]
        near, beyond = 0.0, 2.0 * len(goal)
        for _ in range(40):
            middle = (near + beyond) / 2
            heights[token] = base + direction * middle
            if direction * (at(heights)[token] - goal[token]) < 0:
                near = middle
            else:
                beyond = middle
        heights[token] = base + direction * near

    for _ in range(sweeps):
        for token in range(len(goal)):
            excess = at(heights)[token] - goal[token]
            if cut[token] and excess < 0:
                moved(token, +1)
            elif not cut[token] and excess > 0:
                moved(token, -1)
    return at(heights)
