"""Bad input: each error names the argument, what is wrong and what is allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest

from proofs_tests.stopping.instances import COSTS, OBSERVABLE, Branch
from specmath.exact import BudgetError
from specmath.stopping import (
    AdaEdl,
    Bandit,
    Confidence,
    Constant,
    Costs,
    Entropy,
    Fixed,
    Heuristic,
    Hindsight,
    Markov,
    Observable,
    OnlineConfidence,
    Position,
    RandomEffect,
    Replay,
    Rounded,
    Survival,
    Svip,
    Tables,
    Token,
    TwoRegime,
    View,
    blind,
    estimate,
    evaluate,
    renewal_threshold,
    solve,
)


def any_(value: Any) -> Any:
    """The value, whatever its type: for arguments of a wrong one."""
    return value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: solve(any_(0.8), COSTS), r"process is 0.8; allowed are processes, such as Constant\(0.8\)"),
        (lambda: solve(any_(Constant), COSTS), "allowed are processes"),
        (lambda: solve(OBSERVABLE, any_(0.2)), r"costs is 0.2; allowed is Costs\(draft=...\)"),
        (lambda: evaluate(any_(4), OBSERVABLE, COSTS), r"policy is 4; allowed are policies, such as Fixed\(4\)"),
        (lambda: estimate(any_(Fixed), OBSERVABLE, COSTS), "allowed are policies, such as Fixed"),
        (lambda: solve(OBSERVABLE, COSTS, budget=0), "budget is 0; allowed are whole numbers >= 1"),
        (lambda: solve(OBSERVABLE, COSTS, tolerance=any_("x")), "tolerance is 'x'; allowed are numbers"),
        (lambda: Position(any_(0.5)), "acceptances is 0.5; allowed is a sequence"),
        (lambda: Replay(any_([0.5])), r"acceptances\[0\] is 0.5; allowed is a sequence"),
        (lambda: Markov((0.5, 0.5), any_((0.5, 0.5)), (1, 0)), r"transition\[0\] is 0.5; allowed is a seq"),
        (lambda: Bandit(any_(5), COSTS), "lengths is 5; allowed are one or more distinct"),
        (lambda: Costs.of(1.0, lambda tokens: 10.0 - tokens, 4), "slot is -1.0; allowed are finite costs"),
        (lambda: Costs.of(1.0, lambda tokens: 10.0, 1), "tokens is 1; allowed are whole numbers >= 2"),
        (lambda: Survival(0.5).decide(View(1, math.nan)), "survival is nan, which policy 'survival' cannot judge"),
        (lambda: estimate(Fixed(1), OBSERVABLE, COSTS, seed=any_("x")), "seed is 'x'; allowed are whole numbers >= 0"),
        (lambda: Constant(1.2), "acceptance is 1.2; allowed are probabilities from 0 to 1"),
        (lambda: Constant(-F(1, 2)), r"acceptance is Fraction\(-1, 2\); allowed are probabilities"),
        (lambda: Constant(math.nan), "acceptance is nan; allowed are probabilities from 0 to 1"),
        (lambda: Observable((0.5, 1.1), (0.5, 0.5)), r"acceptances\[1\] is 1.1; allowed are probabilities"),
        (lambda: Observable((0.5, 1.0), (0.5, 0.4)), "probabilities sums to 0.9; allowed is 1"),
        (lambda: Observable((0.5,), (0.5, 0.5)), "probabilities has 2 entries; allowed are 1"),
        (lambda: Observable((), ()), "acceptances is empty"),
        (lambda: Markov((0.5,), ((0.5, 0.5),), (1.0,)), "transition and beginning do not fit 1 acceptances"),
        (lambda: Markov((0.5, 0.5), ((1.0, 0.0), (0.5, 0.4)), (1.0, 0.0)), r"transition\[1\] sums to 0.9"),
        (lambda: Position(()), "acceptances is empty"),
        (lambda: Position((0.5,), tail=2), "tail is 2; allowed are probabilities from 0 to 1"),
        (lambda: RandomEffect((0.5, 0.6), (1.0,)), "probabilities has 1 entries; allowed are 2"),
        (lambda: RandomEffect.beta(0, 1), "a is 0 and b is 1; allowed are finite numbers above 0"),
        (lambda: TwoRegime(0.5, 0.2, 0.3), "miss is 0.3, above hit 0.2"),
        (lambda: Replay([]), "acceptances: an empty trace; allowed are one or more rounds"),
        (lambda: Replay([[0.5], [1.5]]), r"acceptances\[1\]\[0\] is 1.5; allowed are probabilities"),
        (lambda: Replay([[0.5]], [[0.5, 0.5]]), "confidences has other lengths than acceptances"),
        (lambda: Replay.of_trace([]), "rounds: an empty trace; allowed are one or more rounds with drafted tokens"),
        (lambda: Replay.of_trace([{"drafted": []}]), r"rounds\[0\] has no field 'parents'"),
        (lambda: Replay.of_trace([_record(parents=[-1, -1])]), r"rounds\[0\] drafted a tree; allowed are chains"),
        (
            lambda: Replay.of_trace([_record(draft=[None, 0.0])]),
            "drafted a token of draft probability zero",
        ),
        (lambda: Rounded(OBSERVABLE, 1.0), "ratio is 1.0; allowed are numbers above 0 and below 1"),
        (lambda: Tables({}, {}), r"target has no law after \(\)"),
        (lambda: Tables({(): [0.5, 0.4]}, {(): [0.5, 0.5]}), r"target\[\(\)\] sums to 0.9"),
        (lambda: Tables({(): [1.0]}, {(): [0.5, 0.5]}), r"target and draft have 1 and 2 tokens after \(\)"),
        (lambda: Costs(-0.1), "draft is -0.1; allowed are finite costs >= 0"),
        (lambda: Costs(0.1, target=0), "target is 0; allowed are costs above 0"),
        (lambda: Costs(0.1, slot=math.inf), "slot is inf; allowed are finite costs >= 0"),
        (lambda: Fixed(-1), "draft_length is -1; allowed are whole numbers >= 0"),
        (lambda: Fixed(2.5), "draft_length is 2.5; allowed are whole numbers >= 0"),
        (lambda: Survival(1.1), "threshold is 1.1; allowed are numbers from 0 to 1"),
        (lambda: Confidence(-0.1), "threshold is -0.1; allowed are numbers from 0 to 1"),
        (lambda: Entropy(-1), "threshold is -1; allowed are entropies in nats, >= 0"),
        (lambda: Svip(0.2, factor=-1), "factor is -1; allowed are numbers >= 0"),
        (lambda: AdaEdl(limit=2), "limit is 2; allowed are numbers from 0 to 1"),
        (lambda: Heuristic(0), "draft_length is 0; allowed are whole numbers >= 1"),
        (lambda: OnlineConfidence(1.5), "threshold is 1.5; allowed are numbers from 0 to 1"),
        (lambda: Bandit((2, 2), COSTS), r"lengths is \(2, 2\); allowed are one or more distinct"),
        (lambda: Hindsight(-1), "draft_length is -1; allowed are whole numbers >= 0"),
        (lambda: Hindsight().decide(View(0)), "policy 'hindsight' knows the future"),
        (lambda: blind(OBSERVABLE, 0), "length is 0; allowed are whole numbers >= 1"),
        (lambda: renewal_threshold(0, COSTS, 2), "mean is 0; allowed are probabilities above 0"),
        (lambda: renewal_threshold(0.5, COSTS, 0.5), "speedup is 0.5; allowed are numbers >= 1"),
        (lambda: solve(OBSERVABLE, COSTS, horizon=-1), "horizon is -1; allowed are whole numbers >= 0"),
        (lambda: solve(OBSERVABLE, COSTS, lag=-1), "lag is -1; allowed are whole numbers >= 0"),
        (lambda: solve(OBSERVABLE, COSTS, tolerance=0), "tolerance is 0; allowed are numbers between 0 and 1"),
        (lambda: evaluate(Fixed(1), OBSERVABLE, COSTS, horizon=-1), "horizon is -1; allowed are whole numbers >= 0"),
        (lambda: evaluate(OnlineConfidence(), OBSERVABLE, COSTS), "policy must be asked in the order of a round"),
        (lambda: evaluate(Confidence(0.5), OBSERVABLE, COSTS), "state has no confidence, which policy 'confidence'"),
        (lambda: estimate(Fixed(1), OBSERVABLE, COSTS, texts=1), "texts is 1; allowed are 2 or more"),
        (lambda: solve(OBSERVABLE, COSTS).policy.decide(View(0, latent="nowhere")), "latent is 'nowhere'; allowed"),
    ],
)
def test_what_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def _record(parents=(-1, 0), draft=(-0.5, -0.1)) -> dict:
    return {"drafted": [1, 2], "parents": list(parents), "draft_logprobs": list(draft), "target_logprobs": [-0.5, -0.2]}


def test_numbers_of_numpy_are_numbers() -> None:
    exact = solve(Observable((0.5, 0.75), (0.5, 0.5)), Costs(0.25)).rate
    process = Observable(
        any_(np.float32([0.5, 0.75])), any_(np.full(2, 0.5)), any_(np.full(2, 0.5)), any_(np.full(2, 0.1))
    )
    found = solve(process, Costs(any_(np.float32(0.25)), any_(np.int64(1))), horizon=any_(np.int64(20)))
    assert found.rate == pytest.approx(exact)
    assert Costs(any_(np.float32(0.25))) == Costs(0.25)


def test_drafts_that_cost_nothing_have_no_best_length() -> None:
    with pytest.raises(ValueError, match="token costs 0, so the longer the better without bound; give a horizon"):
        solve(OBSERVABLE, Costs(0))
    bounded = solve(Constant(F(1, 2)), Costs(0), horizon=5)
    assert bounded.rate == sum(F(1, 2) ** k for k in range(6))
    assert bounded.policy.boundary(3, "text") == 0


@pytest.mark.parametrize("process", [Constant(1), Constant(F(1)), Position((0.5, 1.0)), TwoRegime(0.5, 1.0, 0.1)])
def test_acceptance_that_never_decays_has_no_best_length(process) -> None:
    with pytest.raises(
        ValueError, match=r"are kept for ever, or for more than 20000 tokens, .* unbounded or very long; give a horizon"
    ):
        solve(process, COSTS)
    assert solve(process, COSTS, horizon=7).speedup > 1


@dataclass(frozen=True)
class Wrong:
    """A user's process with a mistake in it."""

    probability: float = 1.0
    acceptance: float = 0.5
    first: tuple = ((1.0, "a"),)

    def start(self) -> tuple:
        return self.first

    def tokens(self, state: object) -> tuple[Token, ...]:
        return (Token(self.probability, self.acceptance, "a"),)

    def bonus(self, state: object) -> None:
        return None


