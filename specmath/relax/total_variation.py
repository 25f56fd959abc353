"""A total-variation budget: the exact front of acceptance against distance, for every draft law."""

from __future__ import annotations

from typing import Any

from specmath import draft_laws
from specmath.arrays import Array, check_count, check_number
from specmath.relax.relaxed import Relaxation, towards
from specmath.transport.coupling import coupling

SELECTS_THE_ONLY_DRAFT = ("iid", "without_replacement", "greedy")
"""Draft laws whose single draft (n = 1) is a draw from the draft itself."""


def _check(parameters: dict[str, Any]) -> dict[str, Any]:
    budget = check_number("budget", parameters["budget"], 0.0, 1.0, "numbers from 0 to 1")
    n, drafts = check_count("n", parameters["n"]), draft_laws.get(parameters["drafts"]).name
    return {"budget": budget, "n": n, "drafts": drafts}


def law(target: Array, draft: Array, budget: float, n: int, drafts: str) -> Array:
    """p + t (r - p) at the distance ``budget``, r the law of the draft that the optimal coupling selects.

    For draft laws that are not in the registry, hand in the marginal of their coupling as the draft, with n = 1.
    """
    if n == 1 and drafts in SELECTS_THE_ONLY_DRAFT:
        return towards(target, draft, budget)
    return towards(target, coupling(target, draft, n, drafts).marginal, budget)


RELAXATION = Relaxation(
    name="total_variation",
    purpose="the point at TV = budget on the segment from the target to the optimal coupling's marginal",
    source="yin2024theoretical, Theorem 5 (one draft); proof for n drafts in docs/theory/relaxed.md",
    parameters={"budget": None, "n": 1, "drafts": "iid"},
    check=_check,
    law=law,
)
