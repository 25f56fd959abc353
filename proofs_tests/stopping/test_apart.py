"""Processes in which the policy decides what becomes of a text; what bounds and intervals say is checked by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction as F
from itertools import pairwise, product

import pytest

from proofs_tests.stopping.instances import COSTS, MARKOV
from specmath.stopping import (
    Bandit,
    Confidence,
    Constant,
    Costs,
    Fixed,
    Hindsight,
    LookAhead,
    Markov,
    Observable,
    RandomEffect,
    Token,
    View,
    estimate,
    evaluate,
    solve,
)
from specmath.stopping.chain import solved
from specmath.stopping.compiled import FRESH, Compiled, compiled, future


@dataclass(frozen=True)
class Trap:
    """One token is kept for certain; a second one never is, and its correction leads where nothing is kept again.

    Who stops after one begins anew behind the bonus token. ``back`` is the probability that a text comes out again.
    """

    back: F = F(0)

    def start(self) -> tuple:
        return ((1, "good"),)

    def tokens(self, state: object) -> tuple[Token, ...]:
        if state == "good":
            return (Token(1, 1, "after"),)
        return (Token(1, 0, "bad", self._bad()),)

    def bonus(self, state: object) -> tuple:
        return ((1, "good"),) if state == "after" else self._bad() if state == "bad" else ((1, state),)

    def _bad(self) -> tuple:
        return ((1 - self.back, "bad"), (self.back, "good")) if self.back else ((1, "bad"),)


def test_a_text_that_may_be_kept_or_let_go_is_refused() -> None:
    assert evaluate(Fixed(1), Trap(), COSTS, horizon=3).rate == F(5, 3)
    with pytest.raises(ValueError, match="up to the policy whether texts ever leave 'good', which the solver cannot"):
        solve(Trap(), COSTS, horizon=3)


def test_without_the_check_the_answer_would_be_that_of_the_trap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: only round starts that no policy leaves are solved."""
    monkeypatch.setattr(Compiled, "avoiding", lambda *_: set())
    assert solve(Trap(), COSTS, horizon=3).rate == 1


def test_nearly_singular_chains_are_refused() -> None:
    """0.1 + 0.2 is not 0.3 in floats: without the check the answer would be of the size of 1e16."""
    with pytest.raises(ValueError, match="its rounds fall into several parts"):
        solved([[0.1 + 0.2, 0.3], [0.3, 0.1 + 0.2]], [1.0, 2.0])
    assert solved([[0.5, 0.25], [0.25, 0.5]], [1.0, 1.0]) == pytest.approx([4 / 3, 4 / 3])


def test_where_texts_come_back_the_solver_avoids_the_trap() -> None:
    best = solve(Trap(F(1, 10)), COSTS, horizon=3)
    assert best.rate == F(5, 3) == evaluate(best.policy, Trap(F(1, 10)), COSTS, horizon=3).rate


@pytest.mark.parametrize(
    "process", [Markov((0.9, 0.5), ((1, 0), (0, 1)), (0.5, 0.5)), MARKOV, RandomEffect((0.5,), (1,))]
)
def test_texts_that_no_policy_can_hold_are_solved(process) -> None:
    assert solve(process, COSTS, horizon=3).rate >= 1


def test_hindsight_is_no_bound_where_a_bonus_token_leads_elsewhere_than_the_same_token_kept() -> None:
    """Hindsight runs into every first rejection. In a text that costs nothing; in this process it is the trap."""
    process = Trap(F(1, 10))
    assert evaluate(Hindsight(), process, COSTS, horizon=3).rate < solve(process, COSTS, horizon=3).rate


@dataclass(frozen=True)
class Ends:
    """A token behind which drafting ends by itself half the time, and goes on for one token more else."""

    def start(self) -> tuple:
        return ((1, "first"),)

    def tokens(self, state: object) -> tuple[Token, ...]:
        if state == "first":
            return (Token(F(1, 2), 1, "end"), Token(F(1, 2), 1, "more"))
        return (Token(1, F(9, 10), "end"),) if state == "more" else ()

    def bonus(self, state: object) -> None:
        return None


def test_a_lag_where_drafting_ends_by_itself_is_refused() -> None:
    """The solver would price tokens that are never drafted: 5/4 where drafting two has 49/38."""
    costs = Costs(F(3, 5))
    assert evaluate(Fixed(2), Ends(), costs, horizon=3, lag=1).rate == F(49, 38) == solve(Ends(), costs, horizon=3).rate
    with pytest.raises(ValueError, match="lag is 1; allowed is 0 for a process in which drafting ends by itself"):
        solve(Ends(), costs, horizon=3, lag=1)


