"""The interval over texts and the martingale test: what they promise, and that they can fail."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from reference.demo.evidence import BETS, FALSE_ALARM, bernoulli_cumulants, judged, ratio


def test_ratio_of_equal_weights_is_the_student_interval() -> None:
    from specmath.comparison import interval

    values = np.array([1.0, 2.0, 4.0, 5.0])
    low, mean, high = interval(values)
    found = ratio(values, np.ones(4))
    assert (found.low, found.value, found.high) == pytest.approx((low, mean, high))


def test_ratio_is_clipped_and_needs_two_texts() -> None:
    assert ratio([1], [2]).low is None
    assert ratio([0, 1], [1, 1], most=1.0).high == 1.0
    assert ratio([0, 1], [1, 1], most=1.0).low == 0.0


def law_of(chances: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Every outcome of independent flips with its probability."""
    found = []
    for flips in itertools.product((0.0, 1.0), repeat=len(chances)):
        x = np.array(flips)
        found.append((float(np.prod(np.where(x > 0, chances, 1 - chances))), x))
    return found


@pytest.mark.parametrize("chances", [[0.5] * 8, [0.1, 0.9, 0.3, 0.0, 1.0, 0.7, 0.5, 0.01]])
def test_martingale_has_mean_one(chances: list[float]) -> None:
    """E[M] = 1 exactly is what the false-alarm rate rests on; computed over all outcomes."""
    chance = np.array(chances)
    cumulants = bernoulli_cumulants(chance)
    mean = sum(
        weight * np.mean(np.exp(BETS * (x - chance).sum() - cumulants.sum(axis=0))) for weight, x in law_of(chance)
    )
    assert mean == pytest.approx(1.0, abs=1e-12)


def test_p_bound_never_undercuts_the_level() -> None:
    """P(p_bound <= a) <= a for every a, over all outcomes of ten flips."""
    chance = np.full(10, 0.3)
    cumulants = bernoulli_cumulants(chance)
    seen = [(judged(x, chance, chance * 0.7, cumulants).p_bound, weight) for weight, x in law_of(chance)]
    for level in {bound for bound, _ in seen}:
        assert sum(weight for bound, weight in seen if bound <= level) <= level + 1e-12


def test_power() -> None:
    """With 2000 tests of chance 0.8, a rate of 0.74 (6.7 deviations) fails, 0.79 passes."""
    chance = np.full(2000, 0.8)

    def share(rate: float) -> bool:
        values = (np.arange(2000) < rate * 2000).astype(float)
        return judged(values, chance, chance * 0.2, bernoulli_cumulants(chance)).passed

    assert share(0.79)
    assert not share(0.74)


def test_impossible_outcome_fails_at_once() -> None:
    zero = np.zeros(1)
    found = judged(np.array([np.inf]), zero, zero, np.zeros((1, len(BETS))))
    assert not found.passed
    assert found.p_bound == 0.0


def test_false_alarm_is_stated() -> None:
    assert math.isclose(FALSE_ALARM, 1e-6)
