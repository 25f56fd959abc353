"""The judges themselves: the explorer, sampled chance, laws of functions of uniforms; each with what it refuses."""

from __future__ import annotations

from fractions import Fraction
from itertools import cycle

import numpy as np
import pytest
from scipy.stats import binom

from specmath import exact, rules
from specmath.exact import Chance, Law

HALF = Fraction(1, 2)
FALSE_ALARM = 1e-6


def two_draws(chance: Chance) -> tuple[int, bool]:
    return chance.draw([1, 0, 3]), chance.flip(Fraction(1, 3))


def test_every_positive_path_once_and_no_other() -> None:
    law = exact.law(two_draws)
    assert law.paths == 4
    assert dict(law) == {
        (0, True): Fraction(1, 12),
        (0, False): Fraction(1, 6),
        (2, True): Fraction(1, 4),
        (2, False): HALF,
    }


def test_zero_probability_branches_are_never_run() -> None:
    def program(chance: Chance) -> int:
        if chance.flip(0) or not chance.flip(1):
            raise AssertionError("a branch of probability zero was explored")
        return chance.draw([0, 1, 0])

    assert dict(exact.law(program)) == {1: 1}


def test_float_programs_have_float_laws() -> None:
    law = exact.law(lambda chance: chance.draw([0.1, 0.2, 0.7]))
    assert [type(p) for p in law.values()] == [float] * 3
    assert sum(law.values()) == pytest.approx(1, abs=1e-15)


def test_the_budget_is_a_bound_and_not_a_truncation() -> None:
    assert exact.law(two_draws, budget=4).paths == 4
    runs = []
    with pytest.raises(exact.BudgetError, match="more than budget=3 paths"):
        exact.law(lambda chance: runs.append(1) or two_draws(chance), budget=3)
    assert len(runs) == 3
    with pytest.raises(ValueError, match="budget is 0"):
        exact.law(two_draws, budget=0)


def test_a_program_that_offers_other_choices_is_refused() -> None:
    """Not a function of its choices: the second and third run are offered other probabilities than the first."""
    weights = cycle([[1, 1], [9, 1]])
    with pytest.raises(RuntimeError, match=r"offered .* and, in a replay"):
        exact.law(lambda chance: chance.draw(next(weights)))


def test_a_program_that_ends_early_is_refused() -> None:
    second = cycle([True, False])
    with pytest.raises(RuntimeError, match="a replay ended after 1 of 2 recorded choices"):
        exact.law(lambda chance: (chance.flip(HALF), next(second) and chance.flip(HALF)))


@pytest.mark.parametrize("prob", [-0.1, Fraction(3, 2), float("nan")])
@pytest.mark.parametrize("chance", [exact.Sampled(0), exact.Enumerated(exact.Explorer(1))])
def test_no_probability_outside_the_unit_interval(prob: float, chance: Chance) -> None:
    with pytest.raises(ValueError, match="allowed are numbers from 0 to 1"):
        chance.flip(prob)


@pytest.mark.parametrize("weights", [[0, 0], [], [1, -1], [float("nan"), 1], [float("inf"), 1]])
@pytest.mark.parametrize("chance", [exact.Sampled(0), exact.Enumerated(exact.Explorer(1))])
def test_no_weights_without_a_law(weights: list[float], chance: Chance) -> None:
    with pytest.raises(ValueError, match="weights"):
        chance.draw(weights)


def rejected(counts: dict[object, int], law: Law, rounds: int) -> bool:
    """Exact binomial test of every outcome, Bonferroni: false alarms below `FALSE_ALARM` whatever the law."""
    level = FALSE_ALARM / (2 * len(law))
    if set(counts) - set(law):
        return True
    tails = (
        (binom.cdf(counts.get(o, 0), rounds, float(p)), binom.sf(counts.get(o, 0) - 1, rounds, float(p)))
        for o, p in law.items()
    )
    return any(min(pair) < level for pair in tails)


def test_sampling_follows_the_enumerated_law_and_a_wrong_law_is_seen() -> None:
    """20,000 rounds; the control's law is off by TV 1/24, 17 standard deviations of its cell, power above 1 - 1e-9."""
    outcomes = exact.sample(two_draws, 20_000, seed=0)
    counts = {outcome: outcomes.count(outcome) for outcome in set(outcomes)}
    assert not rejected(counts, exact.law(two_draws), len(outcomes))
    wrong = exact.law(lambda chance: (chance.draw([1, 0, 3]), chance.flip(Fraction(3, 8))))
    assert rejected(counts, wrong, len(outcomes))
    assert exact.sample(two_draws, 5, seed=1) == exact.sample(two_draws, 5, seed=1)


def test_law_operations() -> None:
    law = exact.law(two_draws)
    assert law.map(lambda outcome: outcome[0]) == {0: Fraction(1, 4), 2: Fraction(3, 4)}
    assert law.mean(lambda outcome: outcome[0]) == Fraction(3, 2)
    assert law.total_variation(law) == 0
    assert Law({1: HALF, 2: HALF}).total_variation(Law({2: 1})) == HALF


def band(low: float, high: float) -> exact.Law:
    return exact.law_of_uniforms(lambda u: [int(low < x < high) for x in u[:, 0]], 1)


def test_bands_of_uniforms() -> None:
    assert band(0.25, 0.5)[1] == pytest.approx(0.25, abs=1e-12)


def test_a_band_the_search_does_not_see_is_an_error() -> None:
    """0.5005 to 0.5070 lies between two grid points; a random point falls into it with probability 1 - 2e-6."""
    with pytest.raises(exact.UnresolvedError, match="not constant on boxes, or has breakpoints closer than 1/128"):
        band(0.5005, 0.5070)


def test_uniforms_that_are_tied_are_an_error() -> None:
    """u0 < u1 is not constant on boxes; no law is made up for it."""
    with pytest.raises(exact.UnresolvedError):
        exact.law_of_uniforms(lambda u: (u[:, 0] < u[:, 1]).tolist(), 2)


def test_dependent_thresholds_are_followed() -> None:
    """The second threshold depends on the first uniform's side: 0.3 * 0.9 + 0.7 * 0.2 = 0.41."""
    law = exact.law_of_uniforms(lambda u: (u[:, 1] < np.where(u[:, 0] < 0.3, 0.9, 0.2)).tolist(), 2)
    assert law[True] == pytest.approx(0.41, abs=1e-12)
    assert law.paths == 4


@pytest.mark.parametrize("count", [0, 17])
def test_counts_of_uniforms(count: int) -> None:
    with pytest.raises(ValueError, match=f"count is {count}"):
        exact.law_of_uniforms(lambda u: [0] * len(u), count)


def test_rules_name_their_coins() -> None:
    for name in rules.names():
        rule = rules.get(name)
        coins = rule.coins(2)
        assert coins[-1] == "final"
        assert len(coins) == len(set(coins)) == rule.uniforms(2)
