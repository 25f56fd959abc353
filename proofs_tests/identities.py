"""Identities between rules and optima, as functions of the rule in question, so that controls can plant defects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import sqrt

import numpy as np

from proofs_tests.checks import CLOSE, accepted_law, accepted_length, exact_acceptance, inside_exact, optimum
from proofs_tests.laws import Instance
from specmath import draft_laws, rules, transport
from specmath.exact import Law
from specmath.rules import Rule

Check = Callable[[Instance], None]


def _node(instance: Instance) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...], int]:
    return instance.target(()), instance.draft(()), len(instance.parents)


def optimum_is_cut(value: Callable = transport.optimum) -> Check:
    """Max-flow == minimum over all sets (Fractions) == linear program == ``value`` (which sorts), to float accuracy."""

    def check(instance: Instance) -> None:
        target, draft, n = _node(instance)
        best = optimum(target, draft, n, instance.drafts)
        law = draft_laws.get(instance.drafts).law(draft, n)
        assert transport.max_flow(target, law).acceptance == best
        program = float(transport.linear_program([float(p) for p in target], law).acceptance)
        assert abs(program - float(best)) < 1e-7, "HiGHS works to feasibility 1e-7"
        found = float(value(np.array(target, float), np.array(draft, float), n, instance.drafts).acceptance)
        assert abs(found - float(best)) < CLOSE, f"{found} instead of {float(best)} on {instance}"

    return check


def prefix_optimum(instance: Instance, order: Callable[[Fraction, Fraction], Fraction | float]) -> Fraction:
    """1 + min over prefixes of the tokens sorted by ``order(target, draft)``; undrafted tokens come last."""
    target, draft, n = _node(instance)
    ranked = sorted(range(len(target)), key=lambda x: order(target[x], draft[x]) if draft[x] else float("inf"))
    law = draft_laws.get(instance.drafts)
    return 1 + min(
        sum(target[x] for x in ranked[:m]) - Fraction(inside_exact(law, draft, n, ranked[:m]))
        for m in range(len(ranked) + 1)
    )


def prefixes_suffice(order: Callable[[Fraction, Fraction], Fraction | float] = lambda p, q: p / q) -> Check:
    """The minimum over sets is reached at a prefix of the order of rising target / draft."""

    def check(instance: Instance) -> None:
        assert prefix_optimum(instance, order) == optimum(*_node(instance), instance.drafts)

    return check


def never_above_optimum(rule: Rule) -> Check:
    def check(instance: Instance) -> None:
        assert exact_acceptance(rule, instance) <= optimum(*_node(instance), instance.drafts)

    return check


def reaches_optimum(rule: Rule) -> Check:
    def check(instance: Instance) -> None:
        assert exact_acceptance(rule, instance) == optimum(*_node(instance), instance.drafts)

    return check


def distinct_above_iid(drafts: str = "without_replacement") -> Check:
    def check(instance: Instance) -> None:
        assert optimum(*_node(instance), drafts) >= optimum(*_node(instance), "iid")

    return check


def hub_is_greedy(hub: Rule) -> Check:
    """Acceptance on pairs == acceptance of the greedy rule with n = 2 == optimum of the pairs."""

    def check(instance: Instance) -> None:
        found = exact_acceptance(hub, instance)
        assert found == exact_acceptance(rules.get("greedy"), replace(instance, drafts="greedy"))
        assert found == optimum(*_node(instance), "hub")

    return check


def k_seq_guarantee(rule: Rule) -> Check:
    """Acceptance >= (1 - (1 - 1/n)^n) optimum; the rational factor lies within 1e-13 above the root."""

    def check(instance: Instance) -> None:
        n = len(instance.parents)
        share = 1 - (1 - Fraction(1, n)) ** n
        bound = share * optimum(*_node(instance), "iid")
        assert float(exact_acceptance(rule, instance)) >= float(bound) - 1e-12

    return check


def uniform_draft_values(t: Fraction) -> dict[str, float]:
    """n = 2, draft uniform on three tokens, target (1/3, t, 2/3 - t) with t <= 1/3, by hand.

    Optimum: the cut {1} or {0, 1} gives 8/9 + t. Recursive: the residual sits on token 2, 7/9 + 2t/3 (1 at t = 1/3).
    K-SEQ: beta = 2 - rho and beta = (1/3 + t)/rho + 1/3 give rho = (5 + sqrt(13 - 36 t))/6, acceptance rho (2 - rho).
    """
    rho = (5 + sqrt(13 - 36 * t)) / 6
    return {
        "optimum": float(min(1, Fraction(8, 9) + t)),
        "recursive": float(Fraction(7, 9) + 2 * t / 3),
        "k_seq": rho * (2 - rho),
    }


def uniform_draft_instance(t: Fraction) -> Instance:
    third = Fraction(1, 3)
    return Instance(3, "iid", (-1, -1), (((third, t, 2 * third - t), (third,) * 3),))


def longer_than_token_wise(block: Rule) -> Check:
    def check(instance: Instance) -> None:
        assert accepted_length(block, instance) >= accepted_length(rules.get("token_wise"), instance)

    return check


def one_hot(instance: Instance) -> Instance:
    """The same targets; the draft puts everything on its likeliest token."""
    pairs = tuple(
        (target, tuple(Fraction(int(x == draft.index(max(draft)))) for x in range(len(draft))))
        for target, draft in instance.pairs
    )
    return replace(instance, pairs=pairs)


def as_long_for_one_hot(block: Rule) -> Check:
    def check(instance: Instance) -> None:
        certain = one_hot(instance)
        assert accepted_length(block, certain) == accepted_length(rules.get("token_wise"), certain)

    return check


def round_of(rule: Rule, instance: Instance) -> Law:
    return rules.round_law(rule, instance.target, instance.draft, instance.parents, instance.drafts)


def chain_is_block(traversal: Rule) -> Check:
    def check(instance: Instance) -> None:
        assert round_of(traversal, instance).total_variation(round_of(rules.get("block"), instance)) == 0

    return check


def level_is_recursive(traversal: Rule) -> Check:
    """Law of (first emitted token, whether it was a draft)."""

    def check(instance: Instance) -> None:
        walked = round_of(traversal, instance).map(lambda emitted: (emitted[0], len(emitted) == 2))
        listed = accepted_law(rules.get("recursive_without_replacement"), instance).map(
            lambda outcome: (outcome[1], outcome[1] in outcome[0])
        )
        assert walked.total_variation(listed) == 0

    return check
