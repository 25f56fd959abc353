"""Identities between rules, their acceptance and the optimum, over Fractions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from proofs_tests import checks, identities
from proofs_tests.laws import Instance, for_all, instances, law
from specmath import exact, rules, transport
from specmath.rules import k_seq

CASES = [(name, drafts) for name in rules.names("node") for drafts in rules.get(name).drafts]


def claim(id: str) -> Any:
    return pytest.mark.claim(id, "exact")


@pytest.mark.parametrize(
    ("name", "drafts"),
    [
        pytest.param(name, drafts, marks=claim(f"acceptance/{name}"), id=f"{name}-{drafts}")
        for name, drafts in CASES
        if rules.get(name).formula is not None
    ],
)
def test_acceptance_formula(name: str, drafts: str) -> None:
    for_all(instances(name, drafts), checks.acceptance_is_formula(rules.get(name)), examples=60)


@pytest.mark.parametrize(("name", "drafts"), [case for case in CASES if rules.get(case[0]).given is not None])
def test_acceptance_given_the_drafts(name: str, drafts: str) -> None:
    for_all(instances(name, drafts, paths=100), checks.given_is_enumeration(rules.get(name)), examples=30)


@claim("identity/optimum")
@pytest.mark.parametrize("drafts", rules.get("sampler_match").drafts)
def test_optimum_is_the_smallest_cut(drafts: str) -> None:
    for_all(instances("sampler_match", drafts), identities.optimum_is_cut(), examples=40)


@claim("identity/optimum")
@pytest.mark.parametrize("drafts", ["iid", "without_replacement"])
def test_prefixes_suffice(drafts: str) -> None:
    for_all(instances("sampler_match", drafts), identities.prefixes_suffice(), examples=80)


@claim("identity/never-above-optimum")
@pytest.mark.parametrize(("name", "drafts"), CASES)
def test_no_rule_is_above_the_optimum(name: str, drafts: str) -> None:
    for_all(instances(name, drafts, paths=100), identities.never_above_optimum(rules.get(name)), examples=25)


@claim("identity/without-replacement-above-iid")
def test_distinct_drafts_are_at_least_as_good() -> None:
    for_all(
        instances("recursive_without_replacement", "without_replacement"), identities.distinct_above_iid(), examples=80
    )


@claim("identity/greedy-optimal")
@pytest.mark.parametrize(("name", "drafts"), [("greedy", "greedy"), ("sampler_match", "top_k")])
def test_closed_form_rules_are_optimal(name: str, drafts: str) -> None:
    for_all(instances(name, drafts), identities.reaches_optimum(rules.get(name)), examples=80)


@claim("identity/spechub-is-greedy")
def test_spechub_is_greedy() -> None:
    for_all(instances("spechub", "hub"), identities.hub_is_greedy(rules.get("spechub")), examples=80)


@claim("identity/k-seq-guarantee")
def test_k_seq_guarantee() -> None:
    for_all(instances("k_seq", "iid", paths=100), identities.k_seq_guarantee(rules.get("k_seq")), examples=60)


@claim("identity/k-seq-guarantee")
def test_k_seq_guarantee_holds_for_the_tests_alone() -> None:
    """The theorem's own form: P(some test passes) = 1 - (1 - beta)^n, without the residual's lucky hits."""

    def check(instance: Instance) -> None:
        n, target, draft = len(instance.parents), instance.target(()), instance.draft(())
        factor = k_seq.exact_factor(target, draft, n)
        beta = sum(min(p / factor, q) for p, q in zip(target, draft, strict=True))
        bound = (1 - (1 - Fraction(1, n)) ** n) * checks.optimum(target, draft, n, "iid")
        assert float(1 - (1 - beta) ** n - bound) >= -1e-12

    for_all(instances("k_seq", "iid", paths=100), check, examples=60)


@claim("identity/uniform-draft-example")
@pytest.mark.parametrize("t", [Fraction(k, 36) for k in range(12)])
def test_uniform_draft_example(t: Fraction) -> None:
    instance = identities.uniform_draft_instance(t)
    want = identities.uniform_draft_values(t)
    target, draft = (np.array(law(()), dtype=float) for law in (instance.target, instance.draft))
    assert float(checks.optimum(instance.target(()), instance.draft(()), 2, "iid")) == pytest.approx(want["optimum"])
    assert float(transport.optimum(target, draft, 2).acceptance) == pytest.approx(want["optimum"])
    for name in ("recursive", "k_seq"):
        rule = rules.get(name)
        assert float(checks.exact_acceptance(rule, instance)) == pytest.approx(want[name], abs=1e-12)
        assert float(rule.acceptance(target, draft, 2)) == pytest.approx(want[name], abs=1e-12)
    assert want["optimum"] > want["k_seq"] > want["recursive"] or t > Fraction(1, 9)


@claim("identity/block-at-least-token-wise")
def test_block_is_at_least_as_long_as_token_wise() -> None:
    for_all(instances("block", "iid"), identities.longer_than_token_wise(rules.get("block")), examples=40)


@claim("identity/block-one-hot")
def test_one_hot_drafts_make_block_as_long_as_token_wise() -> None:
    for_all(instances("block", "iid"), identities.as_long_for_one_hot(rules.get("block")), examples=40)


@claim("identity/traversal-chain-is-block")
def test_traversal_of_a_chain_is_block() -> None:
    for_all(instances("block", "iid"), identities.chain_is_block(rules.get("traversal")), examples=40)


@claim("identity/traversal-level-is-recursive")
def test_traversal_of_one_level_is_recursive_rejection() -> None:
    sample = instances("recursive_without_replacement", "without_replacement")
    for_all(sample, identities.level_is_recursive(rules.get("traversal")), examples=60)


WORKED = Instance(3, "iid", (-1, 0), ((law(3, 4, 3), law(6, 3, 1)),))


def path_kept(program: Callable[..., Any], *parents: Any) -> Any:
    """P(both tokens are kept) when (0, 1) was drafted with the laws of the worked example."""
    target, draft = WORKED.pairs[0]
    kept = exact.law(lambda chance: len(program(chance, [target] * 3, [draft] * 2, (0, 1), *parents)) == 3)
    return kept[True]


@claim("identity/traversal-example")
def test_worked_example_of_traversal() -> None:
    traversal = rules.get("traversal")
    assert path_kept(traversal.program, (-1, 0)) == Fraction(2, 3)
    assert path_kept(rules.get("block").program) == Fraction(2, 3)
    assert path_kept(rules.get("token_wise").program) == Fraction(1, 2)


@claim("identity/traversal-example")
def test_worked_example_in_its_tree() -> None:
    """Siblings 2 and then (1, 0), (1, 2) after (0, 1), (0, 0): the first leaf's probability is unchanged."""
    target, draft = WORKED.pairs[0]
    tokens, parents = (0, 1, 1, 2, 0), (-1, -1, 0, 0, 1)

    def first_leaf(chance: exact.Chance) -> bool:
        emitted = rules.get("traversal").program(chance, [target] * 6, [draft] * 5, tokens, parents)
        return len(emitted) == 3 and emitted[:2] == (0, 1)

    assert exact.law(first_leaf)[True] == Fraction(2, 3)
