"""The optimum of different drafters: against max-flow over Fractions, brute force, and its own gap."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specmath import optimum
from specmath.transport import independent, independent_law, max_flow


def masses(size: int, count: int) -> st.SearchStrategy[list[list[Fraction]]]:
    row = st.lists(st.integers(0, 6), min_size=size, max_size=size).filter(any)
    return st.lists(row.map(lambda w: [Fraction(x, sum(w)) for x in w]), min_size=count, max_size=count)


@pytest.fixture(params=[14, 0], ids=["enumerated", "minimum norm"])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The remainder by enumeration, and by Wolfe's algorithm however small it is."""
    monkeypatch.setattr(independent, "ENUMERATED", request.param)
    return request.param


def brute_force(target: list[Fraction], drafters: list[list[Fraction]]) -> Fraction:
    """1 + min over all sets, over Fractions."""
    best = Fraction(0)
    for k in range(len(target) + 1):
        for members in combinations(range(len(target)), k):
            inside = Fraction(1)
            for draft in drafters:
                inside *= sum((draft[x] for x in members), Fraction(0))
            best = min(best, sum((target[x] for x in members), Fraction(0)) - inside)
    return 1 + best


def test_against_max_flow(method: int) -> None:
    @settings(max_examples=100)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        size, n = data.draw(st.integers(1, 4)), data.draw(st.integers(2, 4))
        target, *drafters = data.draw(masses(size, n + 1))
        want = max_flow(target, independent_law(drafters)).acceptance
        assert want == brute_force(target, drafters)
        found = optimum(np.array(target, dtype=float), [np.array(q, dtype=float) for q in drafters], n, "independent")
        assert float(found.acceptance) == pytest.approx(float(want), abs=1e-12)
        assert 0 <= float(found.gap) < 1e-12

    check()


def test_against_brute_force(method: int) -> None:
    rng = np.random.default_rng(4)
    for _ in range(25):
        size, n = int(rng.integers(5, 9)), int(rng.integers(2, 5))
        target, *drafters = rng.dirichlet(np.full(size, 0.5), n + 1)
        exact = [[Fraction(x) / sum(map(Fraction, law)) for x in law.tolist()] for law in (target, *drafters)]
        found = optimum(target, drafters, n, "independent")
        assert float(found.acceptance) == pytest.approx(float(brute_force(exact[0], exact[1:])), abs=1e-12)
        assert float(found.upper) == pytest.approx(float(found.acceptance), abs=1e-12), "the cut is worth the value"


@pytest.mark.parametrize("n", [2, 3])
def test_equal_drafters_are_iid_up_to_the_gap(n: int) -> None:
    rng = np.random.default_rng(6)
    for slope in (0.5, 1.5):
        logits = slope * rng.gumbel(size=600)
        draft, target = np.exp(logits), np.exp(logits + rng.normal(size=600))
        draft, target = draft / draft.sum(), target / target.sum()
        found = optimum(target, [draft] * n, n, "independent")
        want = float(optimum(target, draft, n).acceptance)
        assert -1e-13 <= float(found.acceptance) - want <= float(found.gap) + 1e-13
        assert float(found.gap) < 1e-4


def test_the_gap_encloses_the_optimum_when_the_search_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two orders instead of 200 some values are above the optimum, and each by no more than its gap."""
    rng = np.random.default_rng(7)
    rows = [rng.dirichlet(np.full(40, 0.4), 4) for _ in range(40)]
    exact = [float(optimum(row[0], list(row[1:]), 3, "independent").acceptance) for row in rows]
    monkeypatch.setattr(independent, "ROUNDS", 0)
    monkeypatch.setattr(independent, "SETTLED", 2.0)
    short = [optimum(row[0], list(row[1:]), 3, "independent") for row in rows]
    assert any(float(found.gap) > 1e-6 for found in short), "the search was cut short somewhere"
    for found, want in zip(short, exact, strict=True):
        assert -1e-12 <= float(found.acceptance) - want <= float(found.gap) + 1e-12


@pytest.mark.parametrize(("name", "value"), [("MARGIN", -1e-3), ("_gain", lambda before, more: more.prod(axis=0))])
def test_unsound_elimination_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    """Control: tokens that leave too early, and gains that forget the tokens already there, miss the minimum."""
    monkeypatch.setattr(independent, "ENUMERATED", 0)
    monkeypatch.setattr(independent, name, value)
    rng = np.random.default_rng(8)
    worst = 0.0
    for _ in range(60):
        target, *drafters = rng.dirichlet(np.full(6, 0.5), 4)
        exact = brute_force([Fraction(x) for x in target], [[Fraction(x) for x in q] for q in drafters])
        worst = max(worst, abs(float(optimum(target, drafters, 3, "independent").acceptance) - float(exact)))
    assert worst > 1e-6


def test_one_drafter_is_single_draft() -> None:
    target, draft = np.random.default_rng(9).dirichlet(np.ones(50), 2)
    found = optimum(target, [draft], 1, "independent")
    assert float(found.acceptance) == pytest.approx(np.minimum(target, draft).sum(), abs=1e-13)
    assert float(found.gap) == 0


def test_batches_and_libraries() -> None:
    torch = pytest.importorskip("torch")
    laws = np.random.default_rng(10).dirichlet(np.full(9, 0.5), (4, 2, 3))
    whole = optimum(laws[0], np.moveaxis(laws[1:], 0, -2), 3, "independent")
    listed = optimum(laws[0], list(laws[1:]), 3, "independent")
    assert whole.acceptance.shape == (2, 3)
    assert (whole.acceptance == listed.acceptance).all()
    assert whole.draft.shape == (2, 3, 3, 9)
    for place in np.ndindex(2, 3):
        alone = optimum(laws[0][place], [law[place] for law in laws[1:]], 3, "independent")
        assert float(alone.acceptance) == whole.acceptance[place]
    found = optimum(torch.from_numpy(laws[0]), [torch.from_numpy(law) for law in laws[1:]], 3, "independent")
    assert np.allclose(found.acceptance.numpy(), whole.acceptance, rtol=0, atol=1e-14)
    assert found.cut.numpy().tolist() == whole.cut.tolist()


@pytest.mark.parametrize(
    ("draft", "n", "message"),
    [
        ([[0.5, 0.5]], 2, "draft holds 1 laws; n is 2"),
        (np.full((3, 2), 0.5), 2, r"draft has shape \(3, 2\)"),
        ([[0.5, 0.5], [0.5, 0.6]], 2, r"draft: sums to 1\.1.*drafter 1"),
        ([[0.5, 0.5], [1.0]], 2, r"target has 2 tokens and draft 1.*drafter 1"),
        ([], 0, "n is 0"),
    ],
)
def test_bad_input_is_named(draft: object, n: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimum([0.5, 0.5], draft, n, "independent")


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 4])
def test_large_vocabulary(n: int) -> None:
    """The stated limit: at V = 32,000 the gap stays below 1e-5 within ROUNDS orders."""
    rng = np.random.default_rng(12)
    logits = 1.5 * rng.gumbel(size=32_000)
    laws = np.exp(logits + rng.normal(size=(n + 1, 32_000)))
    laws /= laws.sum(axis=1, keepdims=True)
    assert float(optimum(laws[0], list(laws[1:]), n, "independent").gap) < 1e-5
