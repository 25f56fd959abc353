"""Simulated rounds against the exact law of what becomes of them, with stated errors.

Counts of fates are compared by `proofs_tests.statistical.simulate.alarm`: exact binomial limits, false alarms at most
1e-6 a test. Means of bounded gains are compared by Hoeffding's inequality.
"""

from __future__ import annotations

import importlib
import math
from fractions import Fraction as F

import numpy as np
import pytest

from proofs_tests.statistical.simulate import POWER, alarm, power
from proofs_tests.stopping.instances import COSTS, MARKOV, OBSERVABLE, RENEWAL, TABLES, Branch
from specmath.stopping import (
    Bandit,
    Confidence,
    Constant,
    Costs,
    Fixed,
    Heuristic,
    Hindsight,
    OnlineConfidence,
    RandomEffect,
    Survival,
    View,
    estimate,
    evaluate,
    renewal_threshold,
    solve,
    sufficient_condition,
)
from specmath.stopping.compiled import FRESH, compiled
from specmath.stopping.paths import walked

simulator = importlib.import_module("specmath.stopping.estimate")
ROUNDS, HORIZON = 4_000, 5


def law_of(policy, process, lag: int) -> dict[tuple[int, int, int], float]:
    """Exact law of the fate of a round that begins as a text does."""
    numbered, law = compiled(process), {}
    for weight, root in numbered.start:
        row = walked(policy, numbered, root, horizon=HORIZON, lag=lag, budget=10_000, detailed=True)
        for fate, mass in row.fates.items():
            law[fate] = law.get(fate, 0.0) + float(weight * mass)
    assert sum(law.values()) == pytest.approx(1)
    return law


def counted(policy, process, lag: int) -> dict[tuple[int, int, int], int]:
    """Fates of simulated rounds."""
    numbered, rng, found = simulator.floated(compiled(process)), np.random.default_rng(0), {}
    for _ in range(ROUNDS):
        fate = simulator.one_round(policy, numbered, FRESH, COSTS, HORIZON, lag, rng)
        found[fate] = found.get(fate, 0) + 1
    return found


def raises_alarm(counts: dict, law: dict) -> bool:
    """Fates that the law calls impossible, or counts beyond its limits."""
    fates = sorted(law)
    if set(counts) - set(fates):
        return True
    return alarm(np.array([counts.get(fate, 0) for fate in fates]), np.array([law[fate] for fate in fates]))


def power_against(truth: dict, law: dict) -> float:
    """Lower bound of P(alarm) if rounds follow ``truth`` and ``law`` is claimed."""
    outside = sum(mass for fate, mass in truth.items() if fate not in law)
    fates = sorted(law)
    inside = power(np.array([truth.get(fate, 0.0) for fate in fates]), np.array([law[f] for f in fates]), ROUNDS)
    return max(inside, 1 - (1 - outside) ** ROUNDS)


@pytest.mark.claim("stopping/optimal", "statistical")
@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("process", [OBSERVABLE, MARKOV, TABLES], ids=["observable", "markov", "tables"])
def test_rounds_of_the_best_policy(process, lag: int) -> None:
    best = solve(process, COSTS, horizon=HORIZON, lag=lag).policy
    law = law_of(best, process, lag)
    assert not raises_alarm(counted(best, process, lag), law)
    assert power_against(law_of(Fixed(2), process, lag), law) > POWER


@pytest.mark.claim("stopping/renewal-threshold", "statistical")
def test_rounds_of_the_closed_form() -> None:
    """A policy with the closed-form threshold has the rounds of the solver's; with another threshold it has not."""
    best = solve(OBSERVABLE, COSTS, horizon=HORIZON)
    closed = renewal_threshold(OBSERVABLE.mean, COSTS, best.speedup)
    law = law_of(best.policy, OBSERVABLE, 0)
    assert not raises_alarm(counted(Survival(closed), OBSERVABLE, 0), law)
    assert power_against(law_of(Survival(F(9, 10)), OBSERVABLE, 0), law) > POWER


