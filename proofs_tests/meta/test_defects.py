"""Planted defects and the check that catches each; the same check passes on the rule without the defect.

A check is a property over instances chosen by hypothesis, the very one that proves the claim in `exact`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from proofs_tests import checks, draft_checks, identities
from proofs_tests.laws import Instance, for_all, instances, law
from proofs_tests.meta import broken_programs as programs
from proofs_tests.meta import broken_steps as steps
from proofs_tests.statistical import simulate
from specmath import draft_laws, rules
from specmath.draft_laws import DraftLaw
from specmath.rules import Rule


def with_drafts(name: str, drafts: str) -> st.SearchStrategy[Any]:
    return st.tuples(instances(name, drafts, sizes=(3, 4), paths=100, nodes=3), st.integers(0, 200))


def sampled(rule: Rule) -> Callable[[Any], None]:
    """10,000 outcomes of verify fit the exact law of program, for all drafts (false-alarm rate 1e-6 each).

    For defects that tie two uniforms together: such a function is not constant on boxes, which `law_of_uniforms` needs.
    """

    def check(instance: Instance) -> None:
        uniforms = np.random.default_rng(0).random((10_000, rule.uniforms(len(instance.parents))))
        for tokens, contexts in checks.realisations(instance):
            judge = checks.program_law(rule, instance, tokens, contexts)
            seen = Counter(checks.outcomes(rule, checks.verify_rows(rule, instance, tokens, contexts, uniforms)))
            keys = sorted({*judge, *seen})
            claimed = np.array([float(judge[key]) for key in keys])
            assert not simulate.alarm(np.array([seen[key] for key in keys]), claimed)

    return check


def fixed_laws(name: str, drafts: str) -> st.SearchStrategy[Instance]:
    """Laws whose residuals have several tokens even after two rejections, so that a dependent final draw shows."""
    shape = {"node": (-1, -1), "chain": (-1, 0), "tree": (-1, -1, 0)}[rules.get(name).layout]
    shape = (-1, -1) if rules.get(name).shape == "paths" else shape
    shape = shape[: rules.get(name).at_most]
    return st.just(Instance(4, drafts, shape, ((law(1, 5, 5, 4), law(10, 1, 1, 3)),)))


@dataclass(frozen=True)
class Named:
    """A check by name: how instances are chosen, and the check as a function of the rule."""

    sample: Callable[[str, str], st.SearchStrategy[Any]]
    check: Callable[[Rule], Callable[[Any], None]]
    claim: Callable[[str, str], str]
    examples: int


CHECKS = {
    "lossless": Named(
        lambda name, drafts: instances(name, drafts, sizes=(2, 3), paths=100),
        checks.lossless,
        lambda name, drafts: f"lossless/{name}/{drafts}",
        60,
    ),
    "verify": Named(with_drafts, checks.verify_is_program, lambda name, drafts: f"verify/{name}", 30),
    "sampled": Named(fixed_laws, sampled, lambda name, drafts: f"verify/{name}", 3),
    "extremes": Named(
        with_drafts, lambda rule: checks.verdict_is_consistent(rule, 0), lambda name, drafts: f"verify/{name}", 60
    ),
    "given": Named(
        lambda name, drafts: instances(name, drafts, paths=100),
        checks.given_is_enumeration,
        lambda name, drafts: f"acceptance/{name}",
        30,
    ),
    "acceptance": Named(instances, checks.acceptance_is_formula, lambda name, drafts: f"acceptance/{name}", 40),
}


@dataclass(frozen=True)
class Defect:
    """What is broken, in which rule, on which drafts, and which check must say so."""

    name: str
    rule: str
    drafts: str
    check: str
    change: dict[str, Any]


def program(function: Callable[..., Any], rule: str, drafts: str = "iid") -> Defect:
    return Defect(function.__name__, rule, drafts, "lossless", {"program": function})


def step(function: Any, rule: str, drafts: str = "iid", check: str = "verify", name: str = "") -> Defect:
    return Defect(name or function.__name__, rule, drafts, check, {"step": function})


def formula(function: Any, rule: str, drafts: str = "iid") -> Defect:
    return Defect(function.__name__, rule, drafts, "acceptance", {"formula": function})


DEFECTS = [
    program(programs.single_draft_minus_target, "single"),
    program(programs.single_redraws_target, "single"),
    program(programs.single_ignores_ratio_above_residual, "single"),
    program(programs.recursive_keeps_target, "recursive"),
    program(programs.recursive_not_renormalised, "recursive"),
    program(programs.recursive_drops_duplicates, "recursive"),
    program(programs.distinct_keeps_draft, "recursive_without_replacement", "without_replacement"),
    program(programs.distinct_removes_after_next, "recursive_without_replacement", "without_replacement"),
    program(programs.k_seq_below_root, "k_seq"),
    program(programs.k_seq_without_share, "k_seq"),
    program(programs.k_seq_drops_duplicates, "k_seq"),
    program(programs.greedy_ignores_fixed, "greedy", "greedy"),
    program(programs.naive_residual_without_hit, "naive_list"),
    program(programs.naive_residual_without_hit, "naive_list", "without_replacement"),
    *(program(programs.match_prefers_drafts, "sampler_match", drafts) for drafts in draft_laws.names()),
    program(programs.hub_second_test_against_target, "spechub", "hub"),
    *(program(programs.optimal_tests_draft_law, "optimal", drafts) for drafts in rules.get("optimal").drafts),
    program(programs.chain_bonus_from_draft, "token_wise"),
    program(programs.chain_bonus_from_row_before, "token_wise"),
    program(programs.chain_draft_law_off_by_one, "token_wise"),
    program(programs.chain_goes_on_after_rejection, "token_wise"),
    program(programs.block_without_cap, "block"),
    program(programs.block_stops_at_first, "block"),
    program(programs.block_residual_without_weight, "block"),
    program(programs.block_empty_residual_passes, "block"),
    program(programs.traversal_duplicates_kept, "traversal"),
    program(programs.traversal_sorted_children, "traversal", "without_replacement"),
    program(programs.traversal_keeps_draft_law, "traversal", "without_replacement"),
    program(programs.traversal_keeps_weight, "traversal", "without_replacement"),
    program(programs.traversal_empty_residual_goes_on, "traversal", "without_replacement"),
    program(programs.traversal_without_cap, "traversal", "without_replacement"),
    step(steps.single_accepts_on_equality, "single", check="extremes"),
    step(steps.recursive_accepts_on_equality, "recursive", check="extremes"),
    step(steps.token_wise_accepts_on_equality, "token_wise", check="extremes"),
    step(steps.single_draws_zero_mass, "single", check="extremes"),
    step(steps.match_draws_zero_mass, "sampler_match", check="extremes"),
    *(
        step(steps.index_counts_from_one(name), name, check="extremes", name=f"index_counts_from_one_{name}")
        for name in ("single", "block", "traversal")
    ),
    *(
        step(steps.reuses_uniform(name), name, rules.get(name).drafts[0], "sampled", name=f"reuses_uniform_{name}")
        for name in rules.names()
        if name not in ("sampler_match", "spechub", "spectr") and rules.get(name).same_plan
    ),
    step(steps.single_unnormalised_residual, "single"),
    step(steps.naive_list_tests_last, "naive_list"),
    step(steps.block_without_cap, "block"),
    step(steps.block_residual_without_weight, "block"),
    step(steps.bonus_from_row_before, "token_wise"),
    step(steps.greedy_ignores_fixed, "greedy", "greedy"),
    step(steps.distinct_keeps_draft, "recursive_without_replacement", "without_replacement"),
    step(steps.k_seq_factor_one, "k_seq"),
    step(steps.parents_ignored, "traversal", "without_replacement"),
    step(steps.spechub_hub_by_last, "spechub", "hub"),
    step(steps.match_from_draft, "sampler_match"),
    formula(steps.match_by_ratio, "sampler_match"),
    formula(steps.naive_counts_first_twice, "naive_list"),
    formula(steps.recursive_as_power, "recursive"),
    formula(steps.recursive_as_power, "k_seq"),
    formula(steps.recursive_as_power, "optimal"),
    formula(steps.distinct_as_recursive, "recursive_without_replacement", "without_replacement"),
    formula(steps.greedy_unnormalised, "greedy", "greedy"),
    formula(steps.greedy_unnormalised, "spechub", "hub"),
    formula(steps.single_total_variation, "single"),
    *(
        Defect("given_of_first", name, drafts, "given", {"given": steps.given_of_first})
        for name in rules.names("node")
        if rules.get(name).given is not None
        for drafts in rules.get(name).drafts
    ),
]


@pytest.mark.parametrize(
    "defect",
    [
        pytest.param(
            defect,
            marks=pytest.mark.claim(CHECKS[defect.check].claim(defect.rule, defect.drafts), "control"),
            id=f"{defect.name}-{defect.rule}-{defect.drafts}",
        )
        for defect in DEFECTS
    ],
)
def test_defect_is_caught(defect: Defect) -> None:
    named = CHECKS[defect.check]
    broken = replace(rules.get(defect.rule), **defect.change)
    with pytest.raises(AssertionError):
        for_all(
            named.sample(defect.rule, defect.drafts), named.check(broken), examples=3 * named.examples, shrink=False
        )


@pytest.mark.parametrize(
    ("rule", "drafts", "check"), sorted({(defect.rule, defect.drafts, defect.check) for defect in DEFECTS})
)
def test_without_the_defect_the_same_check_passes(rule: str, drafts: str, check: str) -> None:
    named = CHECKS[check]
    for_all(named.sample(rule, drafts), named.check(rules.get(rule)), examples=named.examples // 3)


@pytest.mark.parametrize(
    ("rule", "drafts", "intact"),
    [
        ("block", "iid", programs.block_intact),
        ("traversal", "iid", programs.traversal_intact),
        ("traversal", "without_replacement", programs.traversal_intact),
    ],
)
def test_the_frames_of_the_broken_programs_are_right(rule: str, drafts: str, intact: Any) -> None:
    """Switches off, they pass: what is caught is the defect, not the way it is written."""
    named = CHECKS["lossless"]
    whole = replace(rules.get(rule), program=intact)
    for_all(named.sample(rule, drafts), named.check(whole), examples=named.examples // 2)


ARGMAX = [("single", 1), ("recursive", 2), ("k_seq", 2), ("naive_list", 2)]


@pytest.mark.parametrize(("name", "n"), ARGMAX)
def test_likeliest_tokens_with_a_soft_draft_law_are_caught(name: str, n: int) -> None:
    """Drafts are taken by rank, but the ratio test is told the law before that."""
    sample = instances("sampler_match", "top_k", sizes=(2, 3)).filter(lambda x: len(x.parents) == n)
    with pytest.raises(AssertionError):
        for_all(sample, checks.lossless(rules.get(name)), examples=60, shrink=False)


LAW_DEFECTS = [
    ("sample", "iid", {"sample": steps.sample_shares_uniform}),
    ("sample", "without_replacement", {"sample": steps.sample_keeps_tokens}),
    ("sample", "greedy", {"sample": steps.sample_from_unreduced}),
    ("sample", "top_k", {"sample": steps.sample_lowest}),
    ("sample", "hub", {"sample": steps.hub_always_second}),
    ("inside", "iid", {"inside": steps.inside_of_one}),
    ("inside", "without_replacement", {"inside": steps.inside_as_iid}),
    ("inside", "greedy", {"inside": steps.inside_as_iid}),
    ("inside", "top_k", {"inside": steps.inside_as_iid}),
    ("inside", "hub", {"inside": steps.inside_as_iid}),
]
LAW_CHECKS: dict[str, Callable[[DraftLaw], Callable[[Any], None]]] = {
    "sample": draft_checks.sample_is_program,
    "inside": draft_checks.inside_is_enumeration,
}


@pytest.mark.parametrize(
    ("check", "name", "change"),
    [
        pytest.param(*case, id=f"{case[0]}-{case[1]}", marks=pytest.mark.claim(f"{case[0]}/{case[1]}", "control"))
        for case in LAW_DEFECTS
    ],
)
def test_defect_of_a_draft_law_is_caught(check: str, name: str, change: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        for_all(
            instances("sampler_match", name, paths=100),
            LAW_CHECKS[check](replace(draft_laws.get(name), **change)),
            examples=60,
            shrink=False,
        )


def changed(name: str, function: Callable[..., Any]) -> Rule:
    return replace(rules.get(name), program=function)


def lazy_block(chance: Any, target: Any, draft: Any, tokens: Any) -> Any:
    """Lossless, but keeps at most one draft: the rest of the chain is thrown away."""
    return rules.get("token_wise").program(chance, target[:2], draft[:1], tokens[:1])


def match_chain(chance: Any, target: Any, draft: Any, tokens: Any) -> Any:
    """Lossless, but accepts by matching a target draw."""
    emitted: tuple[int, ...] = ()
    for laws, token in zip(target, (*tokens, -1), strict=True):
        emitted = (*emitted, chance.draw(laws))
        if emitted[-1] != token:
            break
    return emitted


def traversal_as_match(chance: Any, target: Any, draft: Any, tokens: Any, parents: Any) -> Any:
    """Lossless, but walks down the tree by matching target draws."""
    node, emitted = -1, ()
    while True:
        drawn = chance.draw(target[node + 1])
        emitted = (*emitted, drawn)
        below = [i for i, parent in enumerate(parents) if parent == node and tokens[i] == drawn]
        if not below:
            return emitted
        node = below[0]


def match(chance: Any, target: Any, draft: Any, tokens: Any) -> Any:
    return chance.draw(target)


MATCH = ("sampler_match", "iid")
IDENTITY_DEFECTS = [
    (
        "never-above-optimum",
        ("naive_list", "iid"),
        identities.never_above_optimum(changed("single", lambda c, p, q, x: x[0])),
    ),
    ("greedy-optimal", ("greedy", "greedy"), identities.reaches_optimum(changed("greedy", match))),
    ("spechub-is-greedy", ("spechub", "hub"), identities.hub_is_greedy(changed("spechub", match))),
    ("k-seq-guarantee", ("k_seq", "iid"), identities.k_seq_guarantee(changed("k_seq", match))),
    ("optimum", MATCH, identities.prefixes_suffice(lambda p, q: q - p)),
    ("optimum", MATCH, identities.optimum_is_cut(lambda p, q, n, drafts: steps.prefixes_by_target(p, q, n))),
    ("without-replacement-above-iid", ("sampler_match", "top_k"), identities.distinct_above_iid("top_k")),
    ("block-at-least-token-wise", ("block", "iid"), identities.longer_than_token_wise(changed("block", lazy_block))),
    ("block-one-hot", ("block", "iid"), identities.as_long_for_one_hot(changed("block", lazy_block))),
    ("traversal-chain-is-block", ("block", "iid"), identities.chain_is_block(changed("traversal", traversal_as_match))),
    (
        "traversal-level-is-recursive",
        ("recursive_without_replacement", "without_replacement"),
        identities.level_is_recursive(changed("traversal", traversal_as_match)),
    ),
]


@pytest.mark.parametrize(
    ("name", "sample", "check"),
    [
        pytest.param(*case, id=case[0], marks=pytest.mark.claim(f"identity/{case[0]}", "control"))
        for case in IDENTITY_DEFECTS
    ],
)
def test_defect_of_an_identity_is_caught(name: str, sample: tuple[str, str], check: Callable[[Any], None]) -> None:
    """Most of the planted rules are lossless: the identity, not losslessness, tells them apart."""
    with pytest.raises(AssertionError):
        for_all(instances(*sample, sizes=(2, 3)), check, examples=150, shrink=False)


def test_a_lossless_rule_of_another_kind_passes_losslessness() -> None:
    """So the identities above are needed: these wrong rules emit the right law."""
    for name, drafts, function in [
        ("block", "iid", lazy_block),
        ("block", "iid", match_chain),
        ("traversal", "without_replacement", traversal_as_match),
    ]:
        for_all(instances(name, drafts, sizes=(2, 3), paths=100), checks.lossless(changed(name, function)), examples=15)
