"""Max-flow, linear program and the sorted optimum agree, and their certificates are checked, not only their values."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specmath import draft_laws, exact, rules, transport
from specmath.transport import Plan

HALF, QUARTER = Fraction(1, 2), Fraction(1, 4)
Problem = tuple[list[Fraction], list[Fraction], int, str]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Target, draft, n and a draft law that can draw n candidates; V 1..4, zeros and ties in the laws."""
    size = draw(st.integers(1, 4))
    weights = st.lists(st.integers(0, 5), min_size=size, max_size=size).filter(any)
    target, draft = ([Fraction(w, sum(row)) for w in row] for row in (draw(weights), draw(weights)))
    support = sum(q > 0 for q in draft)
    possible = [
        (n, name) for name in draft_laws.names() for n in range(1, 4) if not draft_laws.get(name).needs(n, support)
    ]
    n, drafts = draw(st.sampled_from(possible))
    return target, draft, n, drafts


def cut_value(cut: np.ndarray, target: list[Fraction], law: exact.Law) -> Fraction:
    """1 + p(H) - Q(H) of a cut, over Fractions."""
    members = {int(token) for token in np.flatnonzero(cut)}
    missed = sum((p for p, held in zip(target, cut, strict=True) if held), Fraction(0))
    return 1 + missed - sum(probability for tokens, probability in law.items() if members.issuperset(tokens))


@settings(max_examples=150)
@given(problems())
def test_flow_is_optimal_and_the_sorted_cut_proves_it(problem: Problem) -> None:
    target, draft, n, drafts = problem
    law = draft_laws.get(drafts).law(draft, n)
    plan = transport.max_flow(target, law)
    assert plan.infeasibility() == 0
    assert plan.gap == 0
    assert plan.slackness() == 0
    fast = transport.optimum([float(p) for p in target], [float(q) for q in draft], n, drafts)
    assert float(fast.acceptance) == pytest.approx(float(plan.acceptance), abs=1e-12)
    # The cut of the float computation, valued over Fractions, may lose a rounding error against the best one.
    assert 0 <= float(cut_value(fast.cut, target, law) - plan.acceptance) < 1e-12


@settings(max_examples=40)
@given(problems(), st.sampled_from(["scipy", "cvxpy"]))
def test_linear_program_agrees_with_its_certificate(problem: Problem, solver: str) -> None:
    target, draft, n, drafts = problem
    law = draft_laws.get(drafts).law(draft, n)
    plan = transport.linear_program(target, law, solver=solver)
    assert plan.acceptance == pytest.approx(float(transport.max_flow(target, law).acceptance), abs=1e-9)
    assert abs(plan.gap) < 1e-9
    assert plan.infeasibility() < 1e-9
    assert plan.slackness() < 1e-9


@settings(max_examples=30)
@given(problems())
def test_the_dual_as_a_model_meets_the_primal(problem: Problem) -> None:
    """Strong duality, and complementary slackness of its solution with the flow's."""
    target, draft, n, drafts = problem
    law = draft_laws.get(drafts).law(draft, n)
    best = transport.max_flow(target, law)
    model, y, z = transport.cvxpy_dual(target, law)
    assert model.solve(solver="HIGHS") == pytest.approx(float(best.acceptance), abs=1e-9)
    sets = {drafted: float(value) for drafted, value in zip(best.sets, z.value, strict=True)}
    pair = replace(best, token_potentials=[float(value) for value in y.value], set_potentials=sets)
    assert pair.infeasibility() < 1e-9
    assert abs(pair.gap) < 1e-9
    assert pair.slackness() < 1e-9


@settings(max_examples=60)
@given(problems(), st.data())
def test_weak_duality_for_any_feasible_pair(problem: Problem, data: st.DataObject) -> None:
    """Any set H gives feasible potentials, any fraction of a plan is feasible: their values never cross."""
    target, draft, n, drafts = problem
    best = transport.max_flow(target, draft_laws.get(drafts).law(draft, n))
    members = data.draw(st.sets(st.integers(0, len(target) - 1)))
    share = data.draw(st.fractions(0, 1))
    pair = replace(
        best,
        flow={key: mass * share for key, mass in best.flow.items()},
        token_potentials=[int(token in members) for token in range(len(target))],
        set_potentials={drafted: int(not members.issuperset(drafted)) for drafted in best.sets},
    )
    assert pair.infeasibility() == 0
    assert pair.gap >= 0