@pytest.mark.parametrize(
    ("process", "message"),
    [
        (Wrong(probability=0.9), r"process: tokens\('a'\) sums to 0.9; allowed is 1"),
        (Wrong(acceptance=1.5), "process: acceptance in 'a' is 1.5; allowed are probabilities"),
        (Wrong(first=((0.5, "a"),)), r"process: start\(\) sums to 0.5; allowed is 1"),
    ],
)
def test_a_process_of_the_user_is_checked(process, message: str) -> None:
    for ask in (lambda: solve(process, COSTS), lambda: evaluate(Fixed(2), process, COSTS)):
        with pytest.raises(ValueError, match=message):
            ask()


def test_budgets() -> None:
    values = tuple(0.9 + n / 1000 for n in range(30))
    process = Observable(values, (1 / 30,) * 30)
    with pytest.raises(BudgetError, match="more than 1000 points of a round within"):
        solve(process, Costs(0.01), budget=1000)
    with pytest.raises(BudgetError, match="more than 1000 points of a round; allowed is estimate"):
        evaluate(Fixed(8), process, Costs(0.01), budget=1000)
    drifting = Observable((0.5, 1.0), (0.5, 0.5), entropies=(1.0, 0.1))
    with pytest.raises(BudgetError, match=r"more than 2000 starts and memories come up; allowed is estimate\(\)"):
        evaluate(AdaEdl(), drifting, Costs(0.1), horizon=3)
    assert estimate(AdaEdl(), drifting, Costs(0.1), texts=4, tokens=100, horizon=3).speedup > 0


def test_states_that_tell_no_kind_are_refused() -> None:
    """Two kinds of texts that share a state: one policy cannot know at which rate to price its time."""
    with pytest.raises(ValueError, match="to texts of different kinds"):
        solve(_Mixed(), COSTS, horizon=3)
    assert solve(Branch(F(1, 2), 3), COSTS).rate > 1


class _Mixed:
    def start(self) -> tuple:
        return ((1, "shared"),)

    def tokens(self, state: object) -> tuple[Token, ...]:
        behind = ("left", "right") if state == "shared" else (state, state)
        return tuple(Token(F(1, 2), F(1, 2), one, ((1, one),)) for one in behind)

    def bonus(self, state: object) -> tuple:
        return ((F(1, 2), "left"), (F(1, 2), "right")) if state == "shared" else ((1, state),)
