"""Leviathan's model, its best length in closed form, and survival curves: exact laws, scans, loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.planning import loops
from specmath import exact, speed
from specmath.speed import survival

GRID = [(a / 20, c) for a in range(20) for c in (0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.9, 1.0, 2.0)]


def emitted(conditional: list[Fraction]) -> Callable[[exact.Chance], int]:
    """A round: drafts are tested in order, then one token more."""

    def play(chance: exact.Chance) -> int:
        for place, probability in enumerate(conditional):
            if not chance.flip(probability):
                return place + 1
        return len(conditional) + 1

    return play


def mean(play: Callable[[exact.Chance], int]) -> Fraction:
    return sum((tokens * Fraction(p) for tokens, p in exact.law(play).items()), Fraction(0))


@pytest.mark.parametrize("a", [Fraction(0), Fraction(1, 3), Fraction(7, 8), Fraction(1)])
@pytest.mark.parametrize("length", [0, 1, 2, 7])
def test_expected_tokens_is_the_mean_of_the_round(a: Fraction, length: int) -> None:
    assert speed.expected_tokens(float(a), length) == pytest.approx(float(mean(emitted([a] * length))), abs=1e-12)


def test_expected_tokens_near_one() -> None:
    """No cancellation: against fractions where a is one minus some roundings."""
    for a in (1 - 2**-52, 1 - 2**-40, 2**-60, 0.999999):
        judge = sum(Fraction(a) ** k for k in range(31))
        assert speed.expected_tokens(a, 30) == pytest.approx(float(judge), rel=1e-14)


def test_operations() -> None:
    """Drafts and verified positions of a round over its tokens."""
    a, length, c = Fraction(4, 5), 5, Fraction(1, 50)
    judge = (length * c + length + 1) / mean(emitted([a] * length))
    assert speed.operations(float(a), length, float(c)) == pytest.approx(float(judge))


def scan(a: float, c: float) -> int:
    return int(np.argmax([speed.speedup(a, length, c) for length in range(200)]))


@pytest.mark.claim("speed/draft-length", "exact")
@pytest.mark.parametrize(("a", "c"), GRID)
def test_best_length_is_that_of_the_scan(a: float, c: float) -> None:
    """All lengths up to 200 are tried; the real optimum lies within one of the best whole length."""
    plan, best = speed.best_draft_length(a, c), scan(a, c)
    assert plan.speedup == pytest.approx(speed.speedup(a, best, c), rel=1e-14)
    assert abs(speed.limit_length(a, c) - plan.draft_length) < 1
    assert (plan.draft_length > 0) == (a > c)
    assert plan.seconds == pytest.approx(plan.draft_length * c + 1)


@given(st.floats(1e-3, 0.99), st.floats(1e-6, 2.0))
def test_no_neighbour_is_better(a: float, c: float) -> None:
    plan = speed.best_draft_length(a, c)
    for length in (plan.draft_length - 1, plan.draft_length + 1):
        assert length < 0 or speed.speedup(a, length, c) <= plan.speedup * (1 + 1e-12)


def wrong_lengths() -> dict[str, Callable[[float, float], int]]:
    """Defects: other objectives, other branches, another rounding."""

    def best(objective: Callable[[float, int, float], float]) -> Callable[[float, float], int]:
        return lambda a, c: int(np.argmax([objective(a, length, c) for length in range(200)]))

    return {
        "no bonus": best(lambda a, length, c: (speed.expected_tokens(a, length) - 1) / (length * c + 1)),
        "target step forgotten": best(lambda a, length, c: speed.expected_tokens(a, length) / (length * c + c)),
        "two target passes": best(lambda a, length, c: speed.expected_tokens(a, length) / (length * c + 2)),
        "rounded": lambda a, c: round(speed.limit_length(a, c) + 0.5),
        "mean run of acceptances": lambda a, c: round(a / (1 - a)),
    }


@pytest.mark.claim("speed/draft-length", "control")
@pytest.mark.parametrize("name", list(wrong_lengths()))
def test_wrong_lengths_are_caught(name: str) -> None:
    wrong = wrong_lengths()[name]
    assert any(speed.speedup(a, wrong(a, c), c) < speed.best_draft_length(a, c).speedup * (1 - 1e-9) for a, c in GRID)


@pytest.mark.claim("speed/draft-length", "statistical")
@pytest.mark.parametrize(("a", "c"), [(0.8, 0.05), (0.6, 0.2), (0.9, 0.02)])
def test_rounds_run_at_the_planned_speed(a: float, c: float) -> None:
    """See `loops.agrees` for error and power; a wrong formula (no bonus token) is told."""
    plan = speed.best_draft_length(a, c)
    cycle = lambda generator: loops.chain(generator, a, plan.draft_length, c)  # noqa: E731
    assert loops.agrees(cycle, plan.speedup)
    assert not loops.agrees(cycle, (plan.tokens - 1) / plan.seconds)


def test_published_table_of_lengths() -> None:
    """A table of best lengths and speed-ups for c by alpha, from the scan."""
    expected = {
        (0.5, 0.01): (5, 1.88),
        (0.9, 0.02): (19, 6.37),
        (0.8, 0.05): (8, 3.09),
        (0.95, 0.05): (21, 6.60),
        (0.7, 0.1): (4, 1.98),
        (0.95, 0.3): (8, 2.18),
    }
    for (a, c), (length, rate) in expected.items():
        plan = speed.best_draft_length(a, c)
        assert (plan.draft_length, round(plan.speedup, 2)) == (length, rate)


def test_tiny_costs_use_the_other_branch() -> None:
    """Where exp underflows the equation is solved by iteration: the derivative is zero there, too."""
    for a, c in ((0.5, 1e-4), (0.5, 1e-3), (0.01, 1e-3), (0.3, 1e-5)):
        x = speed.limit_length(a, c)
        log = math.log(a)
        rise = -(a ** (x + 1)) * log * (1 + x * c) - c * (1 - a ** (x + 1))
        assert abs(rise) < 1e-12


def test_speedup_has_one_peak() -> None:
    for a, c in GRID:
        values = [speed.speedup(a, length, c) for length in range(80)]
        top = int(np.argmax(values))
        assert all(x <= y for x, y in pairwise(values[: top + 1]))
        assert all(x >= y for x, y in pairwise(values[top:]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: speed.expected_tokens(1.1, 3), "acceptance is 1.1; allowed are numbers from 0 to 1"),
        (lambda: speed.expected_tokens(math.nan, 3), "acceptance is nan"),
        (lambda: speed.expected_tokens(0.5, -1), "draft_length is -1"),
        (lambda: speed.expected_tokens(0.5, 2.5), "draft_length is 2.5"),  # type: ignore[arg-type]
        (lambda: speed.speedup(0.5, 3, -0.1), "cost_ratio is -0.1; allowed are finite numbers >= 0"),
        (lambda: speed.best_draft_length(0.8, 0.0), r"above 10000.*the speed-up stays below 5$"),
        (lambda: speed.best_draft_length(1.0, 0.1), r"longest=.*stays below 10$"),
        (lambda: speed.best_draft_length(1.0, 0.0), "stays below inf"),
        (lambda: speed.best_draft_length(0.8, math.inf), "cost_ratio is inf"),
        (lambda: speed.plan_chain([0.5, 0.6], draft_step=0.1), "survival rises"),
        (lambda: speed.plan_chain([1.5], draft_step=0.1), "survival holds numbers outside"),
        (lambda: speed.plan_chain([[0.5]], draft_step=0.1), r"survival has shape \(1, 1\)"),
        (lambda: speed.plan_chain([0.5], draft_step=-1), "draft_step is -1"),
        (
            lambda: speed.plan_chain([0.5], draft_step=0.1, verify=lambda t: 0.0),
            r"verify\(1\) is 0.0; allowed are finite numbers > 0",
        ),
        (lambda: speed.plan_chain([0.5], draft_step=0.1, overhead=-1), "overhead is -1"),
        (lambda: survival.markov([0.5], [[0.5]], [1.0], 3), r"transition\[0\] is \[0.5\]; allowed is a law"),
        (lambda: survival.markov([0.5], [[1.0]], [0.9], 3), "beginning is"),
        (lambda: survival.markov([0.5], [[1.0, 0.0]], [1.0], 3), "transition has shape"),
        (lambda: survival.mixture([0.5, 0.6], [0.5, 0.6], 3), "probabilities is"),
        (lambda: survival.beta(0, 1, 3), "a is 0; allowed are finite numbers > 0"),
        (lambda: survival.by_position([0.5, 2]), r"conditional\[1\] is 2"),
    ],
)
def test_bad_input(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_bounded_length_where_longer_is_better() -> None:
    plan = speed.best_draft_length(0.8, 0.0, longest=30)
    assert plan.draft_length == 30
    assert plan.speedup < 5
    assert speed.best_draft_length(1.0, 0.1, longest=7).speedup == pytest.approx(8 / 1.7)
    assert speed.best_draft_length(0.0, 0.0).draft_length == 0
    assert speed.best_draft_length(0.9, 0.02, longest=3).draft_length == 3


@given(st.lists(st.integers(0, 8), min_size=1, max_size=5))
def test_positions_against_the_exact_round(eighths: list[int]) -> None:
    conditional = [Fraction(one, 8) for one in eighths]
    curve = survival.by_position([float(one) for one in conditional])
    assert speed.survival.expected_tokens(curve)[-1] == pytest.approx(float(mean(emitted(conditional))))


def test_markov_against_all_hidden_paths() -> None:
    rates, moves, start = [0.95, 0.4, 0.7], [[0.8, 0.1, 0.1], [0.3, 0.5, 0.2], [0.0, 0.5, 0.5]], [0.2, 0.5, 0.3]
    curve = survival.markov(rates, moves, start, 4)
    for k in range(1, 5):
        judge = 0.0
        for path in product(range(3), repeat=k):
            weight = start[path[0]] * math.prod(moves[a][b] for a, b in pairwise(path))
            judge += weight * math.prod(rates[z] for z in path)
        assert curve[k - 1] == pytest.approx(judge)
    one = survival.markov([0.7, 0.7], [[0.5, 0.5], [0.2, 0.8]], [0.5, 0.5], 5)
    assert one == pytest.approx(survival.iid(0.7, 5))


def test_mixtures_lie_above_their_mean() -> None:
    """E[A^k] >= E[A]^k, equal at k = 1: a length planned for the mean is too short for a mixture of requests."""
    curve, flat = survival.mixture([0.95, 0.45], [0.5, 0.5], 30), survival.iid(0.7, 30)
    assert curve[0] == pytest.approx(flat[0])
    assert np.all(curve[1:] > flat[1:])
    plan, wrong = (speed.plan_chain(one, draft_step=0.05) for one in (curve, flat))
    assert plan.draft_length > wrong.draft_length
    assert plan.speedup > plan.speedups[wrong.draft_length]


def test_beta_is_a_mixture() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(40)
    x, weights = (nodes + 1) / 2, weights / 2
    density = 12 * x**2 * (1 - x)  # Beta(3, 2)
    law = weights * density
    assert survival.beta(3, 2, 6) == pytest.approx(survival.mixture(x.tolist(), (law / law.sum()).tolist(), 6))


@given(
    st.lists(st.floats(0, 1), min_size=0, max_size=6).map(lambda one: sorted(one, reverse=True)),
    st.lists(st.floats(0.1, 5), min_size=7, max_size=7),
    st.lists(st.floats(0, 5), min_size=6, max_size=6),
    st.floats(0, 1),
)
def test_plan_chain_tries_every_length(
    curve: list[float], verify: list[float], draft: list[float], extra: float
) -> None:
    plan = speed.plan_chain(
        curve, draft_step=lambda length: draft[length - 1], verify=lambda t: verify[t - 1], overhead=extra
    )
    rates = [1.0]
    for length in range(1, len(curve) + 1):
        rates.append((1 + sum(curve[:length])) * verify[0] / (draft[length - 1] + verify[length] + extra))
    assert plan.speedups == pytest.approx(rates)
    assert plan.speedup == pytest.approx(max(rates))
