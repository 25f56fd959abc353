"""Marginals that are wanted: optimal by their water levels, reachable where prefixes decide what is reachable."""

from __future__ import annotations

import numpy as np

from specmath.transport.priority.ladder import Vector


def capped(goal: Vector, draft: Vector, total: float) -> Vector:
    """min(goal, level * draft) with the level at which it sums to ``total`` <= sum of the goal; draft > 0.

    >>> capped(np.array([0.5, 0.3]), np.array([0.2, 0.4]), 0.6).tolist()
    [0.3, 0.3]
    """
    return _to_sum(np.minimum(goal, draft * _level(goal, draft, total, capped=True)), total)


def filled(goal: Vector, draft: Vector, total: float) -> Vector:
    """max(goal, level * draft) with the level at which it sums to ``total`` >= sum of the goal; draft > 0.

    >>> filled(np.array([0.1, 0.3]), np.array([0.2, 0.2]), 0.5).round(12).tolist()
    [0.2, 0.3]
    """
    return _to_sum(np.maximum(goal, draft * _level(goal, draft, total, capped=False)), total)


def _level(goal: Vector, draft: Vector, total: float, *, capped: bool) -> float:
    """The water level, by Newton's method on a convex or concave piecewise linear function: monotone, no sort.

    Every step solves for the level with the tokens that are capped (lifted) now. Starting from all of them, tokens only
    ever leave that group, so that it ends after finitely many steps, in practice fewer than ten. The level itself only
    rises (falls): with few tokens of little mass left, ``total`` minus the others is mere rounding and must not undo
    what the earlier steps found.
    """
    moved = np.ones(len(goal), dtype=bool)
    level = 0.0 if capped else np.inf
    while moved.any():
        next_level = (total - goal[~moved].sum()) / draft[moved].sum()
        level = max(level, next_level) if capped else min(level, next_level)
        stays = moved & ((goal >= draft * level) if capped else (goal <= draft * level))
        if stays.sum() == moved.sum():
            break
        moved = stays
    return float(level)


def _to_sum(found: Vector, total: float) -> Vector:
    """Rounding taken out, so that a solver's residual can vanish."""
    have = found.sum()
    return found * (total / have) if have > 0 else np.full_like(found, total / len(found))
