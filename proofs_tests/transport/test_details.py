"""Small print of the couplings and certificates: stopped solvers, repeated drafts, rounding, plateaus, tiny masses."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from specmath.transport import coupling, independent, joint_optimum, lower_bound, optimum, upper_bound
from specmath.transport.levels import levels, vectorised
from specmath.transport.priority import solver
from specmath.transport.priority.build import LEAST, _in_range
from specmath.transport.priority.goals import capped, filled
from specmath.transport.swap import SwapSelector

TARGET, DRAFT = np.array([0.05, 0.15, 0.1, 0.3, 0.4]), np.array([0.4, 0.05, 0.25, 0.2, 0.1])
OTHER = np.array([0.1, 0.3, 0.1, 0.1, 0.4])


# --- couplings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drafts", ["without_replacement", "independent"])
def test_a_solver_that_is_stopped_early_reports_its_gap(drafts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One evaluation on one ladder: the heights are not the right ones, and the gap says by how much."""
    draft = np.stack([DRAFT, OTHER]) if drafts == "independent" else DRAFT
    full = coupling(TARGET, draft, 2, drafts)
    assert abs(float(full.gap)) < 1e-9
    monkeypatch.setattr(solver, "ROUNDS", 1)
    monkeypatch.setattr(solver, "WIDTHS", (4,))
    plan = coupling(TARGET, draft, 2, drafts)
    assert float(plan.marginal.sum()) == pytest.approx(1, abs=1e-12)
    assert float(plan.acceptance) == pytest.approx(np.minimum(TARGET, plan.marginal).sum(), abs=1e-15)
    assert float(plan.gap) == pytest.approx(float(full.acceptance - plan.acceptance), abs=1e-9)
    assert float(plan.gap) > 1e-3


def test_the_first_of_equal_drafts_is_the_accepted_one() -> None:
    """Whichever copy was selected: a token is found by its first place."""
    target, draft = np.array([0.1, 0.8, 0.1]), np.array([0.3, 0.4, 0.3])
    plan = coupling(target, draft, 2)
    tokens, seen = np.array([1, 1]), set()
    for positions in ((0.1, 0.9), (0.9, 0.1)):
        uniforms = np.array([*positions, 0.5, 0.5, 0.0, 0.5])
        seen.add(int(plan.select(tokens, uniforms[:4])))
        assert tuple(map(int, plan.verify(tokens, uniforms))) == (1, 0)
    assert seen == {0, 1}, "both copies were selected"


def test_the_marginal_of_a_tiny_cut() -> None:
    """r(H) = Q(H) = 1e-34 for a token of draft mass 1e-17, although its neighbour's numbers are rounded to 1e-16."""
    goal, draft = np.array([0.0, 1.0]), np.array([1e-17, 1.0])
    for found in (vectorised(goal, draft, 2), levels(goal, draft, 2), levels(goal[None], draft[None], 2)):
        assert np.ravel(draft * found.ratio)[0] == pytest.approx(1e-34, rel=1e-9, abs=0)


def test_the_last_edge_is_one() -> None:
    """Ten masses of 0.1 add up to 1 - 1e-16: positions are scaled so that the largest score is 1."""
    draft = np.full(10, 0.1)
    assert np.cumsum(draft)[-1] != 1
    goal = np.arange(1, 11) / 55
    assert vectorised(goal, draft, 3).edges[-1] == levels(goal, draft, 3).edges[-1] == 1


def test_the_last_edge_is_one_in_float32() -> None:
    jnp = pytest.importorskip("jax.numpy")
    draft = np.random.default_rng(0).dirichlet(np.ones(1000), 5).astype(np.float32)
    assert (np.cumsum(draft, axis=-1)[:, -1] != 1).any()
    found = vectorised(jnp.asarray(draft[::-1]), jnp.asarray(draft), 2)
    assert (np.asarray(found.edges[:, -1]) == 1).all()


def selector(marginal: np.ndarray, draft: np.ndarray) -> SwapSelector:
    """Of two i.i.d. drafts; the target is a law that some selection has, hence the marginal."""
    plan = coupling(marginal, draft, 2)
    assert np.allclose(plan.marginal, marginal, rtol=0, atol=1e-15)
    assert isinstance(plan.selector, SwapSelector)
    return plan.selector


def test_partners_where_a_need_is_met_all_along_a_stretch() -> None:
    """R = 0.75 on [0, 1/4], 13/12 beyond; Y(s) = 2 s crosses R at 13/24, where B begins.

    All positions before it need more than they have, so that none of them is a partner: T(0) = 13/24, and no end of an
    interval before it.
    """
    found = selector(np.array([0.1875, 0.8125]), np.array([0.25, 0.75]))
    position, partner, chance = found.swap(np.array([0]), np.array([0.0]))
    assert position[0] == 0
    assert partner[0] == pytest.approx(13 / 24, abs=1e-12)
    assert chance[0] == pytest.approx(0.75 / (13 / 12), abs=1e-12)


