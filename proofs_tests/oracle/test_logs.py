"""Logs of correct decoders pass; each impossible, biased or inconsistent log is found by the check that is for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.harness import table
from reference import decode, drafters
from specmath import metrics, optimum, rules
from specmath.oracle.logs.checks import check_counts, check_rounds
from specmath.oracle.logs.excess import above_optimum, against_tests
from specmath.oracle.logs.followed import follows
from specmath.oracle.logs.reported import check_metrics

GOOD = [
    {"drafted": [5, 7], "accepted": 1, "emitted": [5, 8]},
    {"drafted": [6, 4], "accepted": 2, "emitted": [6, 4, 9]},
    {"drafted": [1], "accepted": 0, "emitted": [2]},
]


def changed(place: int, **fields: Any) -> list[dict[str, Any]]:
    return [{**one, **(fields if number == place else {})} for number, one in enumerate(GOOD)]


def logs(target: list[float | None], draft: list[float | None], logprobs: list[float]) -> dict[str, Any]:
    return {"target_logprobs": target, "draft_logprobs": draft, "logprobs": logprobs}


PLANTED: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("accepted", changed(0, accepted=3), {}),
    ("emitted", changed(0, emitted=[5, 8, 9]), {}),
    ("emitted", changed(1, emitted=[6]), {}),
    ("emitted", changed(1, emitted=[6, 4]), {}),  # a full round without its bonus, and the text goes on
    ("emitted", changed(1, emitted=[6, 4], stop_reason=None), {}),
    ("path", changed(0, emitted=[7, 8]), {}),
    ("path", changed(1, parents=[-1, -1]), {}),
    ("after_stop", changed(1, stop_reason="stop"), {}),
    ("after_stop", GOOD, {"stop": {6}}),
    ("position", [{**one, "position": at} for one, at in zip(GOOD, (3, 5, 9), strict=True)], {}),
    ("zero_probability", changed(0, **logs([None, -1.0], [-1.0, -1.0], [-2.0, -1.0])), {}),
    ("zero_probability", changed(0, **logs([-1.0, -1.0], [-1.0, -1.0], [-1.0, -math.inf])), {}),
    ("draft_law", changed(0, **logs([-1.0, -1.0], [-1.0, None], [-1.0, -1.0])), {}),
    ("logprobs", changed(0, **logs([-1.0, -1.0], [-1.0, -1.0], [-1.1, -1.0])), {}),
]


@pytest.mark.parametrize(
    ("check", "rounds", "options"), PLANTED, ids=[f"{one[0]} {i}" for i, one in enumerate(PLANTED)]
)
def test_impossible_rounds_are_found(check: str, rounds: list[dict[str, Any]], options: dict[str, Any]) -> None:
    found = check_rounds(rounds, **options)
    assert [finding.check for finding in found.findings] == [check]
    assert not found.passed


def test_good_rounds_pass() -> None:
    assert check_rounds(GOOD).passed
    assert check_rounds(changed(2, stop_reason="length", emitted=[2])).passed
    ended = [*GOOD, {"drafted": [3], "accepted": 1, "emitted": [3], "stop_reason": "stop"}]
    assert check_rounds([*ended, *({**one, "request": 1} for one in GOOD)], stop={3}).passed
    tree = {"drafted": [5, 5, 7, 8], "parents": [-1, -1, 1, 0], "accepted": 2, "emitted": [5, 7, 1]}
    assert check_rounds([tree]).passed


@settings(max_examples=12)
@given(seed=st.integers(0, 2**20), length=st.integers(1, 4), sampled=st.booleans(), stop=st.booleans())
def test_traces_of_the_decoder_pass(seed: int, length: int, sampled: bool, stop: bool) -> None:
    target, draft = table(seed, 4), table(seed + 1, 4)
    options = decode.Options(max_tokens=12, seed=seed, stop=frozenset({1} if stop else ()))
    rule = "block" if sampled else None
    drafter = drafters.chain(draft, length)
    decoded = decode.collect(decode.stream(target, [0], drafter=drafter, options=options, rule=rule))
    for rounds in (decoded.rounds, [one.as_json() for one in decoded.rounds]):
        found = check_rounds(rounds, stop=options.stop)
        assert found.passed, str(found)
        assert check_metrics(metrics.summary(decoded.rounds), rounds).passed


TARGETS = np.random.default_rng(3).dirichlet(np.full(5, 0.6), 40)
DRAFTS = np.random.default_rng(4).dirichlet(np.full(5, 0.6), 40)


def simulated(
    count: int,
    seed: int,
    *,
    rule: str = "token_wise",
    draw: Callable[[Any, np.ndarray], int] | None = None,
    tweak: Callable[[float], float] = lambda ratio: ratio,
) -> tuple[list[dict[str, Any]], list[tuple[Any, Any]]]:
    """Rounds of one draft each in contexts drawn at random, with their laws; ``draw`` and ``tweak`` plant defects."""
    generator, rounds, laws = np.random.default_rng(seed), [], []
    pick = draw or (lambda generator, law: int(generator.choice(len(law), p=law)))
    for context in generator.integers(len(TARGETS), size=count):
        target, draft = TARGETS[context], DRAFTS[context]
        token = pick(generator, draft)
        chance = tweak(target[token] if rule == "sampler_match" else min(1.0, target[token] / draft[token]))
        if generator.random() < chance:
            accepted, emitted = 1, [token, int(generator.integers(5))]
        else:
            rest = (
                np.where(np.arange(5) == token, 0.0, target)
                if rule == "sampler_match"
                else np.maximum(target - draft, 0)
            )
            accepted, emitted = 0, [int(generator.choice(5, p=rest / rest.sum() if rest.sum() > 0 else target))]
        rounds.append(
            {
                "drafted": [token],
                "accepted": accepted,
                "emitted": emitted,
                "target_logprobs": [float(np.log(target[token]))],
                "draft_logprobs": [float(np.log(draft[token]))],
            }
        )
        laws.append((target, draft))
    return rounds, laws


@pytest.mark.parametrize("rule", ["token_wise", "sampler_match"])
def test_a_correct_sampler_passes(rule: str) -> None:
    """False alarms: three statistics and the optimum, 1e-9 each, on each of two logs."""
    rounds, laws = simulated(3000, 1, rule=rule)
    found = check_rounds(rounds, laws=laws, rule=rule)
    assert found.passed, str(found)
    assert found.excess is not None
    assert [name for name, _ in found.statistics] == ["draft_law", "target_law", "accept_test"]


def greedy(generator: Any, law: np.ndarray) -> int:
    return int(np.argmax(law))


@pytest.mark.parametrize(
    ("check", "planted", "rule"),
    [
        ("draft_law", {"draw": greedy}, None),  # the declared soft law is not the one that was sampled
        ("accept_test", {"tweak": lambda ratio: min(1.0, 1.3 * ratio)}, "token_wise"),
        ("accept_test", {"tweak": lambda ratio: 0.8 * ratio}, "token_wise"),
        ("accept_test", {}, "sampler_match"),  # the log says another rule than the one that ran
        ("optimum", {"tweak": lambda ratio: 1.0 if ratio > 0.2 else ratio}, None),
        ("target_law", {"tweak": lambda ratio: min(1.0, 1.5 * ratio)}, None),
    ],
)
def test_biased_rounds_are_found(check: str, planted: dict[str, Any], rule: str | None) -> None:
    rounds, laws = simulated(3000, 2, **planted)
    found = check_rounds(rounds, laws=laws, rule=rule)
    assert check in [finding.check for finding in found.findings], str(found)
    assert all(finding.kind == "biased" for finding in found.findings)


def test_the_optimum_needs_no_rule_and_no_logprobs() -> None:
    """Two i.i.d. candidates, each accepted with the single-draft ratio, and no correction for the second: too many."""
    generator, rounds, laws = np.random.default_rng(5), [], []
    for good in (True, False):
        rounds, laws = [], []
        for context in generator.integers(40, size=1500):
            target, draft = TARGETS[context], DRAFTS[context]
            tokens = generator.choice(5, size=2, p=draft)
            if good:
                coins = generator.random((1, 3))
                verdict = rules.get("recursive").verify(target[None], draft[None], tokens[None], coins)
                emitted = int(verdict.tokens[0])
            else:
                kept = [x for x in tokens if generator.random() * draft[x] < 1.5 * target[x]]
                emitted = int(kept[0]) if kept else int(generator.choice(5, p=target))
            hit = emitted in tokens
            rounds.append(
                {
                    "drafted": tokens.tolist(),
                    "parents": [-1, -1],
                    "accepted": int(hit),
                    "emitted": [emitted, 0] if hit else [emitted],
                }
            )
            laws.append((target, draft))
        found = check_rounds(rounds, laws=laws)
        assert found.excess is not None
        assert found.excess.proof is not good, str(found)
        assert found.excess.most == pytest.approx(
            sum(float(optimum(target, draft, 2).acceptance) for target, draft in laws)
        )


def test_followed_is_a_supermartingale() -> None:
    """E[e-value] <= 1 over all tokens of two places, and the bets are laws: no mass is lost where supports agree."""
    other = np.array([[0.1, 0.1, 0.8], [0.5, 0.5, 0.0]])
    for law in (np.array([[0.6, 0.3, 0.1], [0.2, 0.1, 0.7]]), np.array([[0.6, 0.3, 0.1], [0.2, 0.0, 0.8]])):
        mean = 0.0
        for tokens in np.ndindex(3, 3):
            mass = float(law[0, tokens[0]] * law[1, tokens[1]])
            if mass:
                mean += mass * math.exp(follows([(np.array(tokens), law, other)], emitted=True).log_e_value)
        assert mean == pytest.approx(1, abs=1e-12) if law.all() else 0.9 < mean < 1
    assert follows([(np.array([0, 1]), law, other)]).word == "tokens of probability 0"


def test_a_temperature_that_was_not_applied_is_found() -> None:
    """The log holds the law at temperature 0.8, the tokens come from temperature 1."""
    generator, found = np.random.default_rng(8), []
    cold = TARGETS**1.25 / (TARGETS**1.25).sum(axis=-1, keepdims=True)
    for laws in (TARGETS, cold):
        tokens = np.array([generator.choice(5, p=law) for law in np.tile(laws, (60, 1))])
        found.append(follows([(tokens, np.tile(cold, (60, 1)), np.tile(DRAFTS, (60, 1)))]).word)
    assert found == ["a higher temperature, times 1.2", ""]


def test_excess_is_a_supermartingale() -> None:
    """E[e-value] <= 1 for every acceptance at most the bound, with equality at the bound: by enumeration."""
    bounds = [0.3, 0.8, 0.05]
    for share in (1.0, 0.7):
        mean = 0.0
        for number in range(8):
            hits = [number >> place & 1 for place in range(3)]
            mass = math.prod(share * c if hit else 1 - share * c for hit, c in zip(hits, bounds, strict=True))
            mean += mass * math.exp(above_optimum(hits, 1, bounds).log_e_value)
        assert mean == pytest.approx(1, abs=1e-12) if share == 1 else mean < 1


def test_excess_of_exact_frequencies_needs_no_statistics() -> None:
    assert not above_optimum(0.728, 1, 0.728, exact=True).proof
    assert above_optimum(0.729, 1, 0.728, exact=True).proof
    assert str(above_optimum(0.729, 1, 0.728, exact=True)).endswith("(exact): a bug")
    assert not above_optimum(729, 1000, 0.728).proof
    assert above_optimum(1, 1, 0.0).proof


def test_two_sides() -> None:
    chances = np.full(400, 0.3)
    events = np.arange(400) % 10 < 3
    assert against_tests(events, chances).word == ""
    assert against_tests(np.arange(400) % 10 < 6, chances).word == "too often"
    assert against_tests(np.arange(400) % 100 < 3, chances).word == "too rarely"
    assert against_tests([False] * 5, [1.0] * 5, rounding=0).word == "too rarely"
    assert against_tests([True] * 4, [0.0] * 4).word == "too often"


@pytest.mark.parametrize(
    ("check", "arguments"),
    [
        ("falling", {"accepted": [50, 60], "tested": 100}),
        ("accepted", {"accepted": [120, 60], "tested": 100}),
        ("drafted", {"accepted": [50, 40], "tested": [60, 70]}),
        ("rounds", {"accepted": [50], "tested": 100, "rounds": 90}),
        ("emitted", {"accepted": [50, 20], "tested": 100, "rounds": 100, "emitted": 171}),
        ("emitted", {"accepted": [50, 20], "tested": 100, "rounds": 100, "emitted": 99}),
        ("optimum", {"accepted": [9000, 2000], "tested": 10000, "bound": 0.85}),
    ],
)
def test_impossible_counts_are_found(check: str, arguments: dict[str, Any]) -> None:
    assert [finding.check for finding in check_counts(**arguments).findings] == [check]


def test_good_counts_pass() -> None:
    assert check_counts([50, 20], 100, rounds=100, emitted=170, bound=0.5).passed
    assert check_counts([50, 20], [90, 70], rounds=100, emitted=165).passed


def test_reported_metrics() -> None:
    trace = [
        {"drafted": [1, 2, 3, 4], "accepted": 3, "emitted": [1, 2, 3, 9], "target_calls": 1},
        {"drafted": [1, 2], "accepted": 0, "emitted": [9], "target_calls": 1},
        {"drafted": [7, 8], "accepted": 2, "emitted": [7, 8], "target_calls": 1},
    ]
    right = {"acceptance_rate": 5 / 8, "block_efficiency": 7 / 3, "accepted_tokens": 5, "rounds": 3}
    assert check_metrics(right, trace).passed
    without_calls = [{name: one[name] for name in ("drafted", "accepted", "emitted")} for one in trace]
    assert check_metrics(right, without_calls).passed
    for name, value, guess in (
        ("acceptance_rate", (3 / 4 + 0 + 1) / 3, "mean of accepted / drafted"),
        ("acceptance_rate", 5 / 7, "accepted / tested drafts, accepted / emitted"),
        ("acceptance_rate", 7 / 8, "emitted / drafted"),
        ("block_efficiency", 5 / 3, "accepted per round, bonus left out"),
        ("block_efficiency", 8 / 3, "1 + accepted per round, also where the text ended"),
        ("accepted_tokens", 7, "emitted tokens"),
    ):
        (finding,) = check_metrics({name: value}, trace).findings
        assert finding.message.endswith(f"matches: {guess}")
    (finding,) = check_metrics({"block_efficiency": 2.9}, trace).findings
    assert "matches" not in finding.message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_rounds([{"drafted": [1], "accepted": 0}]), r"rounds\[0\]: no field 'emitted'"),
        (lambda: check_rounds(changed(0, parents=[0, 0])), r"rounds\[0\]: parents is \[0, 0\]"),
        (lambda: check_rounds(changed(0, logprobs=[0.5, -1])), r"rounds\[0\]: logprobs is"),
        (lambda: check_rounds(GOOD, rule="block"), "rule is 'block'; allowed"),
        (lambda: check_rounds(GOOD, drafts="all"), "drafts is 'all'"),
        (lambda: check_rounds(GOOD, laws=[]), "laws has 0 entries for 3 rounds"),
        (lambda: check_rounds(GOOD[:1], laws=[([0.5, 0.4], [0.5, 0.5])]), r"laws\[0\]: target: sums to 0.9"),
        (
            lambda: check_rounds(GOOD[:1], laws=[([0.5, 0.5], [0.5, 0.5])]),
            r"laws\[0\]: 2 tokens, and token 5 is logged",
        ),
        (lambda: check_counts([1.5], 2), "accepted is .* allowed are whole numbers"),
        (lambda: check_counts([1], [1, 2]), "allowed is one axis of one length"),
        (lambda: above_optimum(3, 2, 0.5), "accepted: 3 of 2 tested"),
        (lambda: above_optimum(1, 2, 1.5), "bound is 1.5"),
        (lambda: above_optimum(1, 2, 0.5, false_alarm=0), "false_alarm is 0"),
        (lambda: above_optimum(-1, 2, 0.5), "accepted: a number is negative"),
        (lambda: above_optimum([1, 1], [2, 2, 2], 0.5), "do not broadcast"),
        (lambda: check_metrics({"speed": 2.0}, GOOD), "reported has 'speed'; allowed"),
    ],
)
def test_bad_input_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
