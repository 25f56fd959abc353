"""Tokens laid side by side on [0, 1]: what `levels` finds on every path, vectorised or on the host."""

from __future__ import annotations

from typing import NamedTuple

from specmath.arrays import Array, namespace


class Levels(NamedTuple):
    """Tokens laid side by side on [0, 1] in rising order of R, the ratio of marginal and draft.

    Y(s) = n s^(n-1) is the density of the largest of n uniforms.
    """

    ratio: Array  # (..., V) R by token; the marginal is draft * R
    ordered: Array  # (..., V) R, rising
    edges: Array  # (..., V) right ends of the intervals, the last one 1
    lifts: Array  # (..., V) integral of (R - Y)^+ up to there
    drops: Array  # (..., V) integral of (Y - R)^+ up to there
    cut: Array  # (..., V) boolean by token: the set H with the largest draft(H)^n - goal(H)


def bend(level: Array, left: Array, right: Array, n: int) -> Array:
    """Where Y crosses R = level inside [left, right]; R exceeds Y before it."""
    xp = namespace(level)
    found = (level / n) ** (1 / (n - 1))
    return xp.minimum(xp.maximum(found, left), right)
