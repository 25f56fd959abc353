"""Planted mistakes in the solver, the closed form and the evaluation: the judges must catch each of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from fractions import Fraction as F

import pytest

from proofs_tests.stopping.instances import COSTS, MARKOV, OBSERVABLE, POSITION, RENEWAL, Branch
from proofs_tests.stopping.judges import best_rate
from specmath.stopping import Costs, Fixed, Observable, evaluate, renewal_threshold, solve, sufficient_condition
from specmath.stopping.induction import Problem, induct, onward
from specmath.stopping.policies.optimal import Optimal

solver = importlib.import_module("specmath.stopping.iteration")
induction = importlib.import_module("specmath.stopping.induction")
paths = importlib.import_module("specmath.stopping.paths")

CASES = [
    (process, costs, horizon, lag)
    for process, horizon in ((OBSERVABLE, 3), (RENEWAL, 3), (POSITION, 3), (Branch(F(1, 4), 3), 4), (MARKOV, 2))
    for costs in (COSTS, Costs(F(2, 5)))
    for lag in (0, 1)
]


def caught() -> bool:
    """Whether some tiny case shows that the solver is wrong."""
    for process, costs, horizon, lag in CASES:
        try:
            best = solve(process, costs, horizon=horizon, lag=lag)
        except (ValueError, KeyError):
            return True
        if best.rate != best_rate(process, costs, horizon, lag):
            return True
        if evaluate(best.policy, process, costs, horizon=horizon, lag=lag).rate != best.rate:
            return True
    return False


def discounted(*given) -> tuple:
    worth, drafts = onward(*given)
    return worth * F(7, 10), drafts


def undrafted(*given) -> tuple:
    worth, drafts = onward(*given)
    return worth, min(drafts, 1)


def reversed_sign(layers: list) -> list:
    for layer in layers:
        for node in layer.values():
            node.go = not node.go and bool(node.drafts)
    return layers


DEFECTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "later tokens are discounted": lambda m: m.setattr(induction, "onward", discounted),
    "only the next draft is paid for": lambda m: m.setattr(induction, "onward", undrafted),
    "the lag is ignored": lambda m: m.setattr(
        solver, "Problem", lambda p, price, bias, horizon, lag, *rest: Problem(p, price, bias, horizon, 0, *rest)
    ),
    "the bonus is not counted": lambda m: (m.setattr(solver, "BONUS", 0), m.setattr(induction, "BONUS", 0)),
    "a kept token counts twice": lambda m: m.setattr(induction, "KEPT", 2),
    "time has the price of plain decoding": lambda m: m.setattr(
        solver, "Problem", lambda p, price, *rest: Problem(p, COSTS.token, *rest)
    ),
    "where the next round begins is forgotten": lambda m: m.setattr(Problem, "expected", lambda self, law: 0),
    "stopping is proved too early": lambda m: m.setattr(
        Problem,
        "settled",
        lambda self, state, survival, unseen: survival * self.ahead[unseen][state] <= 4 * self.price,
    ),
    "stops where it should go on": lambda m: m.setattr(solver, "induct", lambda *given: reversed_sign(induct(*given))),
    "a draft has half its price": lambda m: m.setattr(Costs, "round", lambda self, k: self.target + k * self.token / 2),
}


@pytest.mark.claim("stopping/optimal", "control")
@pytest.mark.parametrize("name", DEFECTS)
def test_a_wrong_solver_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    DEFECTS[name](monkeypatch)
    assert caught()


def test_the_right_solver_is_not() -> None:
    assert not caught()


@pytest.mark.claim("stopping/threshold-form", "control")
def test_a_boundary_of_one_step_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the next token counts, the boundary is another one and does not separate what is best."""
    process = Branch(F(1, 4), 3)
    best = solve(process, COSTS, horizon=4)
    one_step = best.rate * COSTS.token / process.right
    assert best.policy.boundary(0, "branch") < one_step
    monkeypatch.setattr(Optimal, "boundary", lambda self, drafted, latent: one_step)
    between = (solve(process, COSTS, horizon=4).policy.boundary(0, "branch") + F(1, 2)) / 2
    plan = best.policy.plans[0]
    state = best.policy.process.number["branch"]
    node = next(iter(induct(plan.problem, [(state, between)], 0)[0].values()))
    assert node.go != (between > one_step)


@pytest.mark.claim("stopping/renewal-threshold", "control")
@pytest.mark.parametrize("mistake", ["last acceptance", "speed-up of a fixed length", "cost of one round"])
def test_a_wrong_closed_form_is_caught(mistake: str) -> None:
    best = solve(OBSERVABLE, COSTS, horizon=6)
    mean, speedup, costs = OBSERVABLE.mean, best.speedup, COSTS
    if mistake == "last acceptance":
        mean = OBSERVABLE.acceptances[-1]
    elif mistake == "speed-up of a fixed length":
        speedup = evaluate(Fixed(3), OBSERVABLE, COSTS).speedup
    else:
        costs = Costs(COSTS.draft, target=2)
    assert renewal_threshold(mean, costs, speedup) != 1 - best.policy.boundary(0, "text")


@pytest.mark.claim("stopping/sufficient-condition", "control")
def test_a_constant_that_is_too_small_is_caught() -> None:
    """With the tokens of one step in the place of all that may come, the condition stops where going on is best."""
    process = Branch(F(3, 20), 40)
    best = solve(process, COSTS)
    assert best.policy.boundary(0, "branch") >= 1 - F(sufficient_condition(best).threshold)
    one_step = 1 - COSTS.token * best.rate / process.right
    assert best.policy.boundary(0, "branch") < 1 - one_step


def test_an_error_that_is_not_stated_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    process, costs = Observable((0.2, 0.6, 1.0), (0.15, 0.15, 0.7)), Costs(0.2)
    monkeypatch.setattr(solver, "_late", lambda *given: 0.0)
    short = solve(process, costs, tolerance=1e-3)
    assert solve(process, costs, horizon=400).rate - short.rate > short.truncation + short.gap + 1e-12


def test_a_wrong_evaluation_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unseen tokens that a round ends with are forgotten."""
    right = paths._stop

    def forgetful(process, point, drafted, found, detailed) -> None:
        point.unseen = ()
        right(process, point, drafted, found, detailed)

    monkeypatch.setattr(paths, "_stop", forgetful)
    assert caught()
