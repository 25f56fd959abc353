"""The solver against all deterministic policies of tiny rounds, against closed forms, and without a horizon."""

from __future__ import annotations

from fractions import Fraction as F

import pytest
from hypothesis import given, reject, settings

from proofs_tests.stopping.instances import COSTS, MARKOV, PRICES, PROCESSES, RENEWAL, TABLES, TINY
from proofs_tests.stopping.judges import best_rate
from specmath.exact import BudgetError
from specmath.stopping import (
    Constant,
    Costs,
    Markov,
    Observable,
    RandomEffect,
    Rounded,
    best_fixed,
    best_look_ahead,
    best_survival,
    evaluate,
    solve,
)


@pytest.mark.claim("stopping/optimal", "exact")
@pytest.mark.parametrize("lag", [0, 1, 2])
@pytest.mark.parametrize("name", TINY)
def test_no_policy_of_a_tiny_round_is_better(name: str, lag: int) -> None:
    horizon = 2 if name == "markov" and not lag else 3
    best = solve(TINY[name], COSTS, horizon=horizon, lag=lag)
    assert isinstance(best.rate, F)
    assert best.rate == best_rate(TINY[name], COSTS, horizon, lag)
    assert best.gap == best.truncation == 0


@pytest.mark.claim("stopping/optimal", "exact")
@given(process=PROCESSES, costs=PRICES)
@settings(max_examples=60)
def test_no_policy_of_a_random_tiny_round_is_better(process, costs: Costs) -> None:
    for lag in (0, 1):
        horizon = 2 if lag == 0 else 3
        best = solve(process, costs, horizon=horizon, lag=lag)
        assert best.rate == best_rate(process, costs, horizon, lag)
        assert evaluate(best.policy, process, costs, horizon=horizon, lag=lag).rate == best.rate


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("process", [*TINY.values(), TABLES], ids=[*TINY, "tables"])
def test_the_policy_attains_the_rate(process, lag: int) -> None:
    best = solve(process, COSTS, horizon=6, lag=lag)
    found = evaluate(best.policy, process, COSTS, horizon=6, lag=lag)
    assert found.rate == best.rate
    assert found.speedup == best.speedup == best.rate * COSTS.target


@pytest.mark.parametrize(("acceptance", "cost"), [(F(4, 5), F(1, 5)), (F(9, 10), F(1, 10)), (F(1, 2), F(1, 20))])
def test_a_constant_acceptance_has_a_best_fixed_length(acceptance: F, cost: F) -> None:
    costs = Costs(cost)
    best, fixed = solve(Constant(acceptance), costs), best_fixed(Constant(acceptance), costs, horizon=30)
    assert best.rate == fixed.found.rate
    assert best.truncation == 0
    length = fixed.policy.draft_length
    assert fixed.found.rate == (1 - acceptance ** (length + 1)) / (1 - acceptance) / (1 + length * cost)


@pytest.mark.parametrize(
    ("acceptances", "stay", "best", "fixed"),
    [  # renewal from the stationary law, draft 0.2, target 1
        ((0.98, 0.5), (0.9, 0.7), 2.909098, 2.288330),
        ((0.98, 0.3), (0.93, 0.6), 3.127366, 2.439606),
        ((0.95, 0.6), (0.85, 0.8), 2.254334, 1.938148),
    ],
)
def test_two_states_that_are_seen(acceptances, stay, best: float, fixed: float) -> None:
    out = 1 - stay[0], 1 - stay[1]
    process = Markov(
        acceptances,
        ((stay[0], out[0]), (out[1], stay[1])),
        (out[1] / sum(out), out[0] / sum(out)),
        renewal=True,
    )
    found = solve(process, Costs(0.2))
    assert found.speedup == pytest.approx(best, abs=1e-6)
    assert best_fixed(process, Costs(0.2), horizon=12).found.speedup == pytest.approx(fixed, abs=1e-6)


def test_where_the_next_round_begins_matters() -> None:
    """The numbers of docs/theory/stopping.md: the same two states, anew from the stationary law or going on."""
    rows, costs = ((0.9, 0.1), (0.3, 0.7)), Costs(0.2)
    anew, on = (Markov((0.98, 0.5), rows, (0.75, 0.25), renewal=renewal) for renewal in (True, False))
    found = [solve(process, costs) for process in (anew, on)]
    assert [one.speedup for one in found] == pytest.approx([2.909098, 2.455804], abs=1e-6)
    bounds = [[one.policy.boundary(0, state) for state in (0, 1)] for one in found]
    assert bounds == [pytest.approx([0.5937, 1], abs=1e-4), pytest.approx([0.6405, 0.5890], abs=1e-4)]
    levels = (0.36, 0.39)
    best = [best_survival(process, costs, thresholds=levels).found.speedup for process in (anew, on)]
    assert best == pytest.approx([2.860119, 2.455732], abs=1e-6)
    look = [best_look_ahead(process, costs).found.speedup for process in (anew, on)]
    assert look == pytest.approx([2.909098, 2.399118], abs=1e-6)


