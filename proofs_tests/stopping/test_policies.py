"""Policies: each decides as its source says, remembers what it must, and is in the registry."""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
from types import SimpleNamespace

import numpy as np
import pytest

from proofs_tests.stopping.instances import COSTS, MARKOV, OBSERVABLE, TABLES
from specmath import stopping
from specmath.stopping import (
    AdaEdl,
    Bandit,
    Confidence,
    Constant,
    Costs,
    Entropy,
    Fixed,
    Heuristic,
    Hindsight,
    LookAhead,
    OnlineConfidence,
    Survival,
    Svip,
    Table,
    View,
    best_fixed,
    estimate,
    evaluate,
    policies,
    solve,
)
from specmath.stopping.policies.online import fitted

MADE = {
    "fixed": Fixed(3),
    "survival": Survival(0.4),
    "look_ahead": LookAhead(0.3, 0.8),
    "table": Table([{"text": 0.3}] * 4),
    "confidence": Confidence(0.5),
    "entropy": Entropy(0.6),
    "svip": Svip(0.3),
    "adaedl": AdaEdl(),
    "heuristic": Heuristic(3),
    "online_confidence": OnlineConfidence(),
    "bandit": Bandit((1, 2, 4), Costs(0.1)),
    "hindsight": Hindsight(),
}


def test_the_registry_knows_all() -> None:
    assert set(stopping.names()) == {*MADE, "optimal"}
    for name, policy in MADE.items():
        kind = stopping.get(name)
        assert kind.name == name
        assert type(policy) is kind.make
        assert kind.purpose
        assert kind.source
    assert stopping.get("optimal").make is None
    with pytest.raises(ValueError, match="policy is 'nope'; allowed are 'fixed', 'survival'"):
        stopping.get("nope")


def test_every_file_is_registered() -> None:
    """A policy in a file that the registry does not import would never be seen."""
    kinds = []
    for one in pkgutil.iter_modules(policies.__path__):
        module = importlib.import_module(f"specmath.stopping.policies.{one.name}")
        kinds += [value for name, value in vars(module).items() if name.startswith("KIND")]
    assert len(kinds) == len(stopping.names())
    assert all(stopping.get(kind.name) is kind for kind in kinds)


@pytest.mark.parametrize("name", MADE)
def test_memory_goes_through_json(name: str) -> None:
    """A policy that is interrupted goes on as one that is not; a fresh text begins anew."""
    policy = MADE[name].restore(None)
    for drafted, accepted in ((3, 3), (2, 0), (5, 4)):
        policy.observe(drafted, accepted)
    kept = json.loads(json.dumps(policy.memory()))
    other = MADE[name].restore(kept)
    assert other.memory() == policy.memory()
    other.observe(4, 1)
    policy.observe(4, 1)
    assert other.memory() == policy.memory()
    assert policy.restore(None).memory() == MADE[name].memory()
    if name != "hindsight":
        views = [View(k, 0.9**k, confidence=0.6, entropy=0.5) for k in range(6)]
        assert [other.decide(view) for view in views] == [policy.decide(view) for view in views]


def test_the_first_token_needs_no_look_at_the_draft() -> None:
    for name in ("confidence", "entropy", "svip", "adaedl", "online_confidence"):
        assert MADE[name].restore(None).decide(View(0))
        with pytest.raises(ValueError, match=f"state has no (confidence|entropy), which policy {name!r} needs"):
            MADE[name].restore(None).decide(View(1))


@pytest.mark.parametrize("lag", [0, 1])
def test_the_table_is_the_best_policy(lag: int) -> None:
    for process in (MARKOV, OBSERVABLE):
        best = solve(process, COSTS, horizon=6, lag=lag)
        table = best.policy.table(6)
        assert evaluate(table, process, COSTS, horizon=6, lag=lag).rate == best.rate
        assert evaluate(best.policy.table(2), process, COSTS, horizon=6, lag=lag).rate < best.rate
    with pytest.raises(ValueError, match=r"boundaries\[0\]\['a'\] is 2; allowed are numbers from 0 to 1"):
        Table([{"a": 2}])
    with pytest.raises(ValueError, match="latent is None; allowed are the 2 states of the table"):
        Table([{0: 0.5, 1: 0.5}]).decide(View(0))


def test_a_survival_that_nobody_knows_is_not_taken_for_certain() -> None:
    for name in ("survival", "look_ahead"):
        with pytest.raises(ValueError, match="state has no survival"):
            MADE[name].decide(View(2, None))


