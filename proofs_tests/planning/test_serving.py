"""Goodput and the split of a verification budget: against every split, for any cost laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.planning import loops
from specmath.speed import Allocation, Line, allocate, goodput
from specmath.speed.survival import iid

K = 3
curve = st.lists(st.floats(0, 1), min_size=K, max_size=K).map(lambda one: sorted(one, reverse=True))
rows = st.lists(curve, min_size=1, max_size=3)
costs = st.tuples(
    st.lists(st.floats(0.1, 5), min_size=3 + 3 * K, max_size=3 + 3 * K),
    st.lists(st.floats(0, 3), min_size=K, max_size=K).map(sorted),
)


def brute(survival: Any, verify: Callable[[int], float], draft: Callable[[int], float], most: int = 99) -> float:
    return max(
        goodput(survival, lengths, verify=verify, draft=draft).goodput
        for lengths in loops.splits(len(survival), K)
        if sum(lengths) <= most
    )


@pytest.mark.claim("speed/allocation", "exact")
@settings(max_examples=40)
@given(rows, costs, st.integers(0, 9))
def test_no_split_is_better(survival: list[list[float]], laws: tuple[list[float], list[float]], most: int) -> None:
    """The costs of sizes are drawn one by one, so they neither rise nor are convex."""
    verify, draft = (lambda t: laws[0][t - 1]), (lambda length: laws[1][length - 1])
    for budget in (None, most):
        found = allocate(survival, verify=verify, draft=draft, most=budget)
        best = brute(survival, verify, draft, 99 if budget is None else budget)
        assert found.goodput == pytest.approx(best, rel=1e-12)
        assert found.speedup >= 1 - 1e-12
        assert found == goodput(survival, found.draft_lengths, verify=verify, draft=draft)


def stop_at_first_loss(survival: Any, verify: Callable[[int], float], draft: Callable[[int], float]) -> Allocation:
    """Defect: adds the best next draft and stops as soon as that does not pay; costs with steps mislead it."""
    lengths = [0] * len(survival)
    best = goodput(survival, lengths, verify=verify, draft=draft)
    while True:
        tried = [
            goodput(survival, [n + (r == i) for i, n in enumerate(lengths)], verify=verify, draft=draft)
            for r in range(len(lengths))
            if lengths[r] < K
        ]
        if not tried or max(one.goodput for one in tried) <= best.goodput:
            return best
        best = max(tried, key=lambda one: one.goodput)
        lengths = list(best.draft_lengths)


def same_for_all(survival: Any, verify: Callable[[int], float], draft: Callable[[int], float]) -> Allocation:
    """Defect: one length for the whole batch."""
    found = [goodput(survival, [k] * len(survival), verify=verify, draft=draft) for k in range(K + 1)]
    return max(found, key=lambda one: one.goodput)


def each_alone(survival: Any, verify: Callable[[int], float], draft: Callable[[int], float]) -> Allocation:
    """Defect: each request is planned as if it were alone."""
    lengths = [allocate([row], verify=verify, draft=draft).draft_lengths[0] for row in survival]
    return goodput(survival, lengths, verify=verify, draft=draft)


def slots_of_any_place(survival: Any, verify: Callable[[int], float], draft: Callable[[int], float]) -> Allocation:
    """Defect: always spends the whole budget."""
    return goodput(survival, [K] * len(survival), verify=verify, draft=draft)


@pytest.mark.claim("speed/allocation", "control")
@pytest.mark.parametrize("defect", [stop_at_first_loss, same_for_all, each_alone, slots_of_any_place])
def test_defects_are_caught(defect: Callable[..., Allocation]) -> None:
    survival = [iid(0.95, K).tolist(), iid(0.6, K).tolist(), iid(0.2, K).tolist()]
    verify = lambda tokens: 1.0 + 0.6 * ((tokens - 1) // 4)  # noqa: E731  # a tile of four tokens costs as much as one
    draft = lambda length: 0.3 + 0.05 * length  # noqa: E731
    assert allocate(survival, verify=verify, draft=draft).goodput == pytest.approx(brute(survival, verify, draft))
    assert defect(survival, verify, draft).goodput < brute(survival, verify, draft) * (1 - 1e-6)


@pytest.mark.claim("speed/allocation", "statistical")
def test_batches_run_at_the_planned_goodput() -> None:
    """See `loops.agrees` for error and power; a plan that counts no replacement tokens is told."""
    rates = (0.9, 0.5, 0.1)
    verify, draft = Line(1.0, 0.06), Line(0.0, 0.08)
    plan = allocate([iid(a, 8) for a in rates], verify=verify, draft=draft)
    assert len(set(plan.draft_lengths)) == 3

    def cycle(generator: np.random.Generator) -> tuple[float, float]:
        tokens = sum(1 + loops.accepted(generator, a, n) for a, n in zip(rates, plan.draft_lengths, strict=True))
        return tokens, verify(3 + sum(plan.draft_lengths)) + draft(max(plan.draft_lengths))

    assert loops.agrees(cycle, plan.goodput)
    assert not loops.agrees(cycle, (plan.tokens - 3) / plan.seconds)


def test_large_batches_draft_less() -> None:
    """The same requests: as the batch grows the best uniform length falls to zero, as engines' ladders do."""
    verify, draft = Line(1.0, 0.02), Line(0.1, 0.1)
    longest = [max(allocate([iid(0.7, 8)] * b, verify=verify, draft=draft).draft_lengths) for b in (1, 8, 32, 400)]
    assert longest == sorted(longest, reverse=True)
    assert longest[0] >= 3
    assert longest[-1] == 0


def test_drafting_never_costs_in_the_plan() -> None:
    plan = allocate([[0.0, 0.0]] * 4, verify=Line(1.0, 0.1), draft=Line(5.0))
    assert (plan.draft_lengths, plan.speedup) == ((0, 0, 0, 0), 1.0)
    assert allocate(np.zeros((2, 0)), verify=Line(1.0), draft=Line(1.0)).draft_lengths == (0, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: allocate([0.5], verify=Line(1.0), draft=Line(1.0)), r"survival has shape \(1,\)"),
        (lambda: allocate([], verify=Line(1.0), draft=Line(1.0)), "survival has shape"),
        (lambda: allocate([[0.2, 0.5]], verify=Line(1.0), draft=Line(1.0)), "survival rises"),
        (lambda: allocate([[0.5]], verify=lambda t: -1.0, draft=Line(1.0)), r"verify\(1\) is -1.0"),
        (lambda: allocate([[0.5]], verify=Line(1.0), draft=lambda t: float("nan")), r"draft\(1\) is nan"),
        (lambda: allocate([[0.5]], verify=Line(1.0), draft=Line(1.0), most=-1), "most is -1"),
        (lambda: allocate([[0.5, 0.4]], verify=Line(1.0), draft=lambda t: 3 - t), "draft falls"),
        (
            lambda: goodput([[0.5]], [2], verify=Line(1.0), draft=Line(1.0)),
            "draft_lengths holds 2; allowed are up to 1",
        ),
        (lambda: goodput([[0.5]], [1, 1], verify=Line(1.0), draft=Line(1.0)), "draft_lengths has 2 entries"),
    ],
)
def test_bad_input(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
