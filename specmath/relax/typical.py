"""Typical acceptance: tokens below an entropy-dependent threshold are cut from the target."""

from __future__ import annotations

import math
from typing import Any

from specmath.arrays import Array, check_number, namespace
from specmath.draws import normalise_or
from specmath.relax.relaxed import Relaxation


def _check(parameters: dict[str, Any]) -> dict[str, Any]:
    epsilon = check_number("epsilon", parameters["epsilon"], 0.0, 1.0, "numbers from 0 to 1")
    # At 1 no token of a uniform law would be kept.
    delta = check_number("delta", parameters["delta"], 0.0, math.nextafter(1.0, 0.0), "numbers from 0 to below 1")
    return {"epsilon": epsilon, "delta": delta}


def kept(target: Array, epsilon: float, delta: float) -> Array:
    """Tokens with p > min(epsilon, delta exp(-entropy)), boolean (..., V); some are, since max p >= exp(-entropy)."""
    xp = namespace(target)
    logs = xp.log(xp.where(target > 0, target, xp.ones_like(target)))
    entropy = -xp.sum(target * logs, axis=-1, keepdims=True)
    threshold = delta * xp.exp(-entropy)
    top = target >= xp.max(target, axis=-1, keepdims=True)  # by rounding a uniform law could miss its own threshold
    return top | (target > xp.where(threshold < epsilon, threshold, xp.full_like(threshold, epsilon)))


def law(target: Array, draft: Array | None, epsilon: float, delta: float) -> Array:
    """The target restricted to its typical tokens, renormalised."""
    xp = namespace(target)
    left = xp.where(kept(target, epsilon, delta), target, xp.zeros_like(target))
    return normalise_or(left, target)


RELAXATION = Relaxation(
    name="typical",
    purpose="the target restricted to tokens with p > min(epsilon, delta exp(-H(p)))",
    source="cai2024medusa, Section 2.3.1 (the threshold); hewitt2022truncation (the truncated law)",
    parameters={"epsilon": 0.09, "delta": 0.3},
    check=_check,
    law=law,
    uses_draft=False,
)
