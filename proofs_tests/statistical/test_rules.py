"""Rules sampled through verify: output law, law given the drafts, acceptance; false-alarm rate 1e-6 each.

Every test is paired with a planted defect of stated size: its power against it is computed (at least 1 - 1e-6) and the
same test, run on the defect, raises the alarm. The seed is arbitrary; the claim is the error rate.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from proofs_tests import checks
from proofs_tests.laws import Instance
from proofs_tests.statistical import simulate
from proofs_tests.statistical.cases import ROUNDS, case, depth
from specmath import rules

CASES = [(name, drafts) for name in rules.names() for drafts in rules.get(name).drafts]
TILT = {"node": Fraction(1, 20), "chain": Fraction(1, 8), "tree": Fraction(1, 8)}


@pytest.mark.parametrize(
    ("name", "drafts"),
    [
        pytest.param(
            name, drafts, id=f"{name}-{drafts}", marks=pytest.mark.claim(f"lossless/{name}/{drafts}", "statistical")
        )
        for name, drafts in CASES
    ],
)
def test_output_law(name: str, drafts: str) -> None:
    """Counts of whole texts against the target's law; the defect is a target mixed with 1/20 to 1/4 of uniform."""
    rule, instance = rules.get(name), case(name, drafts)
    length, rounds, tilt = depth(instance) + (rule.layout != "node"), ROUNDS[rule.layout], TILT[rule.layout]
    if not rule.same_plan:  # a coupling is built in every round: fewer of them, against a larger defect
        rounds, tilt = rounds // 4, 2 * tilt
    claimed = simulate.vector(rules.text_law(instance.target, length), instance.size, length)
    assert not simulate.alarm(simulate.texts(rule, instance, rounds, length, seed=0), claimed)

    wrong = simulate.tilted(instance, tilt)
    truth = simulate.vector(rules.text_law(wrong.target, length), instance.size, length)
    assert 0.005 < np.abs(truth - claimed).sum() / 2 < 0.2
    assert simulate.power(truth, claimed, rounds) > simulate.POWER
    assert simulate.alarm(simulate.texts(rule, wrong, rounds, length, seed=0), claimed)


def emitted_counts(
    rule: rules.Rule, instance: Instance, tokens: Any, contexts: Any, rounds: int, keys: list[Any]
) -> np.ndarray:
    uniforms = np.random.default_rng(1).random((rounds, rule.uniforms(len(tokens))))
    verdict = checks.verify_rows(rule, instance, tokens, contexts, uniforms)
    emitted = np.asarray(verdict.tokens).reshape(rounds, -1)
    found, counts = np.unique(emitted, axis=0, return_counts=True)
    by_key = {tuple(int(t) for t in row if t >= 0): int(count) for row, count in zip(found, counts, strict=True)}
    assert set(by_key) <= set(keys), "an outcome that program never gives"
    return np.array([by_key.get(key, 0) for key in keys])


def most_telling_drafts(rule: rules.Rule, instance: Instance, wrong: Instance) -> Any:
    """Of a few drafts, those for which the two laws differ most: some drafts are accepted for certain in both."""
    options = checks.realisations(instance)
    return max(
        options[:: max(1, len(options) // 12)],
        key=lambda drafts: checks.program_law(rule, instance, *drafts).total_variation(
            checks.program_law(rule, wrong, *drafts)
        ),
    )


@pytest.mark.parametrize(
    ("name", "drafts"),
    [
        pytest.param(name, drafts, id=f"{name}-{drafts}", marks=pytest.mark.claim(f"verify/{name}", "statistical"))
        for name, drafts in CASES
        if rules.get(name).same_plan
    ],
)
def test_law_given_the_drafts(name: str, drafts: str) -> None:
    """Outcomes of verify for fixed drafts against the exact law of program; the defect sees another target."""
    rule, instance = rules.get(name), case(name, drafts)
    wrong = simulate.tilted(instance, Fraction(1, 4))
    rounds = 50_000
    tokens, contexts = most_telling_drafts(rule, instance, wrong)
    law = checks.program_law(rule, instance, tokens, contexts)
    other = checks.program_law(rule, wrong, tokens, contexts)
    keys = sorted({*law, *other})
    claimed, truth = (np.array([float(x[key]) for key in keys]) for x in (law, other))
    assert not simulate.alarm(emitted_counts(rule, instance, tokens, contexts, rounds, keys), claimed)
    assert simulate.power(truth, claimed, rounds) > simulate.POWER
    assert simulate.alarm(emitted_counts(rule, wrong, tokens, contexts, rounds, keys), claimed)


def turned(instance: Instance) -> Instance:
    """Every target's tokens moved by one place."""
    return replace(instance, pairs=tuple(((*target[1:], target[0]), draft) for target, draft in instance.pairs))


def accepted_counts(rule: rules.Rule, instance: Instance, rounds: int) -> np.ndarray:
    accepted = simulate.verified(rule, instance, rounds, seed=2)[2].accepted
    return np.array([np.sum(accepted < 0), np.sum(accepted >= 0)])


@pytest.mark.parametrize(
    ("name", "drafts"),
    [
        pytest.param(name, drafts, id=f"{name}-{drafts}", marks=pytest.mark.claim(f"acceptance/{name}", "statistical"))
        for name, drafts in CASES
        if rules.get(name).formula is not None
    ],
)
def test_acceptance(name: str, drafts: str) -> None:
    """How often a draft is emitted, against the formula or enumeration; the defect: targets moved by one token."""
    rule, instance = rules.get(name), case(name, drafts)
    wrong = turned(instance)
    rounds, values = 200_000, []
    for shown in (instance, wrong):
        target, draft = (np.array(law(()), dtype=float) for law in (shown.target, shown.draft))
        try:
            values.append(float(rule.acceptance(target, draft, len(shown.parents), drafts)))
        except NotImplementedError:
            values.append(float(checks.exact_acceptance(rule, shown)))
    claimed, truth = (np.array([1 - value, value]) for value in values)
    assert not simulate.alarm(accepted_counts(rule, instance, rounds), claimed)
    assert simulate.power(truth, claimed, rounds) > simulate.POWER
    assert simulate.alarm(accepted_counts(rule, wrong, rounds), claimed)


def test_the_alarm_keeps_its_rate() -> None:
    """At false-alarm rate 0.2, 2,000 fair samples give at most 20 % alarms, up to a deviation of probability 1e-6."""
    probabilities = np.array([0.1, 0.2, 0.3, 0.4])
    counts = np.random.default_rng(0).multinomial(500, probabilities, size=2000)
    alarms = sum(simulate.alarm(row, probabilities, false_alarm=0.2) for row in counts)
    assert alarms <= simulate.binom.isf(1e-6, 2000, 0.2)
    assert alarms > 0, "a test that never raises the alarm has no power"
