"""Speculative cascade, token by token: drafted tokens that the target ranks near its top are taken as they come."""

from __future__ import annotations

from typing import Any

from specmath.arrays import Array, check_number, namespace
from specmath.relax.relaxed import Relaxation


def _check(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"alpha": check_number("alpha", parameters["alpha"], 0.0, 1.0, "numbers from 0 to 1")}


def law(target: Array, draft: Array, alpha: float) -> Array:
    """q on T = {p >= (1 - alpha) max p}, plus q(outside T) times p everywhere."""
    xp = namespace(target)
    near = target >= (1 - alpha) * xp.max(target, axis=-1, keepdims=True)
    zero = xp.zeros_like(draft)
    deferred = xp.sum(xp.where(near, zero, draft), axis=-1, keepdims=True)
    return xp.where(near, draft, zero) + deferred * target


RELAXATION = Relaxation(
    name="cascade_token",
    purpose="q on the tokens with p >= (1 - alpha) max p, plus the draft's mass outside times p",
    source="narasimhan2025faster, Equation 15",
    parameters={"alpha": None},
    check=_check,
    law=law,
)
