"""Acceptance of a rule, by formula where one is known and by a stated Monte Carlo error elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from specmath import draft_laws
from specmath.arrays import Array, as_pytree, check_pair, like, namespace, to_numpy
from specmath.rules.registry import get
from specmath.rules.rule import Rule


@dataclass(frozen=True)
class Acceptance:
    """P(the emitted token is one of the n drafted ones), per context.

    Attributes
    ----------
    values : shape (...), one per context.
    standard_error : shape (...), zero where ``method`` is "formula".
    method : "formula" (exact up to rounding) or "monte-carlo".
    rule, drafts, n : what was computed.
    correction : largest |sum - 1| of the laws that were handed in, before they were scaled (None under a tracer).
    """

    values: Array
    standard_error: Array
    method: Literal["formula", "monte-carlo"]
    rule: str
    drafts: str
    n: int
    correction: float | None


def acceptance(
    rule: str | Rule,
    target: Array,
    draft: Array,
    n: int,
    drafts: str | None = None,
    *,
    seed: int = 0,
    replicates: int = 256,
) -> Acceptance:
    """Acceptance of a node rule for laws (..., V).

    Parameters
    ----------
    rule : a registered node rule, by name or object (`specmath.rules.names("node")`).
    target, draft : laws (..., V); checked, then float64.
    n, drafts : candidates at the node and how they are drawn (default: the first law the rule is made for).
    seed, replicates : used where no formula is known: the probability that the rule emits a drafted token given the
        drafts is averaged over ``replicates`` draws of the drafts, in numpy on the host.

    Raises
    ------
    ValueError
        For arrays that are no laws, rules that are not node rules, draft laws or n the rule does not support, fewer
        possible tokens than distinct drafts, replicates < 2.

    >>> float(acceptance("recursive", [0.5, 0.5], [0.25, 0.75], n=2).values)
    0.8125
    """
    rule = get(rule) if isinstance(rule, str) else rule
    if rule.layout != "node":
        raise ValueError(f"rule {rule.name!r} verifies a {rule.layout}; acceptance is defined for node rules")
    drafts = rule.supported(n, drafts)
    if replicates < 2:
        raise ValueError(f"replicates is {replicates}; at least 2 are needed for a standard error")
    p, q, correction = check_pair(target, draft)
    draft_laws.get(drafts).check_rows(n, q)
    xp = namespace(p, q)
    exact = None if rule.formula is None else rule.formula(p, q, n, drafts)
    if exact is not None:
        found = Acceptance(exact, xp.zeros_like(exact), "formula", rule.name, drafts, n, correction)
        return as_pytree(found, arrays=("values", "standard_error"))
    values, error = _estimate(rule, to_numpy(p), to_numpy(q), n, drafts, seed, replicates)
    values, error = (xp.astype(like(found, p), p.dtype) for found in (values, error))
    return Acceptance(values, error, "monte-carlo", rule.name, drafts, n, correction)


def _estimate(
    rule: Rule, target: np.ndarray, draft: np.ndarray, n: int, drafts: str, seed: int, replicates: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error over replicates; one replicate of all contexts at a time keeps memory at O(input)."""
    law = draft_laws.get(drafts)
    generator = np.random.default_rng(seed)
    total = np.zeros(target.shape[:-1])
    squares = np.zeros_like(total)
    for _ in range(replicates):
        tokens = law.sample(draft, n, generator.random((*total.shape, law.uniforms(n))))
        if rule.given is not None:
            hit = rule.given(target, draft, tokens)
        else:
            coins = generator.random((*total.shape, rule.uniforms(n)))
            hit = rule.verify(target, draft, tokens, coins, check=False, drafts=drafts).accepted >= 0
        total += hit
        squares += np.square(hit)
    mean = total / replicates
    variance = np.maximum(squares / replicates - mean**2, 0.0) / (replicates - 1)
    return mean, np.sqrt(variance)