def test_a_lag_costs_speed() -> None:
    """Lag 1: draft until the first token that is not certain is seen; N tokens up to it, and one behind it."""
    process = Observable((F(1, 5), F(3, 5), F(1)), (F(3, 20), F(3, 20), F(7, 10)))
    found = [solve(process, COSTS, horizon=60, lag=lag).rate for lag in (0, 1, 2)]
    assert found == sorted(found, reverse=True)
    n, uncertain = F(10, 3), F(2, 5)  # mean of N; acceptance of the token that is not certain
    tokens = 1 + (n - 1) + uncertain + uncertain * F(82, 100)
    assert float(found[1]) == pytest.approx(float(tokens / (1 + (n + 1) / 5)), abs=1e-9)


def test_without_a_horizon_the_error_is_stated() -> None:
    """A survival that may stay at 1: the horizon matters, and the stated error covers what a longer one brings."""
    process, costs = Observable((0.2, 0.6, 1.0), (0.15, 0.15, 0.7)), Costs(0.2)
    long = solve(process, costs, horizon=400).rate
    short = solve(process, costs, tolerance=1e-3)
    assert short.horizon < 60
    assert 0 < long - short.rate <= short.truncation + short.gap + 1e-12
    assert short.truncation < 2e-3


@given(process=PROCESSES, costs=PRICES)
@settings(max_examples=30)
def test_the_stated_error_covers_what_a_longer_horizon_brings(process, costs: Costs) -> None:
    for lag in (0, 1):
        try:
            short = solve(process, costs, tolerance=0.05, lag=lag)
        except ValueError:
            reject()  # tokens that are kept for ever
        long = solve(process, costs, horizon=short.horizon + 8, lag=lag).rate
        assert short.rate <= long
        assert float(long - short.rate) <= short.truncation + 1e-12
        if not short.truncation:
            assert short.rate == long


def test_nothing_beyond_the_horizon_matters_where_every_survival_falls() -> None:
    found = solve(RENEWAL, COSTS)
    assert found.truncation == 0
    assert found.rate == solve(RENEWAL, COSTS, horizon=40).rate == solve(RENEWAL, COSTS, horizon=60).rate


@given(process=PROCESSES, costs=PRICES)
@settings(max_examples=40)
def test_rounded_processes_are_a_bracket(process, costs: Costs) -> None:
    if any(token.rejected for _, state in process.start() for token in process.tokens(state)):
        return  # texts that go on have no such bounds
    for lag in (0, 1):
        true = float(solve(process, costs, horizon=4, lag=lag).rate)
        for ratio in (0.5, 0.9):
            low, high = (solve(Rounded(process, ratio, up=up), costs, horizon=4, lag=lag).rate for up in (False, True))
            assert float(low) - 1e-9 <= true <= float(high) + 1e-9


def test_a_process_with_many_survivals_is_solved_by_its_bracket() -> None:
    """Ten acceptances without common powers have too many products; powers of 0.99 have at most some hundred."""
    process = Observable(tuple(1 - (2 * n + 1) ** 2 / 800 for n in range(10)), (0.1,) * 10)
    costs = Costs(0.1)
    with pytest.raises(BudgetError, match="hand in a shorter horizon, or `Rounded`, which has fewer survivals"):
        solve(process, costs, budget=20_000)
    low, high = (solve(Rounded(process, 0.99, up=up), costs, budget=20_000, horizon=20).rate for up in (False, True))
    assert 1 < low < high < 1.08 * low


def test_drafting_never_pays_if_a_draft_costs_more_than_a_pass() -> None:
    for process in (Constant(F(99, 100)), MARKOV):
        assert solve(process, Costs(F(11, 10)), horizon=12).speedup == 1


def test_texts_of_several_kinds_are_averaged_by_time() -> None:
    process = RandomEffect((F(1, 2), F(9, 10)), (F(1, 4), F(3, 4)))
    each = [solve(Constant(a), COSTS).rate for a in process.acceptances]
    assert solve(process, COSTS).rate == 1 / (F(1, 4) / each[0] + F(3, 4) / each[1])


def test_time_is_drafts_discards_and_calls() -> None:
    """SpecDec++'s costs: time per token = c1 + c1 discarded + c2 passes with c1 = draft and c2 = target - draft."""
    for process in TINY.values():
        found = evaluate(solve(process, COSTS, horizon=5).policy, process, COSTS, horizon=5)
        one, two = COSTS.draft, COSTS.target - COSTS.draft
        assert 1 / found.rate == one + one * found.discarded + two * found.verification
