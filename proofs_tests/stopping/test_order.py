"""{fixed, threshold, look-ahead, confidence, ...} <= optimal <= hindsight, exactly."""

from __future__ import annotations

from fractions import Fraction as F

import pytest
from hypothesis import given, settings

from proofs_tests.stopping.instances import COSTS, PRICES, PROCESSES, TABLES, TINY, Branch
from specmath.stopping import (
    Confidence,
    Constant,
    Costs,
    Entropy,
    Fixed,
    Heuristic,
    Hindsight,
    Observable,
    RandomEffect,
    Survival,
    Svip,
    best_fixed,
    best_look_ahead,
    best_survival,
    evaluate,
    solve,
)

ALL = {**TINY, "tables": TABLES, "branch": Branch(F(1, 2), 3)}
HORIZON = 6
LEVELS = tuple(F(n, 10) for n in range(11))


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("name", ALL)
def test_order(name: str, lag: int) -> None:
    process, options = ALL[name], {"horizon": HORIZON, "lag": lag}
    best = solve(process, COSTS, **options).rate
    below = [
        best_fixed(process, COSTS, **options).found,
        best_survival(process, COSTS, thresholds=LEVELS, **options).found,
        best_look_ahead(process, COSTS, **options).found,
        evaluate(Heuristic(3, at_most=HORIZON), process, COSTS, **options),
    ]
    if name == "tables":
        below += [evaluate(policy, process, COSTS, **options) for policy in (Confidence(0.5), Entropy(0.55), Svip(0.3))]
    assert all(isinstance(one.rate, F) and one.rate <= best for one in below)
    assert best <= evaluate(Hindsight(), process, COSTS, **options).rate


@given(process=PROCESSES, costs=PRICES)
@settings(max_examples=30)
def test_order_at_random(process, costs: Costs) -> None:
    best = solve(process, costs, horizon=4).rate
    for policy in (*map(Fixed, range(5)), *map(Survival, LEVELS[::3])):
        assert evaluate(policy, process, costs, horizon=4).rate <= best
    assert best_look_ahead(process, costs, horizon=4).found.rate <= best
    assert best <= evaluate(Hindsight(), process, costs, horizon=4).rate


def test_knowledge_is_worth_something_and_foresight_more() -> None:
    process = Observable((F(1, 5), F(3, 5), F(1)), (F(3, 20), F(3, 20), F(7, 10)))
    options = {"horizon": 12}
    found = [
        best_fixed(process, COSTS, **options).found.rate,
        solve(process, COSTS, lag=1, **options).rate,
        solve(process, COSTS, **options).rate,
        evaluate(Hindsight(), process, COSTS, **options).rate,
    ]
    assert found == sorted(set(found))


@pytest.mark.parametrize("acceptance", [F(3, 5), F(4, 5), F(9, 10)])
def test_hindsight_in_closed_form(acceptance: F) -> None:
    """1 / ((1 - alpha) + c alpha), here with the horizon's truncation: alpha^h of the rounds go on."""
    horizon, cost = 200, F(1, 5)
    found = evaluate(Hindsight(), Constant(acceptance), Costs(cost), horizon=horizon)
    assert float(found.rate) == pytest.approx(float(1 / ((1 - acceptance) + cost * acceptance)), abs=1e-8)
    assert found.discarded == 0


def test_a_text_that_is_known_is_worth_more_than_one_that_is_not() -> None:
    process = RandomEffect((F(1, 2), F(9, 10)), (F(1, 2), F(1, 2)))
    fixed = best_fixed(process, COSTS, horizon=20).found.rate
    assert fixed < solve(process, COSTS, horizon=20).rate
