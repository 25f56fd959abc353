"""The optimal rule: select one draft by the optimal coupling, then test it against the law of the selected draft."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from specmath.arrays import Array, is_concrete, like, namespace, to_float64, to_numpy
from specmath.exact import Chance, Number
from specmath.rules.by_context import alike
from specmath.rules.rule import Rule, Verdict
from specmath.rules.single import accepts, residual
from specmath.transport.coupling import couple
from specmath.transport.selection import selection

SOLVED = ("without_replacement",)
"""Draft laws whose coupling is solved on the host, context by context."""


def program(
    chance: Chance, target: Sequence[Number], draft: Sequence[Number], tokens: Sequence[int], *, drafts: str
) -> int:
    plan = selection(tuple(target), tuple(draft), len(tokens), drafts)
    token = chance.draw(plan.plan[frozenset(tokens)])
    if accepts(chance, target[token], plan.marginal[token]):
        return token
    return chance.draw(residual(target, plan.marginal, target))


def scaled(law: Array) -> Array:
    """The law in float64, summing to one; no value is looked at."""
    values = to_float64(law)
    return values / namespace(values).sum(values, axis=-1, keepdims=True)


def step(target: Array, draft: Array, tokens: Array, uniforms: Array, *, drafts: str) -> Verdict:
    if drafts in SOLVED and tokens.ndim > 1 and all(is_concrete(array) for array in (target, draft, tokens, uniforms)):
        return _solved(target, draft, tokens, uniforms, drafts)
    verdict = couple(scaled(target), scaled(draft), tokens.shape[-1], drafts).verify(tokens, uniforms, check=False)
    return Verdict(*verdict)


def _solved(target: Array, draft: Array, tokens: Array, uniforms: Array, drafts: str) -> Verdict:
    """One solution for every distinct (target, draft), however many rows share it."""
    p, q, x, u = (to_numpy(array) for array in (target, draft, tokens, uniforms))
    lead, n = x.shape[:-1], x.shape[-1]
    p, q, x, u = (array.reshape(-1, array.shape[-1]) for array in (p, q, x, u))
    emitted, accepted = np.empty(len(x), dtype=x.dtype), np.empty(len(x), dtype=x.dtype)
    for rows in alike(p, q):
        one = rows[0]
        found = couple(scaled(p[one]), scaled(q[one]), n, drafts).verify(x[rows], u[rows], check=False)
        emitted[rows], accepted[rows] = found
    xp = namespace(tokens)
    return Verdict(*(xp.astype(like(array.reshape(lead), tokens), tokens.dtype) for array in (emitted, accepted)))


def formula(target: Array, draft: Array, n: int, drafts: str) -> Array:
    """sum min(target, r), r the law of the selected draft."""
    return couple(target, draft, n, drafts).acceptance


RULE = Rule(
    name="optimal",
    purpose="optimal coupling: select one draft, then the single-draft test against its law",
    source="khisti2025multidraft (select, then test); plan and proof in docs/theory/optimal_coupling.md",
    layout="node",
    drafts=("iid", "without_replacement", "greedy", "hub", "top_k"),
    lossless=True,
    program=program,
    step=step,
    formula=formula,
    tests=lambda n: (*(f"position {j}" for j in range(n)), *(f"coin {j}" for j in range(n)), "accept"),
    by_law=True,
    same_plan=False,
)
