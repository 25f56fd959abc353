"""Speculative cascade, optimal deferral: the draft's law wherever the target is not surer by enough."""

from __future__ import annotations

from typing import Any

from specmath.arrays import Array, check_number, namespace
from specmath.relax.relaxed import Relaxation, total_variation


def _check(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"alpha": check_number("alpha", parameters["alpha"], -1e300, 1e300, "finite numbers")}


def law(target: Array, draft: Array, alpha: float) -> Array:
    """The draft where max q >= max p - alpha TV(p, q), else the target."""
    xp = namespace(target)
    apart = total_variation(target, draft)[..., None]
    top_target, top_draft = (xp.max(law, axis=-1, keepdims=True) for law in (target, draft))
    return xp.where(top_draft >= top_target - alpha * apart, draft, target)


RELAXATION = Relaxation(
    name="cascade_opt",
    purpose="the draft's law where max q >= max p - alpha TV(p, q), else the target's",
    source="narasimhan2025faster, Equation 10",
    parameters={"alpha": None},
    check=_check,
    law=law,
)
