"""Lenience: a draft is accepted as if the target's probability were divided by a factor."""

from __future__ import annotations

import math
from typing import Any

from specmath.arrays import Array, check_number, namespace
from specmath.draws import positive_part, ratio, residual
from specmath.relax.relaxed import Relaxation


def _check(parameters: dict[str, Any]) -> dict[str, Any]:
    smallest = math.nextafter(0.0, 1.0)
    return {"factor": check_number("factor", parameters["factor"], smallest, 1.0, "numbers above 0 up to 1")}


def law(target: Array, draft: Array, factor: float) -> Array:
    """min(q, p / factor), with what is missing to one spread as (p - q)^+."""
    xp = namespace(target)
    lifted = ratio(target, xp.full_like(target, factor))
    accepted = xp.where(lifted < draft, lifted, draft)
    missing = xp.sum(positive_part(draft - lifted), axis=-1, keepdims=True)
    return accepted + missing * residual(target, draft)


RELAXATION = Relaxation(
    name="lenience",
    purpose="accept x with min(1, p / (factor q)), else draw from (p - q)^+; no token above p / factor",
    source="leviathan2023fast, Appendix A.5",
    parameters={"factor": None},
    check=_check,
    law=law,
)