def test_a_position_that_has_what_it_needs_stays() -> None:
    """R = 1/2 on [0, 1/2]: at s = 1/4, u = 1/2, it equals Y, lambda is 0, and no coin moves the draft, not even 0."""
    found = selector(np.array([0.25, 0.75]), np.array([0.5, 0.5]))
    position, partner, chance = found.swap(np.array([0]), np.array([0.5]))
    assert (position[0], chance[0]) == (0.25, 0)
    assert partner[0] != 0.25
    assert found.scores(np.array([0]), np.array([0.5]), np.array([0.0]))[0] == 0.25


# --- graded priority -------------------------------------------------------------------------------------------------


def test_wanted_marginals_sum_to_the_total_despite_rounding() -> None:
    """A total that the goal misses by rounding, on the wrong side: scaled, or no residual could vanish."""
    goal, draft = np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.2, 0.1])
    for error in (1e-13, -1e-13, 1e-15, -1e-15):
        total = float(goal.sum()) + error
        for wanted in (filled(goal, draft, total), capped(goal, draft, total)):
            assert abs(wanted.sum() - total) < 2.3e-16


def test_tokens_too_rare_for_the_times_of_arrival() -> None:
    """With n others they are never reached: exactly n are enough. With fewer they are drawn last, and lifted."""
    law = np.array([0.6, 0.4, 1e-290, 3e-290])
    assert _in_range(law, 2).tolist() == [0.6, 0.4, 0, 0]
    assert _in_range(law, 1).tolist() == [0.6, 0.4, 0, 0]
    assert _in_range(law, 3) == pytest.approx(law * [1, 1, 1e60, 1e60], rel=1e-12, abs=0)
    at_the_bound = np.array([0.6, 0.4, LEAST])
    assert _in_range(at_the_bound, 3).tolist() == at_the_bound.tolist()


# --- certificates ----------------------------------------------------------------------------------------------------


def test_the_joint_bound_holds_for_any_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dual prices that are too low are made feasible again: the bound gets worse, never wrong."""
    import scipy.optimize

    solve: Any = scipy.optimize.linprog
    arguments = (lambda _: [0.3, 0.7], lambda _: [0.7, 0.3], [-1, -1, 0])
    true = joint_optimum(*arguments)
    for lowered in (1e-3, 0.25):

        def cheap(*given: Any, by: float = lowered, **options: Any) -> Any:
            found = solve(*given, **options)
            found.eqlin.marginals = found.eqlin.marginals + by  # prices are minus these
            return found

        monkeypatch.setattr(scipy.optimize, "linprog", cheap)
        assert joint_optimum(*arguments).bound >= true.accepted - 1e-9


def test_a_search_that_gives_up_proves_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortfall counts what the search for the cut may have missed: here all of it was missed."""
    draft = np.stack([DRAFT, OTHER])
    best = float(optimum(TARGET, draft, 2, "independent").acceptance)
    search: Any = independent.minimise

    def lazy(p: Any, q: Any) -> Any:
        value, cut, gap = search(p, q)
        return value + 0.01, cut, gap + 0.01

    assert float(lower_bound(TARGET, draft, 2, TARGET, "independent").value) == pytest.approx(best, abs=1e-9)
    monkeypatch.setattr(independent, "minimise", lazy)
    assert float(lower_bound(TARGET, draft, 2, TARGET, "independent").value) <= best


def test_the_race_integral_has_an_error_of_its_own() -> None:
    """1e-12, stated with `race.ERROR`, is part of every bound of distinct drafts, and of no other."""
    for drafts, least, most in (("without_replacement", 1e-12, 2e-12), ("iid", 0, 1e-13)):
        assert least < float(optimum(TARGET, DRAFT, 3, drafts).rounding) < most
        plan = coupling(TARGET, DRAFT, 3, drafts)
        assert least < float(lower_bound(TARGET, DRAFT, 3, plan.marginal, drafts).rounding) < most


@pytest.mark.parametrize("drafts", ["iid", "independent", "greedy"])
def test_the_draft_is_divided_by_its_sum(drafts: str) -> None:
    """A draft that sums to 1 + 1e-10 stands for the law proportional to it; the bound is right to its own rounding."""
    draft = DRAFT * (1 + 1e-10)
    members, n = (0, 2, 3), 2
    p, q = [Fraction(x) for x in TARGET.tolist()], [Fraction(x) for x in draft.tolist()]
    if drafts == "greedy":  # the first draft is token 0, the other one is drawn from the rest
        held = sum(q[x] for x in members if x) / sum(q[1:])
    else:
        held = (sum(q[x] for x in members) / sum(q)) ** n
    want = sum(p[x] for x in members) + 1 - held
    laws = np.stack([draft, draft]) if drafts == "independent" else draft
    found = upper_bound(TARGET, laws, n, np.isin(np.arange(5), members), drafts)
    assert 0 <= Fraction(float(found.value)) - want <= 2 * Fraction(float(found.rounding))
    assert float(found.rounding) < 1e-13