def test_look_ahead_sees_through_the_lag() -> None:
    """With one token unseen the next is kept with probability 1/4, not 1/2."""
    policy = LookAhead.of(Constant(F(1, 2)), Costs(F(3, 10)), F(1), lag=1)
    assert [policy.decide(View(2, 1, unseen, "text")) for unseen in (0, 1)] == [True, False]


@pytest.mark.parametrize("lag", [0, 1])
def test_what_is_cut_off_is_bounded_over_all_paths(lag: int) -> None:
    process, costs = Markov((0.9, 0.3), ((0.7, 0.3), (0.4, 0.6)), (0.75, 0.25)), Costs(0.01)
    found = solve(process, costs, tolerance=0.04, lag=lag)
    problem = found.policy.plans[0].problem
    length, numbered = found.horizon - lag, problem.process
    worth = []
    for key in compiled(process).graph():
        total = 0.0
        for path in product(range(2), repeat=length + 1):  # states before each token, and behind the last
            first = {state: weight for weight, state in numbered.roots(key)}.get(path[0], 0)
            rows = [process.transition[numbered.states[a]][numbered.states[b]] for a, b in pairwise(path)]
            kept = [process.acceptances[numbered.states[a]] for a in path[:-1]]
            total += first * math.prod(rows) * math.prod(kept) * problem.ahead[0][path[-1]]
        worth.append(total)
    assert FRESH in numbered.graph()
    assert found.truncation == pytest.approx(max(worth[1:]), rel=1e-9)  # FRESH is passed once, it does not count
    assert min(worth[1:]) < 0.9 * max(worth[1:])
    longer = solve(process, costs, lag=lag, horizon=found.horizon + 8).rate
    assert found.rate < longer <= found.rate + found.gap + found.truncation


def test_slow_decay_is_bounded_and_not_cut_off() -> None:
    """a + a^2 + ... = a / (1 - a), although the sum is followed for some thousands of tokens only."""
    assert 9999 <= future(compiled(Constant(0.9999)), None)[0] < 10_001


def test_points_that_a_policy_tells_apart_stay_apart() -> None:
    """Equal survivals, confidences that differ: one half of the rounds goes on."""
    process = Observable((F(3, 5), F(3, 5)), (F(1, 2), F(1, 2)), confidences=(0.9, 0.1))
    found = evaluate(Confidence(0.5), process, COSTS, horizon=2)
    assert found.rate == (1 + F(3, 5) + F(1, 2) * F(9, 25)) / (1 + F(3, 2) * F(1, 5))


def test_the_interval_is_as_wide_as_theory_says() -> None:
    """Wald: the variance of tokens - rate x cost over a text is its variance in a round times the rounds of a text.

    The standard deviation of 1,000 texts is known to 2.3 %; it is allowed to be 15 % off (false alarms below 1e-9). An
    interval half as wide is found for certain.
    """
    texts, alpha, length = 1_000, 0.8, 3
    found = estimate(Fixed(length), Constant(alpha), Costs(0.1), texts=texts, tokens=60)
    law = [alpha**k * (1 - alpha) for k in range(length)] + [alpha**length]
    mean = sum((k + 1) * p for k, p in enumerate(law))
    deviation = math.sqrt(sum((k + 1 - mean) ** 2 * p for k, p in enumerate(law)))
    rounds, cost = 60 / mean, 1 + length * 0.1
    assert found.interval is not None
    half = (found.interval[1] - found.interval[0]) / 2
    assert half == pytest.approx(1.962 * deviation / math.sqrt(texts * rounds) / cost, rel=0.15)


def test_the_bandit_weighs_what_it_knows_little_of() -> None:
    """Two rounds each, four tokens each: 1.82 against 1.43 a unit of cost, and bounds that reach to 2.35 and 2.48."""
    costs, width = Costs(0.1), 0.25
    bounds = [2 / (1 + k / 10) + width * (k + 1) / (1 + k / 10) * math.sqrt(2 * math.log(4) / 2) for k in (1, 4)]
    assert bounds[1] > bounds[0]
    assert Bandit((1, 4), costs, width, rounds=[2, 2], tokens=[4, 4]).draft_length == 4
    assert Bandit((1, 4), costs, width / 2, rounds=[2, 2], tokens=[4, 4]).draft_length == 1