def iid_plan() -> Plan:
    law = {(0, 0): QUARTER, (0, 1): HALF, (1, 1): QUARTER}
    return transport.max_flow([Fraction(1, 8), Fraction(7, 8)], law)


def test_the_certificate_is_what_it_should_be() -> None:
    plan = iid_plan()
    assert plan.acceptance == plan.bound == Fraction(7, 8)
    assert list(plan.token_potentials) == [1, 0]
    assert plan.infeasibility() == plan.slackness() == 0


def broken(plan: Plan, defect: str) -> Plan:
    flow, sets = dict(plan.flow), dict(plan.set_potentials)
    pair, alone = frozenset({0, 1}), frozenset({1})
    if defect == "token not drafted":
        flow[alone, 0] = flow.pop((alone, 1))
    elif defect == "token used beyond its mass":
        flow[pair, 0] = flow.get((pair, 0), 0) + HALF
    elif defect == "set used beyond its mass":
        flow[alone, 1] += HALF
    elif defect == "negative flow":
        flow[pair, 0] = -QUARTER
    elif defect == "uncovered pair in the dual":
        sets[pair] = 0
    elif defect == "negative potential":
        sets[frozenset({0})] = -1
    return replace(plan, flow=flow, set_potentials=sets)


@pytest.mark.parametrize(
    "defect",
    [
        "token not drafted",
        "token used beyond its mass",
        "set used beyond its mass",
        "negative flow",
        "uncovered pair in the dual",
        "negative potential",
    ],
)
def test_an_infeasible_plan_is_seen(defect: str) -> None:
    """Control: each constraint, broken alone, is found."""
    assert broken(iid_plan(), defect).infeasibility() > 0


def test_a_plan_that_is_not_optimal_is_seen() -> None:
    """Control: feasible on both sides, yet neither the gap nor complementary slackness vanishes."""
    plan = replace(iid_plan(), flow={})
    assert plan.infeasibility() == 0
    assert plan.gap == Fraction(7, 8)
    assert plan.slackness() > 0


@pytest.mark.parametrize("solve", [transport.max_flow, transport.linear_program])
@pytest.mark.parametrize(
    ("target", "law", "message"),
    [
        ([0.5, 0.5], {(0, 2): 1.0}, "token 2 is drafted; the target has tokens 0 to 1"),
        ([0.5, 0.5], {(-1,): 1.0}, "token -1 is drafted"),
        ([0.5, 0.5], {}, "law: is empty"),
        ([0.5, float("nan")], {(0,): 1.0}, "target: holds nan"),
        ([0.5, 0.5], {(0,): -1.0}, "law: holds -1.0"),
    ],
)
def test_what_is_no_problem_is_refused(solve: Any, target: list[float], law: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solve(target, law)


def test_unknown_solvers_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed are 'scipy', 'cvxpy'"):
        transport.linear_program([0.5, 0.5], {(0, 1): 1.0}, solver="simplex")


def test_block_verification_keeps_eleven_ninths() -> None:
    """The motivating example of sun2025block: 10/9 drafts token-wise, 11/9 as a block, on two tokens and L = 2."""

    def target(_: tuple[int, ...]) -> list[Fraction]:
        return [Fraction(1, 3), Fraction(2, 3)]

    def draft(_: tuple[int, ...]) -> list[Fraction]:
        return [Fraction(2, 3), Fraction(1, 3)]

    kept = {
        name: rules.round_law(rules.get(name), target, draft, [-1, 0]).mean(lambda tokens: len(tokens) - 1)
        for name in rules.names("chain")
    }
    assert kept == {"token_wise": Fraction(10, 9), "block": Fraction(11, 9)}
