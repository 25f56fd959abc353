"""One process and one cost object serve `specmath.stopping` and `specmath.speed`."""

from __future__ import annotations

from typing import Any

import pytest

from specmath import speed
from specmath.stopping import (
    Constant,
    Costs,
    Fixed,
    Markov,
    Observable,
    Position,
    RandomEffect,
    Replay,
    TwoRegime,
    best_fixed,
    evaluate,
)

EASY_AND_HARD = Markov((0.98, 0.5), ((0.9, 0.1), (0.3, 0.7)), (0.75, 0.25))
RENEWAL = Markov((0.98, 0.5), ((0.9, 0.1), (0.3, 0.7)), (0.75, 0.25), renewal=True)
COSTS = Costs(0.2, slot=0.01)
ALIKE = {
    "constant": (Constant(0.8), speed.survival.iid(0.8, 9)),
    "observable": (Observable((0.2, 0.6, 1.0), (0.15, 0.15, 0.7)), speed.survival.iid(0.82, 9)),
    "position": (Position((0.9, 0.5), tail=0.8), speed.survival.by_position([0.9, 0.5, *[0.8] * 7])),
    "markov": (RENEWAL, speed.survival.markov((0.98, 0.5), ((0.9, 0.1), (0.3, 0.7)), (0.75, 0.25), 9)),
    "regimes": (TwoRegime(0.25, 0.9, 0.1), speed.survival.mixture([0.9, 0.1], [0.25, 0.75], 9)),
    "replay": (Replay([[0.5, 1.0], [0.5]]), speed.survival.by_position([0.5, 0.5, *[0.0] * 7])),
}


@pytest.mark.parametrize("name", ALIKE)
def test_curve_plan_and_exact_evaluation_agree(name: str) -> None:
    process, curve = ALIKE[name]
    assert speed.survival.of(process, 9) == pytest.approx(curve)
    plan = speed.plan_chain(speed.survival.of(process, 9), draft_step=COSTS.draft, verify=COSTS.verify)
    if name != "replay":  # there a round ends where its record does, and costs less
        exact = [evaluate(Fixed(length), process, COSTS).speedup for length in range(10)]
        assert plan.speedups == pytest.approx(exact)
        assert best_fixed(process, COSTS, horizon=9).policy == Fixed(plan.draft_length)


@pytest.mark.parametrize("process", [EASY_AND_HARD, RandomEffect((0.9, 0.6), (0.5, 0.5))])
def test_texts_that_go_on_have_no_one_curve(process) -> None:
    with pytest.raises(ValueError, match="its rounds do not all begin alike, so no one survival curve serves all"):
        speed.survival.of(process, 9)


def test_what_the_curve_of_the_beginning_would_promise() -> None:
    """The planted defect: the curve of `markov` taken for a text that goes on, shares of texts taken for rounds."""
    curve = speed.survival.markov((0.98, 0.5), ((0.9, 0.1), (0.3, 0.7)), (0.75, 0.25), 20)
    wrong = speed.plan_chain(curve, draft_step=0.2)
    assert wrong.speedup > 1.13 * best_fixed(EASY_AND_HARD, Costs(0.2), horizon=20).found.speedup
    curve = speed.survival.mixture([0.9, 0.6], [0.5, 0.5], 20)
    wrong = speed.plan_chain(curve, draft_step=0.1)
    right = best_fixed(RandomEffect((0.9, 0.6), (0.5, 0.5)), Costs(0.1), horizon=20)
    assert wrong.speedup > 1.13 * right.found.speedup
    assert (wrong.draft_length, right.policy) == (7, Fixed(4))


def test_costs_of_a_measured_pass() -> None:
    costs = Costs.of(0.8, speed.Line(12.0, 0.25))
    assert (costs.draft, costs.target, costs.slot) == (0.8, 12.25, 0.25)
    for length in range(6):
        assert costs.round(length) == pytest.approx(0.8 * length + costs.verify(length + 1))


def any_(value: Any) -> Any:
    """The value, whatever its type: for arguments of a wrong one."""
    return value


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: speed.plan_chain(any_("abc"), draft_step=0.1), "survival is 'abc'; allowed are numbers"),
        (lambda: speed.plan_chain([0.5], draft_step=0.1, verify=any_(5)), "verify is 5; allowed is a function"),
        (lambda: speed.best_cascade([1.0], [0, 1]), "best draft length .* allowed is a bound, longest="),
        (lambda: speed.Curve(any_(("a", 2)), (1.0, 2.0)), r"tokens\[0\] is 'a'; allowed are whole numbers"),
        (lambda: speed.Setting(1, 1, 1, 1, 10, requests=0), "requests is 0; allowed are whole numbers >= 1"),
        (lambda: speed.Setting(1, 1, 1, 1, any_(10.5)), "vocabulary is 10.5; allowed are whole numbers"),
    ],
)
def test_bad_input(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_equal_drafts_are_shared_evenly() -> None:
    rows = [[0.9, 0.9], [0.5, 0.5], [0.5, 0.5]]
    found = speed.allocate(rows, verify=lambda tokens: 1.0, draft=lambda length: 0.0, most=4)
    assert found.draft_lengths == (2, 1, 1)


def test_quartiles_of_a_measurement() -> None:
    found = speed.from_samples([1], [[1.0, 2.0, 3.0, 4.0, 5.0]])
    assert (found.low[0], found.seconds[0], found.high[0], found.spread) == (2.0, 3.0, 4.0, pytest.approx(2 / 3))
