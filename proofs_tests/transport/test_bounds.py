"""Certified bounds against Fractions of the same floats: an upper bound from the cut, a lower one from a marginal."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specmath import draft_laws
from specmath.transport import Plan, independent_law, lower_bound, max_flow, optimum, upper_bound
from specmath.transport.coupling import coupling


def floats(size: int, kind: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Softmax laws in float64."""
    slope = {"flat": 0.3, "text": 1.5, "peaked": 8.0}[kind]
    rng = np.random.default_rng([seed, size])
    draft = slope * rng.gumbel(size=size)
    target = draft + rng.normal(size=size)
    target, draft = (np.exp(logits - logits.max()) for logits in (target, draft))
    return target / target.sum(), draft / draft.sum()


def exact(target: np.ndarray, draft: np.ndarray, n: int, drafts: str) -> Any:
    """alpha* over Fractions: the target's float masses, and the draft's divided by their exact sum."""
    p, q = [Fraction(x) for x in target.tolist()], [Fraction(x) for x in draft.tolist()]
    q = [x / sum(q) for x in q]
    if drafts == "iid":
        best = held = missed = Fraction(0)
        for x in sorted((x for x in range(len(q)) if q[x]), key=lambda x: p[x] / q[x]):
            held, missed = held + q[x], missed + p[x]
            best = min(best, missed - held**n)
        return 1 + best
    top = sorted(range(len(q)), key=lambda x: (-draft[x], x))
    if drafts == "top_k":
        return min(1 + sum(p) - 1, sum(p[x] for x in top[:n]), Fraction(1))
    if drafts == "greedy":
        left = sum(q[x] for x in top[n - 1 :])
        value = sum(p[x] for x in top[: n - 1]) + sum(min(p[x], q[x] / left) for x in top[n - 1 :])
        return min(value, Fraction(1))
    return max_flow(p, draft_laws.get(drafts).law(q, n)).acceptance


def problems() -> list[tuple[str, int, int, str]]:
    """Draft law, n, V and shape of the laws; distinct drafts are enumerated, hence small."""
    wide = [(d, n, size, kind) for d in ("iid", "greedy", "top_k") for n in (1, 2, 4) for size, kind in SIZES]
    return wide + [("without_replacement", n, size, kind) for n, size in ((2, 6), (3, 5)) for _, kind in SIZES]


SIZES = [(7, "peaked"), (60, "text"), (512, "flat")]


@pytest.mark.parametrize(("drafts", "n", "size", "kind"), problems())
def test_bounds_enclose_the_exact_optimum(drafts: str, n: int, size: int, kind: str) -> None:
    target, draft = floats(size, kind)
    found = optimum(target, draft, n, drafts)
    want = exact(found.target, found.draft, n, drafts)
    # A cut that rounding preferred costs at most the error of the scan, which adds the tokens one by one.
    scan = (n + 1) * (size + 2) * 2.3e-16 + (1e-12 if drafts == "without_replacement" else 0)
    assert 0 <= Fraction(float(found.upper)) - want <= 2 * Fraction(float(found.rounding)) + Fraction(scan)
    assert abs(Fraction(float(found.acceptance)) - want) <= Fraction(scan)
    marginal = coupling(target, draft, n, drafts).marginal
    low = lower_bound(target, draft, n, marginal, drafts)
    assert Fraction(float(low.value)) <= want
    if drafts != "without_replacement":  # whose coupling states a gap of its own
        assert want - Fraction(float(low.value)) <= 3 * Fraction(float(low.rounding)) + Fraction(2 * scan)


def test_rounding_is_needed_and_enough() -> None:
    """Control: without its rounding term the upper bound fails on some of these contexts; with it on none."""
    failures = 0
    for seed in range(40):
        target, draft = floats(40, "text", seed)
        found = optimum(target, draft, 3)
        want = exact(found.target, found.draft, 3, "iid")
        failures += Fraction(float(found.upper - found.rounding)) < want
        assert Fraction(float(found.upper)) >= want
    assert failures > 0


def test_any_cut_bounds_from_above() -> None:
    target, draft = floats(12, "text")
    best = exact(target, draft, 2, "iid")
    rng = np.random.default_rng(1)
    for _ in range(50):
        cut = rng.random(12) < rng.random()
        assert Fraction(float(upper_bound(target, draft, 2, cut).value)) >= best


@pytest.mark.parametrize("drafts", ["iid", "greedy", "top_k", "without_replacement"])
def test_marginals_out_of_reach_prove_no_more_than_the_optimum(drafts: str) -> None:
    """Control: the target itself shares all its mass with itself, yet no selection has that marginal."""
    for seed in range(20):
        target, draft = floats(5, "text", seed)
        best = optimum(target, draft, 2, drafts)
        want = exact(best.target, best.draft, 2, drafts)
        for marginal in (target, floats(5, "flat", seed)[0]):
            found = lower_bound(target, draft, 2, marginal, drafts)
            assert Fraction(float(found.value)) <= want
        unreachable = lower_bound(target, draft, 2, target, drafts)
        assert float(unreachable.shortfall) == pytest.approx(float(1 - want), abs=1e-11)
        assert float(unreachable.value) == pytest.approx(float(want), abs=1e-11), "cut down to what can be reached"


