"""Thresholds on the survival: the form of every best policy, the closed form, the theorem, and where each ends."""

from __future__ import annotations

from fractions import Fraction as F

import pytest
from hypothesis import given, settings

from proofs_tests.stopping.instances import COSTS, MARKOV, PRICES, PROCESSES, RENEWAL, Branch, observables
from proofs_tests.stopping.judges import counted, plans
from specmath.stopping import (
    Constant,
    Costs,
    LookAhead,
    Observable,
    Survival,
    View,
    best_look_ahead,
    evaluate,
    renewal_threshold,
    solve,
    sufficient_condition,
)
from specmath.stopping.induction import induct

FORK = Branch(F(3, 20), 40)


def boundary_by_hand(process, state, costs: Costs, rate: F, horizon: int) -> F:
    """Where the best of all plans that draft on is worth nothing: the least price / tokens of them, at most 1."""
    found = F(1)
    for plan in plans(process, state, costs, horizon, 0):
        if plan[(), 0]:
            one = counted(process, state, plan, costs, 0)
            if one.tokens > 1:
                found = min(found, rate * (one.cost - costs.target) / (one.tokens - 1))
    return found


@pytest.mark.claim("stopping/threshold-form", "exact")
@given(process=PROCESSES, costs=PRICES)
@settings(max_examples=40)
def test_the_boundary_is_that_of_the_best_of_all_plans(process, costs: Costs) -> None:
    if any(token.rejected for _, state in process.start() for token in process.tokens(state)):
        return  # the next round begins where this one ended: its head start is not in the judge's lines
    best = solve(process, costs, horizon=3)
    for _, state in process.start():
        for drafted in (0, 1, 2):
            hand = boundary_by_hand(process, state, costs, best.rate, 3 - drafted)
            assert best.policy.boundary(drafted, state) == hand


@pytest.mark.claim("stopping/threshold-form", "exact")
@given(process=PROCESSES, costs=PRICES)
@settings(max_examples=40)
def test_best_is_to_go_on_above_the_boundary_and_only_there(process, costs: Costs) -> None:
    for lag in (0, 1):
        best = solve(process, costs, horizon=4, lag=lag)
        plan = best.policy.plans[0]
        for drafted in (0, 1, 3):
            for state, latent in enumerate(best.policy.process.states):
                bound = best.policy.boundary(drafted, latent)
                grid = sorted({F(n, 7) for n in range(1, 8)} | {bound, (bound + 1) / 2})
                for survival in grid:
                    node = next(iter(induct(plan.problem, [(state, survival)], drafted)[0].values()))
                    assert node.go == (survival > bound), (drafted, latent, survival, bound)


@pytest.mark.claim("stopping/renewal-threshold", "exact")
@given(process=observables(), costs=PRICES)
@settings(max_examples=60)
def test_independent_acceptances_have_the_closed_form(process: Observable, costs: Costs) -> None:
    if not process.mean:
        return
    best = solve(process, costs, horizon=6)
    closed = renewal_threshold(process.mean, costs, best.speedup)
    for drafted in range(6):
        assert 1 - best.policy.boundary(drafted, "text") == closed
    assert evaluate(Survival(closed), process, costs, horizon=6).rate == best.rate


@pytest.mark.claim("stopping/sufficient-condition", "exact")
@given(process=PROCESSES, costs=PRICES)
@settings(max_examples=60)
def test_where_the_theorem_says_stop_stopping_is_best(process, costs: Costs) -> None:
    for lag in (0, 1):
        best = solve(process, costs, horizon=4, lag=lag)
        found = sufficient_condition(best)
        if not found.ahead:  # nothing is ever kept: the paper's fraction has no denominator
            assert found.threshold == 0
            continue
        one, two = float(costs.token), float(costs.target - costs.token)
        written = (two + found.delta) / (one + two + found.delta)  # as in the paper
        assert found.threshold == pytest.approx(max(written, 0), abs=1e-9)
        for drafted in range(5):
            for latent in best.policy.process.states:
                assert float(best.policy.boundary(drafted, latent)) >= 1 - found.threshold - 1e-9


def test_the_condition_is_not_necessary() -> None:
    """Constant acceptance 4/5, draft 1/5: stopping is best from P(rejected) = 0.53 on; the condition says 0.91."""
    best = solve(Constant(F(4, 5)), COSTS)
    assert 1 - best.policy.boundary(0, "text") == 1 - F(1, 5) * best.rate / F(4, 5) == F(2399, 4500)
    assert sufficient_condition(best).threshold > F(9, 10)


def test_one_step_look_ahead_is_not_optimal() -> None:
    """A branch token that is right three times in twenty, then 40 certain tokens: only who looks further drafts it."""
    best = solve(FORK, COSTS)
    tokens, cost = 1 + F(3, 20) * 41, 1 + (1 + F(3, 20) * 40) / 5
    assert best.rate == tokens / cost == F(143, 48)
    for rate in (1, F(11, 10), best.rate):  # 3/20 is below the price of a token, 1/5 and more, at every rate there is
        look = LookAhead.of(FORK, COSTS, rate)
        assert not look.decide(View(0, latent="branch"))
        assert evaluate(look, FORK, COSTS).rate == 1
    assert best_look_ahead(FORK, COSTS).found.rate == 1


def test_look_ahead_is_optimal_with_independent_acceptances() -> None:
    process = Observable((F(1, 5), F(3, 5), F(1)), (F(3, 20), F(3, 20), F(7, 10)))
    best = solve(process, COSTS, horizon=20)
    look = LookAhead.of(process, COSTS, best.rate)
    assert evaluate(look, process, COSTS, horizon=20).rate == best.rate


@pytest.mark.parametrize("process", [RENEWAL, MARKOV], ids=["renewal", "going on"])
def test_no_survival_threshold_is_optimal_with_latent_states(process) -> None:
    """All thresholds that differ are tried: between two neighbouring survivals of a round they decide alike."""
    horizon = 10
    easy, hard = process.acceptances
    survivals = {easy**i * hard**j for i in range(horizon + 1) for j in range(horizon + 1 - i)}
    rates = {evaluate(Survival(1 - s), process, COSTS, horizon=horizon).rate for s in survivals if s > F(1, 20)}
    rates.add(evaluate(Survival(1), process, COSTS, horizon=horizon).rate)
    best = solve(process, COSTS, horizon=horizon).rate
    assert max(rates) < best
    assert float(max(rates) / best) > 0.95  # the price of not looking at the state is small here


def test_the_theorem_with_the_constant_of_one_step_is_false() -> None:
    """delta = a / rate - target cost, right for independent acceptances, says stop at a branch that must be drafted."""
    best = solve(FORK, COSTS)
    delta = FORK.right / best.rate - COSTS.target
    one, two = COSTS.draft, COSTS.target - COSTS.draft
    assert (two + delta) / (one + two + delta) <= 0  # stop at once, whatever the survival
    assert best.policy.decide(View(0, F(1), latent="branch"))
    assert sufficient_condition(best).threshold > 0


def test_delta_is_negative_where_the_speedup_is_large() -> None:
    process = Observable((F(1, 5), F(3, 5), F(1)), (F(3, 20), F(3, 20), F(7, 10)))
    best = solve(process, COSTS, horizon=40)
    assert best.speedup > process.mean
    delta = process.mean / best.rate - COSTS.target  # the constant with which the threshold is exact
    assert delta < 0
    one, two = COSTS.draft, COSTS.target - COSTS.draft
    assert (two + delta) / (one + two + delta) == renewal_threshold(process.mean, COSTS, best.speedup)
