"""Checks of the tree rules that select by a plan: an enumerable selection takes the place of the coupling."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from proofs_tests import checks
from proofs_tests.laws import Instance
from specmath.exact import Law, law_of_uniforms
from specmath.rules import Rule
from specmath.rules.tree_walk import offspring
from specmath.transport.joint import JointOptimum, joint_optimum
from specmath.transport.selection import selection


def planned(level: Any, weight: Any, uniforms: Any, drafts: str) -> tuple[Any, Any]:
    """``choose`` of a step, by the plan of the exact judge: the first sibling's position draws from it."""
    index, marginal = np.zeros(level.count.shape, dtype=int), np.array(level.draft, dtype=float)
    weight = np.ones(level.count.shape) if weight is None else weight
    groups: dict[Any, list[int]] = {}
    for row in np.flatnonzero(level.count > 0):
        count = int(level.count[row])
        tokens = tuple(int(token) for token in level.tokens[row, :count])
        laws = (tuple(level.target[row].tolist()), tuple(level.draft[row].tolist()))
        groups.setdefault((laws, tokens, float(weight[row])), []).append(int(row))
    for (laws, tokens, share), rows in groups.items():
        target, draft = (tuple(Fraction(p).limit_denominator(10**4) for p in law) for law in laws)
        found = selection(target, draft, len(tokens), drafts, Fraction(share).limit_denominator(10**9))
        cumulated = np.cumsum([float(mass) for mass in found.plan[frozenset(tokens)]])
        coin = uniforms[rows, level.indices[rows, 0]]
        token = np.searchsorted(cumulated, coin * cumulated[-1], side="right")
        index[rows] = level.indices[rows, [tokens.index(t) for t in token.tolist()]]
        marginal[rows] = [float(r) for r in found.marginal]
    return index, marginal


def planned_law(rule: Rule, instance: Instance, tokens: Any, contexts: Any, dtype: Any = np.float64) -> Law:
    """Law of the rule's step with the judge's plan, from its breakpoints; the coins of the coupling are left out."""
    size = len(tokens)
    # Only the position of the first draft of each level is looked at.
    firsts = [below[0] for below in offspring(tokens, instance.parents).values() if below]

    def verify(uniforms: Any) -> Any:
        full = np.zeros((len(uniforms), 3 * size + 1))
        full[:, firsts], full[:, 2 * size :] = uniforms[:, : len(firsts)], uniforms[:, len(firsts) :]
        laws = checks.step_laws(rule, instance, tokens, contexts)
        target, draft = (
            np.broadcast_to(np.array(law, dtype=dtype), (len(full), size + k, instance.size))
            for law, k in zip(laws, (1, 0), strict=True)
        )
        drawn = np.broadcast_to(np.array(tokens), (len(full), size))
        parents = np.array(instance.parents)
        step: Any = rule.step
        verdict = step(target, draft, drawn, full.astype(dtype), parents, drafts=instance.drafts, choose=planned)
        return checks.outcomes(rule, verdict)

    return law_of_uniforms(verify, len(firsts) + size + 1)


def step_is_program(rule: Rule) -> Callable[[tuple[Instance, int]], None]:
    """Law of the step equal to that of program, for one of the realised drafts, when both select by the same plan."""

    def check(chosen: tuple[Instance, int]) -> None:
        instance, number = chosen
        drafts = checks.realisations(instance)
        tokens, contexts = drafts[number % len(drafts)]
        judge = checks.program_law(rule, instance, tokens, contexts)
        error = float(judge.total_variation(planned_law(rule, instance, tokens, contexts)))
        assert error < checks.CLOSE, f"step is {error:.3g} off program for tokens {tokens} on {instance}"

    return check


def at_least_node_wise(transport: Rule, node_wise: Rule) -> Callable[[Instance], None]:
    """Mean number of accepted tokens: conditional transport >= optimal selection node by node, over Fractions."""

    def check(instance: Instance) -> None:
        assert checks.accepted_length(transport, instance) >= checks.accepted_length(node_wise, instance)

    return check


def level_is_optimal(rule: Rule) -> Callable[[Instance], None]:
    """On one level of i.i.d. drafts the acceptance is the optimum, over Fractions."""

    def check(instance: Instance) -> None:
        best = checks.optimum(instance.target(()), instance.draft(()), len(instance.parents), "iid")
        assert checks.accepted_length(rule, instance) == best

    return check


def never_above_joint(rule: Rule) -> Callable[[Instance], None]:
    """Mean number of accepted tokens at most the linear program's bound, which is right to about 1e-7."""

    def check(instance: Instance) -> None:
        best = joint(instance)
        assert best.bound - best.accepted < 1e-6
        assert best.violation < 1e-6
        assert float(checks.accepted_length(rule, instance)) <= best.bound + 1e-7

    return check


def reaches_joint(rule: Rule) -> Callable[[Instance], None]:
    def check(instance: Instance) -> None:
        assert abs(float(checks.accepted_length(rule, instance)) - joint(instance).accepted) < 1e-6

    return check


def joint(instance: Instance) -> JointOptimum:
    def floats(model: Any) -> Any:
        return lambda text: [float(p) for p in model(text)]

    return joint_optimum(floats(instance.target), floats(instance.draft), instance.parents, instance.drafts)