def test_the_draft_itself_is_reachable() -> None:
    """Selecting the first of the drafts has the draft's law as its marginal."""
    target, draft = floats(30, "text")
    found = lower_bound(target, draft, 3, draft)
    assert float(found.shortfall) < 1e-14
    assert float(found.value) == pytest.approx(np.minimum(target, draft).sum(), abs=1e-12)


def test_marginals_are_checked() -> None:
    with pytest.raises(ValueError, match="marginal has 3 tokens and target 2"):
        lower_bound([0.5, 0.5], [0.5, 0.5], 2, [0.5, 0.25, 0.25])
    with pytest.raises(ValueError, match=r"marginal: sums to 0\.9"):
        lower_bound([0.5, 0.5], [0.5, 0.5], 2, [0.5, 0.4])


def masses(size: int, count: int) -> st.SearchStrategy[list[list[Fraction]]]:
    row = st.lists(st.integers(0, 6), min_size=size, max_size=size).filter(any)
    return st.lists(row.map(lambda w: [Fraction(x, sum(w)) for x in w]), min_size=count, max_size=count)


@settings(max_examples=80)
@given(st.data())
def test_potentials_of_the_cut_solve_the_dual(data: st.DataObject) -> None:
    """(y, z) of the cut and the flow of `max_flow` are a primal-dual pair: feasible, of equal value, slack."""
    size, n = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    target, *drafters = data.draw(masses(size, n + 1))
    drafts = data.draw(st.sampled_from(["independent", *draft_laws.names()]))
    if drafts == "independent":
        law, draft = independent_law(drafters), [np.array(q, dtype=float) for q in drafters]
    else:
        if draft_laws.get(drafts).needs(n, sum(q > 0 for q in drafters[0])):
            return
        law, draft = draft_laws.get(drafts).law(drafters[0], n), np.array(drafters[0], dtype=float)
    plan = max_flow(target, law)
    found = optimum(np.array(target, dtype=float), draft, n, drafts)
    y = [int(potential) for potential in found.token_potentials]
    z = {drafted: int(found.set_potential(drafted)) for drafted in plan.sets}
    pair = replace(plan, token_potentials=y, set_potentials=z)
    assert pair.infeasibility() == 0
    assert 0 <= pair.gap < 1e-12
    assert pair.slackness() < 1e-12


def test_wrong_potentials_are_seen() -> None:
    """Control: the complement of the cut is feasible too, and far from optimal."""
    target, draft = [Fraction(1, 8), Fraction(7, 8)], [Fraction(1, 2), Fraction(1, 2)]
    plan: Plan = max_flow(target, draft_laws.get("iid").law(draft, 2))
    y = [0, 1]
    z = {drafted: int(0 in drafted) for drafted in plan.sets}
    assert replace(plan, token_potentials=y, set_potentials=z).gap > Fraction(1, 2)


def test_batches_torch_and_jax() -> None:
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    target, draft = np.random.default_rng(2).dirichlet(np.ones(6), (2, 4))
    for drafts in ("iid", "greedy", "top_k", "without_replacement"):
        want = optimum(target, draft, 2, drafts)
        assert want.upper.shape == (4,)
        found = optimum(torch.from_numpy(target), torch.from_numpy(draft), 2, drafts)
        assert np.allclose(found.upper.numpy(), want.upper, rtol=0, atol=1e-14)
    arrays = jax.numpy.asarray(target), jax.numpy.asarray(draft)
    upper = jax.jit(lambda p, q: optimum(p, q, 2).upper)(*arrays)
    exact_values = optimum(np.asarray(arrays[0]), np.asarray(arrays[1]), 2).acceptance
    assert (np.asarray(upper, dtype=float) >= exact_values).all()
    assert np.allclose(upper, exact_values, rtol=0, atol=1e-4)


def test_large_sums_are_added_in_blocks() -> None:
    """A million equal masses: the sum is right to a few thousand units, and so is the bound's own claim."""
    from specmath.transport.bounds import additions, blocked_sum

    law = np.full(1_000_003, 0.1)
    want = sum([Fraction(0.1)] * 3) / 3 * 1_000_003
    assert abs(Fraction(float(blocked_sum(law))) - want) <= want * additions(law) * Fraction(2.0**-53)
    assert additions(law) < 2_100


def test_subsets_of_a_small_vocabulary() -> None:
    """`held_mass` of every set, every draft law, against enumeration."""
    from specmath.transport.bounds import held_mass

    law = [Fraction(1, 2), Fraction(1, 4), Fraction(1, 8), Fraction(1, 8)]
    for drafts in draft_laws.names():
        tuples = draft_laws.get(drafts).law(law, 2)
        for members in (frozenset(s) for k in range(5) for s in combinations(range(4), k)):
            want = sum((m for t, m in tuples.items() if members.issuperset(t)), Fraction(0))
            inside = np.array([x in members for x in range(4)])
            assert float(held_mass(np.array(law, dtype=float), 2, inside, drafts)) == pytest.approx(float(want))
