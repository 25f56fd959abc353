"""`optimum` on arrays: batches, libraries, jit, and bad input."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specmath import acceptance, draft_laws, exact, optimum, rules
from specmath.transport import max_flow

LAWS = np.random.default_rng(0).dirichlet(np.full(7, 0.4), (2, 3, 5))
TARGET, DRAFT = LAWS[0], LAWS[1]
CASES = [(name, 2) for name in draft_laws.names()] + [("iid", 5), ("without_replacement", 4), ("greedy", 3)]


@pytest.mark.parametrize(("drafts", "n"), CASES)
def test_a_batch_is_its_rows(drafts: str, n: int) -> None:
    whole = optimum(TARGET, DRAFT, n, drafts)
    assert whole.acceptance.shape == (3, 5)
    assert whole.cut.shape == TARGET.shape
    for place in np.ndindex(3, 5):
        alone = optimum(TARGET[place], DRAFT[place], n, drafts)
        assert alone.acceptance == pytest.approx(whole.acceptance[place], abs=1e-13)
        assert (alone.cut == whole.cut[place]).all()


@pytest.mark.parametrize(("drafts", "n"), CASES)
def test_torch_equals_numpy(drafts: str, n: int) -> None:
    torch = pytest.importorskip("torch")
    found = optimum(torch.from_numpy(TARGET), torch.from_numpy(DRAFT), n, drafts)
    assert np.allclose(found.acceptance.numpy(), optimum(TARGET, DRAFT, n, drafts).acceptance, rtol=0, atol=1e-13)


@pytest.mark.parametrize("drafts", ["iid", "greedy", "top_k", "hub"])
def test_jax_under_jit_and_vmap(drafts: str) -> None:
    """Without jax's x64 flag, arithmetic is float32: 7 tokens leave errors of a few 1e-7; 1e-5 is allowed."""
    jax = pytest.importorskip("jax")
    want = optimum(TARGET, DRAFT, 2, drafts).acceptance
    target, draft = jax.numpy.asarray(TARGET), jax.numpy.asarray(DRAFT)
    jitted = jax.jit(lambda p, q: optimum(p, q, 2, drafts))(target, draft)
    assert np.allclose(jitted.acceptance, want, rtol=0, atol=1e-5)
    mapped = jax.vmap(jax.vmap(lambda p, q: optimum(p, q, 2, drafts).acceptance))(target, draft)
    assert np.allclose(mapped, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_distinct_drafts_under_jit_and_vmap(n: int) -> None:
    """Closed forms for n <= 2; from n = 3 on jax calls back to the host. float32 as above."""
    jax = pytest.importorskip("jax")
    want = optimum(TARGET, DRAFT, n, "without_replacement")
    target, draft = jax.numpy.asarray(TARGET), jax.numpy.asarray(DRAFT)
    jitted = jax.jit(lambda p, q: optimum(p, q, n, "without_replacement"))(target, draft)
    assert np.allclose(jitted.acceptance, want.acceptance, rtol=0, atol=1e-5)
    assert jitted.cut.shape == want.cut.shape
    mapped = jax.vmap(jax.vmap(lambda p, q: optimum(p, q, n, "without_replacement").acceptance))(target, draft)
    assert np.allclose(mapped, want.acceptance, rtol=0, atol=1e-5)


def test_entries_that_are_no_numbers_are_named_in_batches() -> None:
    """The fast check looks at smallest entries and sums only; the slow one then finds the place."""
    for wrong, place in ((float("inf"), (1, 0)), (float("nan"), (0, 1)), (-0.25, (1, 1))):
        laws = np.full((2, 2), 0.5)
        laws[place] = wrong
        with pytest.raises(ValueError, match=rf"draft: entry \[{place[0]}, {place[1]}\] is {wrong}"):
            optimum(np.full((2, 2), 0.5), laws, 2)


@pytest.mark.parametrize("name", [*rules.names("node"), "optimum"])
def test_leading_axes_broadcast(name: str) -> None:
    """One target against many drafts, and many targets against one draft, are as if the one had been repeated."""
    n = 1 if name == "single" else 2

    def value(target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        if name == "optimum":
            return optimum(target, draft, n, "without_replacement").acceptance
        return acceptance(name, target, draft, n).values

    one, many = TARGET[0, 0], DRAFT[0]
    assert np.allclose(value(one, many), value(np.tile(one, (5, 1)), many), rtol=0, atol=1e-13)
    assert np.allclose(value(many, one), value(many, np.tile(one, (5, 1))), rtol=0, atol=1e-13)


def test_never_drafted_tokens_belong_to_no_cut() -> None:
    found = optimum([0.0, 0.5, 0.5, 0.0], [0.0, 0.9, 0.1, 0.0], 2)
    assert found.cut.tolist() == [False, True, False, False]
    assert float(found.acceptance) == pytest.approx(1 + 0.5 - 0.81)


@pytest.mark.parametrize("drafts", ["iid", "without_replacement"])
def test_unwanted_and_undrafted_tokens_stay_outside_the_cut(drafts: str) -> None:
    """Tokens with target and draft probability zero tie with every prefix; none is ever in the cut."""
    found = optimum([0.0, 0.2, 0.8, 0.0], [0.0, 0.7, 0.3, 0.0], 2, drafts)
    assert not found.cut[[0, 3]].any()


@pytest.mark.parametrize("drafts", draft_laws.names())
def test_no_contexts_have_no_values(drafts: str) -> None:
    assert optimum(np.zeros((0, 3)), np.zeros((0, 3)), 2, drafts).acceptance.shape == (0,)


PEAKS = [1e-6, 1e-12, 1e-17, 1e-31, 1e-40, 1e-100, 1e-300]


@pytest.mark.parametrize("rest", PEAKS)
@pytest.mark.parametrize("drafts", ["iid", "without_replacement", "greedy", "hub"])
def test_peaked_drafts_against_exact_flow(drafts: str, rest: float) -> None:
    """All but one draft token are that rare: the optimum and every formula, held against Fractions."""
    small = Fraction(rest)
    draft = [1 - 3 * small, small, 2 * small]
    target = [Fraction(1, 6), Fraction(1, 2), Fraction(1, 3)]
    law = draft_laws.get(drafts)
    floats = [float(p) for p in target], [float(q) for q in draft]
    best = float(max_flow(target, law.law(draft, 2)).acceptance)
    assert float(optimum(*floats, 2, drafts).acceptance) == pytest.approx(best, rel=1e-9)
    for name in rules.names("node"):
        rule = rules.get(name)
        if drafts in rule.drafts and rule.at_most != 1:
            rule = rule.under(drafts)

            def hit(chance: exact.Chance, rule: rules.Rule = rule) -> bool:
                tokens = law.program(chance, draft, 2)
                return rule.program(chance, target, draft, tokens) in tokens

            found = acceptance(rule, *floats, 2, drafts)
            if found.method == "formula":
                assert float(found.values) == pytest.approx(float(exact.law(hit)[True]), rel=1e-9)


@settings(max_examples=60)
@given(st.data())
def test_formulas_stay_between_zero_and_the_optimum(data: st.DataObject) -> None:
    masses = st.lists(st.sampled_from([0, 5e-324, 1e-300, 1e-38, 1e-20, 1e-16, 1e-9, 0.1, 1]), min_size=4, max_size=4)
    target, draft = (np.array(data.draw(masses.filter(any))) for _ in range(2))
    target, draft, n = target / target.sum(), draft / draft.sum(), data.draw(st.integers(1, 3))
    for drafts in draft_laws.names():
        if draft_laws.get(drafts).needs(n, int((draft > 0).sum())):
            continue
        best = float(optimum(target, draft, n, drafts).acceptance)
        assert -1e-12 <= best <= 1 + 1e-12
        for name in rules.names("node"):
            rule = rules.get(name)
            if drafts not in rule.drafts or not rule.at_least <= n <= (rule.at_most or n) or rule.formula is None:
                continue
            found = rule.formula(target, draft, n, drafts)
            assert found is None or -1e-12 <= float(found) <= best + 1e-9, (name, drafts, n)


@pytest.mark.parametrize("drafts", ["iid", "without_replacement"])
def test_equal_and_disjoint_laws(drafts: str) -> None:
    law = [0.25, 0.25, 0.5, 0.0]
    assert float(optimum(law, law, 2, drafts).acceptance) == pytest.approx(1.0)
    assert float(optimum([0.0, 0.0, 0.0, 1.0], law, 2, drafts).acceptance) == pytest.approx(0.0, abs=1e-15)


def test_tiny_masses_keep_their_order() -> None:
    """Q({0, 1}) = 1/2 although everything but token 0 has mass 1e-12: no cancellation in the race."""
    members = np.array([True, True, False])
    law = np.array([1 - 2e-12, 1e-12, 1e-12])
    assert draft_laws.get("without_replacement").inside(law, 2, members) == pytest.approx(0.5, abs=1e-9)


def test_correction_is_recorded() -> None:
    assert optimum(np.array([0.5, 0.5 + 5e-10]), [0.5, 0.5], 1).correction == pytest.approx(5e-10, rel=1e-3)
    with pytest.raises(ValueError, match=r"target: sums to 1\.00000001; allowed is 1 within 1e-09"):
        optimum(np.array([0.5, 0.5 + 1e-8]), [0.5, 0.5], 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((TARGET, DRAFT, 0), "n is 0; allowed are whole numbers >= 1"),
        ((TARGET, DRAFT, 2, "sorted"), "drafts is 'sorted'; allowed are 'iid'"),
        ((TARGET, DRAFT, 8, "top_k"), "takes n distinct tokens; the draft has only 7"),
        (([0.5, 0.5], [1.0, 0.0], 2, "without_replacement"), "only 1 possible tokens"),
        (([[0.5, 0.5]] * 2, [[0.5, 0.5], [1.0, 0.0]], 2, "greedy"), r"\(context 1\)"),
        (([0.5, 0.5], [0.5, 0.25, 0.25], 1), "target has 2 tokens and draft 3"),
        (([float("nan"), 1.0], [0.5, 0.5], 1), r"target: entry \[0\] is nan"),
        (([0.5, 0.5], [-0.5, 1.5], 1), r"draft: entry \[0\] is -0.5"),
        (([0.5, 0.5], "ab", 1), "draft: dtype <U2 is not numeric"),
    ],
)
def test_bad_input_is_named(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimum(*arguments)


def test_monte_carlo_states_its_error() -> None:
    """Three drafts without replacement have no formula; the stated error falls like 1 / sqrt(replicates).

    That the estimate is unbiased is proved by enumeration elsewhere (acceptance given the drafts, proofs_tests/exact).
    Two estimates of 15 contexts differ by six joint errors with probability below 15 * 2e-9.
    """
    few = acceptance("recursive_without_replacement", TARGET, DRAFT, 3, replicates=64)
    many = acceptance("recursive_without_replacement", TARGET, DRAFT, 3, replicates=1024)
    assert few.method == "monte-carlo"
    row = TARGET[0, 0], DRAFT[0, 0]
    played = [acceptance("recursive_without_replacement", *row, 3, seed=s, replicates=64).values for s in range(200)]
    # 200 values give their deviation to 5 %, the stated error itself scatters by 10 %: 45 % is four of both together.
    assert few.standard_error[0, 0] == pytest.approx(np.std(played), rel=0.45)
    ratio = np.mean(many.standard_error) / np.mean(few.standard_error)
    assert 0.2 < ratio < 0.32  # 1/4 up to the scatter of 15 estimated errors
    assert (np.abs(few.values - many.values) <= 6 * np.hypot(few.standard_error, many.standard_error) + 1e-12).all()
    with pytest.raises(ValueError, match="replicates is 1"):
        acceptance("recursive_without_replacement", TARGET, DRAFT, 3, replicates=1)
    with pytest.raises(ValueError, match="acceptance is defined for node rules"):
        acceptance("block", TARGET, DRAFT, 3)
