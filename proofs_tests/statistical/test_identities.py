"""Identities seen through samples of verify; false-alarm rate 1e-6 each, each with a defect that raises the alarm."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from proofs_tests import checks, identities
from proofs_tests.laws import Instance, law
from proofs_tests.statistical import simulate
from proofs_tests.statistical.cases import CONTEXT, NODE
from specmath import rules, transport

ROUNDS = 100_000
LEVEL = Instance(5, "without_replacement", (-1, -1, -1), NODE)
CHAIN = Instance(3, "iid", (-1, 0, 1), CONTEXT)


def claim(id: str) -> Any:
    return pytest.mark.claim(id, "statistical")


def accepted(rule: str, instance: Instance, seed: int = 0) -> int:
    """In how many of `ROUNDS` rounds a draft was emitted."""
    verdict = simulate.verified(rules.get(rule), instance, ROUNDS, seed)[2]
    return int(np.sum(verdict.accepted >= 0))


def fits(hits: int, probability: float) -> bool:
    """Whether ``hits`` of `ROUNDS` are compatible with the probability."""
    return not simulate.alarm(np.array([ROUNDS - hits, hits]), np.array([1 - probability, probability]))


def lengths(rule: str, instance: Instance, seed: int = 0) -> np.ndarray:
    """Accepted drafts of each round."""
    emitted = simulate.verified(rules.get(rule), instance, ROUNDS, seed)[2].tokens
    return np.sum(np.asarray(emitted) >= 0, axis=-1) - 1


def best(instance: Instance, drafts: str) -> float:
    return float(checks.optimum(instance.target(()), instance.draft(()), len(instance.parents), drafts))


@claim("identity/optimum")
@claim("identity/without-replacement-above-iid")
def test_optimum_from_sampled_drafts() -> None:
    """P(all in H) replaced by frequencies moves the minimum by at most their largest error.

    Hoeffding over 32 sets: P(error > e) <= 64 exp(-2 rounds e^2) = 1e-6. The defect (another draft law) is farther off.
    """
    margin = float(np.sqrt(np.log(64 / simulate.FALSE_ALARM) / (2 * ROUNDS)))
    target = np.array(LEVEL.target(()), dtype=float)
    found = {}
    for drafts in ("iid", "without_replacement"):
        drawn = simulate.drafted(replace(LEVEL, drafts=drafts), ROUNDS, np.random.default_rng(3))[0]
        sets = [np.array([number >> token & 1 for token in range(5)], dtype=bool) for number in range(32)]
        found[drafts] = 1 + min(target[h].sum() - np.mean(np.all(h[drawn], axis=-1)) for h in sets)
        value = float(transport.optimum(target, np.array(LEVEL.draft(()), dtype=float), 3, drafts).acceptance)
        assert abs(found[drafts] - value) <= margin
    assert found["without_replacement"] - found["iid"] > 2 * margin, "larger, and the two are told apart"


@claim("identity/never-above-optimum")
@pytest.mark.parametrize("name", ["naive_list", "recursive", "k_seq"])
def test_no_rule_is_seen_above_the_optimum(name: str) -> None:
    """One-sided at 1e-6; n + 1 drafts judged by the optimum of n raise the alarm."""
    instance = replace(LEVEL, drafts="iid", parents=(-1, -1))
    limit = binom.isf(simulate.FALSE_ALARM, ROUNDS, best(instance, "iid"))
    assert accepted(name, instance) <= limit
    assert accepted("k_seq", replace(instance, parents=(-1,) * 4)) > limit


@claim("identity/greedy-optimal")
@pytest.mark.parametrize(("name", "drafts"), [("greedy", "greedy"), ("sampler_match", "top_k")])
def test_closed_form_rules_reach_the_optimum(name: str, drafts: str) -> None:
    instance = replace(LEVEL, drafts=drafts)
    assert fits(accepted(name, instance), best(instance, drafts))
    assert not fits(accepted("sampler_match", replace(instance, drafts="iid")), best(instance, drafts))


@claim("identity/spechub-is-greedy")
def test_spechub_accepts_like_greedy() -> None:
    instance = replace(LEVEL, drafts="hub", parents=(-1, -1))
    value = float(checks.exact_acceptance(rules.get("greedy"), replace(instance, drafts="greedy")))
    assert fits(accepted("spechub", instance), value)
    assert not fits(accepted("sampler_match", instance), value)


@claim("identity/k-seq-guarantee")
@pytest.mark.parametrize("n", [2, 3, 4])
def test_k_seq_keeps_its_guarantee(n: int) -> None:
    """One-sided at 1e-6 on an instance that comes near the bound; a single draft falls below it."""
    instance = Instance(4, "iid", (-1,) * n, ((law(1, 0, 0, 0), law(1, 4, 4, 4)),))
    bound = (1 - (1 - 1 / n) ** n) * best(instance, "iid")
    limit = binom.ppf(simulate.FALSE_ALARM, ROUNDS, bound)
    assert accepted("k_seq", instance) >= limit
    assert accepted("single", replace(instance, parents=(-1,))) < limit


@claim("identity/uniform-draft-example")
@pytest.mark.parametrize("name", ["recursive", "k_seq"])
def test_uniform_draft_example(name: str) -> None:
    instance = identities.uniform_draft_instance(Fraction(1, 12))
    values = identities.uniform_draft_values(Fraction(1, 12))
    hits = accepted(name, instance)
    assert fits(hits, values[name])
    assert not any(fits(hits, value) for other, value in values.items() if other != name)


@claim("identity/block-at-least-token-wise")
def test_block_is_longer_than_token_wise() -> None:
    """Hoeffding on means of lengths in [0, 3]: the seen gain exceeds the error of both means at 1e-6."""
    error = 3 * float(np.sqrt(np.log(4 / simulate.FALSE_ALARM) / (2 * ROUNDS)))
    instance = replace(CHAIN, pairs=((law(3, 4, 3), law(6, 3, 1)),))
    gain = lengths("block", instance).mean() - lengths("token_wise", instance, 1).mean()
    assert gain > 2 * error


@claim("identity/block-one-hot")
def test_one_hot_drafts_give_equal_lengths() -> None:
    """Accepted lengths of block against the exact mean of token-wise, Hoeffding at 1e-6; soft drafts are told apart."""
    error = 3 * float(np.sqrt(np.log(2 / simulate.FALSE_ALARM) / (2 * ROUNDS)))
    certain = identities.one_hot(CHAIN)
    value = float(checks.accepted_length(rules.get("token_wise"), certain))
    assert abs(lengths("block", certain).mean() - value) <= error
    assert abs(lengths("block", CHAIN).mean() - value) > error


def emitted_counts(rule: str, instance: Instance, keys: list[tuple[int, ...]]) -> np.ndarray:
    verdict = simulate.verified(rules.get(rule), instance, ROUNDS, 0)[2]
    rows = Counter(tuple(row) for row in np.asarray(verdict.tokens).tolist())
    counts = {tuple(token for token in row if token >= 0): count for row, count in rows.items()}
    assert set(counts) <= set(keys), "an outcome that is impossible"
    return np.array([counts.get(key, 0) for key in keys])


@claim("identity/traversal-chain-is-block")
def test_traversal_of_a_chain_emits_like_block() -> None:
    truth = identities.round_of(rules.get("block"), CHAIN)
    other = identities.round_of(rules.get("token_wise"), CHAIN)
    keys = sorted({*truth, *other})
    claimed = np.array([float(truth[key]) for key in keys])
    assert not simulate.alarm(emitted_counts("traversal", CHAIN, keys), claimed)
    assert simulate.alarm(emitted_counts("token_wise", CHAIN, keys), claimed)


@claim("identity/traversal-level-is-recursive")
def test_traversal_of_one_level_accepts_like_recursive_rejection() -> None:
    value = float(checks.exact_acceptance(rules.get("recursive_without_replacement"), LEVEL))
    assert fits(accepted("traversal", LEVEL), value)
    assert not fits(accepted("sampler_match", LEVEL), value)


@claim("identity/traversal-example")
def test_worked_example_of_traversal() -> None:
    """P(the drafts (0, 1) are both kept) is 2/3, not 1/2."""
    target, draft = np.array([0.3, 0.4, 0.3]), np.array([0.6, 0.3, 0.1])
    uniforms = np.random.default_rng(0).random((ROUNDS, 3))
    tokens = np.broadcast_to(np.array([0, 1]), (ROUNDS, 2))
    rows = [np.broadcast_to(x, (ROUNDS, count, 3)) for x, count in ((target, 3), (draft, 2))]
    walked = rules.get("traversal").verify(*rows, tokens, uniforms, np.array([-1, 0]))
    listed = rules.get("token_wise").verify(*rows, tokens, uniforms)
    assert fits(int(np.sum(walked.accepted == 1)), 2 / 3)
    assert fits(int(np.sum(listed.accepted == 1)), 1 / 2)
    assert not fits(int(np.sum(listed.accepted == 1)), 2 / 3)