@pytest.mark.slow  # the import of transformers alone takes seconds
def test_heuristic_is_that_of_transformers() -> None:
    generator = pytest.importorskip("transformers.generation.candidate_generator").AssistedCandidateGenerator
    theirs = SimpleNamespace(
        assistant_generation_config=SimpleNamespace(
            num_assistant_tokens_schedule="heuristic", assistant_confidence_threshold=None
        ),
        num_assistant_tokens=5,
    )
    ours, rng = Heuristic(5), np.random.default_rng(0)
    for _ in range(200):
        drafted = ours.draft_length
        accepted = int(rng.integers(drafted // 2, drafted + 1))
        generator.update_candidate_strategy(theirs, None, [[0] * (drafted + 1)], accepted)
        ours.observe(drafted, accepted)
        assert ours.draft_length == theirs.num_assistant_tokens


@pytest.mark.parametrize(("acceptance", "mean"), [(0.6, 2.78), (0.7, 3.65), (0.8, 5.45), (0.9, 10.93)])
def test_heuristic_settles_whatever_drafting_costs(acceptance: float, mean: float) -> None:
    """Near alpha^K = 1/3, exactly by the chain of lengths."""
    for cost in (0.02, 0.2):
        found = evaluate(Heuristic(5, at_most=60), Constant(acceptance), Costs(cost))
        assert found.drafted / found.verification == pytest.approx(mean, abs=0.005)
    assert mean == pytest.approx(math.log(3) / -math.log(acceptance), abs=0.7)


def test_heuristic_against_the_best_length() -> None:
    """Its share of the best speed depends on the cost, which it does not know."""
    for cost, low, high in ((0.02, 0.86, 0.91), (0.1, 0.95, 0.99)):
        for acceptance in (0.6, 0.7, 0.8, 0.9):
            best = best_fixed(Constant(acceptance), Costs(cost), horizon=30).found.rate
            share = evaluate(Heuristic(5, at_most=60), Constant(acceptance), Costs(cost)).rate / best
            assert low < share < high


def roc_choice(confidences: list[float], kept: list[bool]) -> float:
    """Judge: every threshold by counting; the rule of transformers, false positives + 3 x false negatives."""
    good, bad = sum(kept), len(kept) - sum(kept)
    costs = {}
    for threshold in confidences:
        on = [c >= threshold for c in confidences]
        wrong = sum(o and not k for o, k in zip(on, kept, strict=True)) / bad
        missed = sum(k and not o for o, k in zip(on, kept, strict=True)) / good
        costs[threshold] = wrong + 3 * missed
    least = min(costs.values())
    return max(threshold for threshold, cost in costs.items() if cost <= least + 1e-12)


def test_online_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    for size in (6, 9, 30):
        for _ in range(40):
            confidences = rng.integers(1, 12, size) / 12
            kept = rng.random(size) < confidences
            if kept.all() or not kept.any():
                assert fitted(confidences.tolist(), kept.tolist()) is None
                continue
            assert fitted(confidences.tolist(), kept.tolist()) == roc_choice(confidences.tolist(), kept.tolist())


def test_online_confidence_judges_up_to_the_first_rejection() -> None:
    policy = OnlineConfidence(0.1)
    for place, sure in enumerate((None, 0.9, 0.8, 0.3, 0.7)):
        policy.decide(View(place, confidence=sure))
    policy.observe(4, 2)
    assert (policy.confidences, policy.kept) == ([0.9, 0.8, 0.3], [True, True, False])
    assert policy.threshold == 0.1  # fewer than six tokens are judged
    for place, sure in enumerate((None, 0.6, 0.5, 0.2)):
        policy.decide(View(place, confidence=sure))
    policy.observe(3, 2)
    assert policy.threshold == 0.5
    policy.observe(0, 0)
    assert len(policy.kept) == 6


def test_adaedl_moves_towards_its_target() -> None:
    low, high = AdaEdl(limit=0.5), AdaEdl(limit=0.5)
    for _ in range(100):
        low.observe(4, 0)
        high.observe(4, 4)
    assert low.limit == pytest.approx(0.6)
    assert high.limit == pytest.approx(0.4)
    low.observe(0, 0)
    assert low.limit == pytest.approx(0.6)


def test_bandit_learns() -> None:
    """Its share of the best arm's speed over 8 texts of 2,000 tokens, learning included.

    Pairs of texts of that size, 25 of them, had mean 0.952 and standard deviation 0.024, so 8 texts have 0.012: 0.90 is
    four of them away, a false alarm of 1e-4. Playing all arms alike has 0.877.
    """
    costs, lengths = Costs(0.1), (1, 3, 6, 12)
    rates = [evaluate(Fixed(length), Constant(0.8), costs).rate for length in lengths]
    found = estimate(Bandit(lengths, costs), Constant(0.8), costs, texts=8, tokens=2000)
    assert found.rate / max(rates) > 0.9
    tokens = sum(rate * costs.round(length) for rate, length in zip(rates, lengths, strict=True))
    assert tokens / sum(map(costs.round, lengths)) / max(rates) < 0.88


def test_bandit_leaves_out_rounds_cut_short() -> None:
    policy = Bandit((4,), Costs(0.1))
    policy.observe(2, 2)
    assert policy.rounds == [0]


def test_entropy_rules_see_the_draft_and_not_the_target() -> None:
    """A draft that is certain and wrong: SVIP and AdaEDL take the acceptance for one, and it is zero."""
    sure = View(1, entropy=0.0)
    assert Svip(0.0).decide(sure)
    assert AdaEdl(limit=1.0).decide(sure)
    tables = stopping.Tables({(): [0.0, 1.0]}, {(): [1.0, 0.0]}, order=0)
    assert [token.acceptance for token in tables.tokens(())] == [0.0]
    assert evaluate(Svip(0.0), tables, Costs(0.1), horizon=8).rate == pytest.approx(1 / 1.8)


def test_confidence_on_tables_by_hand() -> None:
    """Context 0: tokens of draft probability 3/4 and 1/4. With threshold 1/2 the second stops the round."""
    found = evaluate(Confidence(0.5), TABLES, Costs(0.2), horizon=1)
    assert found.rate == evaluate(Fixed(1), TABLES, Costs(0.2)).rate
    assert (
        evaluate(Confidence(0.5), TABLES, Costs(0.2), horizon=2).drafted
        < evaluate(Fixed(2), TABLES, Costs(0.2)).drafted
    )