def gain_of_drafting_on(process, best, survival: float, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """Simulated worth of drafting one token from a text's start at a survival and then going on as planned."""
    numbered, price = compiled(process), float(best.rate * COSTS.token)
    found = np.zeros(rounds)
    for number in range(rounds):
        state, alive, path, here = numbered.start[0][1], rng.random() < survival, 0, survival
        while path == 0 or best.policy.decide(View(path, F(here), latent=numbered.states[state])):
            row = numbered.moves[state]
            move = row[int(rng.choice(len(row), p=[float(m.probability) for m in row]))]
            alive = alive and rng.random() < move.acceptance
            found[number] += alive - price
            state, here, path = move.state, here * float(move.acceptance), path + 1
            if path == best.horizon:
                break
    return found


@pytest.mark.claim("stopping/threshold-form", "statistical")
@pytest.mark.claim("stopping/sufficient-condition", "statistical")
def test_drafting_on_loses_below_the_boundary_and_gains_above() -> None:
    """Hoeffding: n gains within [-h, h] have a mean within h sqrt(2 log(2e9) / n) of their own, but for 1e-9.

    Simulated at 0.6 and 1.5 times the boundary of a branch, where the exact gains are further than that from 0: power
    above 1 - 1e-9 against a boundary that is off by half.
    """
    process = Branch(F(1, 4), 4)
    best = solve(process, COSTS, horizon=5)
    bound, rounds, largest = float(best.policy.boundary(0, "branch")), 6_000, 5.0
    slack = largest * math.sqrt(2 * math.log(2e9) / rounds)
    rng = np.random.default_rng(0)
    price = float(best.rate * COSTS.token)

    def exact(survival: float) -> float:
        return survival * 0.25 * 5 - price * (1 + 0.25 * 4)

    low, high = 0.05, 1.0
    assert low < bound < high
    assert low < 1 - sufficient_condition(best).threshold  # the theorem says stop here
    assert exact(low) < -slack
    assert gain_of_drafting_on(process, best, low, rounds, rng).mean() < exact(low) + slack < 0
    assert exact(bound) == pytest.approx(0, abs=1e-9)
    assert abs(gain_of_drafting_on(process, best, high, rounds, rng).mean() - exact(high)) < slack


@pytest.mark.parametrize("lag", [0, 1])
def test_an_estimate_is_near_the_exact_value(lag: int) -> None:
    """At level 1 - 1e-6 (Student's t over 40 texts, approximate): a false alarm in a million for each of the pairs."""
    cases = [
        (Fixed(4), Constant(0.8)),
        (Survival(0.4), OBSERVABLE),
        (Survival(0.4), MARKOV),
        (Confidence(0.5), TABLES),
        (Heuristic(3, at_most=8), RENEWAL),
        (Hindsight(), MARKOV),
        (Fixed(3), RandomEffect((0.5, 0.9), (0.5, 0.5))),
    ]
    for policy, process in cases:
        options = {"horizon": 8, "lag": lag}
        exact = evaluate(policy, process, COSTS, **options)
        found = estimate(policy, process, COSTS, texts=40, tokens=300, confidence=1 - 1e-6, **options)
        assert found.interval is not None
        assert found.interval[0] < exact.speedup < found.interval[1]
        assert found.interval[1] - found.interval[0] < 1
        assert float(exact.verification) == pytest.approx(found.verification, rel=0.15)


def test_an_estimate_is_the_same_for_the_same_seed() -> None:
    options = {"texts": 4, "tokens": 100}
    for policy in (OnlineConfidence(), Bandit((1, 4), Costs(0.2)), Heuristic(3)):
        one, two, other = (estimate(policy, TABLES, COSTS, seed=seed, **options) for seed in (5, 5, 6))
        assert one == two != other


def test_a_lag_that_is_ignored_is_noticed() -> None:
    """A simulator with another lag than the law's."""
    law = law_of(Survival(F(1, 2)), OBSERVABLE, 0)
    assert raises_alarm(counted(Survival(F(1, 2)), OBSERVABLE, 1), law)
    assert power_against(law_of(Survival(F(1, 2)), OBSERVABLE, 1), law) > POWER
