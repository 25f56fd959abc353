"""The couplings: marginals, optimality, losslessness, identities, agreement with exact solvers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from proofs_tests import checks
from proofs_tests.laws import Instance, for_all, instances
from proofs_tests.transport import couplings
from proofs_tests.transport.couplings import CLOSE, FIXED, Problem, floats, fractions, optimal, problems
from specmath import draft_laws, rules
from specmath.transport import coupling, max_flow, optimum
from specmath.transport.levels import vectorised
from specmath.transport.selection import selection, water_levels


@pytest.mark.claim("coupling/optimal", "exact")
def test_the_marginal_reaches_the_optimum() -> None:
    for_all(problems(most=12, drafts=9), couplings.reaches_optimum(optimal), examples=350)


@pytest.mark.claim("coupling/optimal", "exact")
def test_the_marginal_is_reachable_by_max_flow() -> None:
    for_all(problems(most=4, drafts=3), couplings.is_reachable(optimal), examples=100)


@pytest.mark.claim("coupling/marginal", "exact")
@pytest.mark.claim("verify/optimal", "exact")
def test_selection_has_the_stated_marginal() -> None:
    for_all(problems(), couplings.selects_with_marginal(optimal), examples=200)


@pytest.mark.claim("coupling/uniform-scores", "exact")
@pytest.mark.claim("verify/optimal", "exact")
def test_partners_have_equal_needs() -> None:
    for_all(problems(), couplings.keeps_scores_uniform(optimal), examples=150)


def test_the_score_has_a_uniform_law_by_quadrature() -> None:
    """The midpoint rule with 4,001 points per token is off by less than 1e-3 (measured 1e-4)."""
    for problem in [((5, 1, 3), (1, 4, 2), 2), ((1, 2, 3, 4), (4, 3, 2, 2), 3), ((9, 1, 1, 1), (1, 1, 1, 4), 4)]:
        assert couplings.scores_have_uniform_law(optimal, problem, rounds=4001) < 1e-3


@settings(max_examples=100)
@given(problems(most=5, drafts=4))
def test_water_levels_are_those_of_fractions(problem: Problem) -> None:
    target, draft, n = fractions(problem[0]), fractions(problem[1]), problem[2]
    if n == 1:
        return
    found = coupling(floats(problem[0]), floats(problem[1]), n)
    exact = water_levels(target, draft, n)
    best = sum(min(p, r) for p, r in zip(target, exact, strict=True))
    assert abs(found.acceptance - float(best)) < CLOSE
    close = np.abs(found.marginal - np.array([float(r) for r in exact]))
    assert close.max() < 1e-9 or _tie(target, draft, n), "another marginal is only possible where several cuts are best"


def _tie(target: list[Fraction], draft: list[Fraction], n: int) -> bool:
    order = sorted((x for x in range(len(draft)) if draft[x]), key=lambda x: target[x] / draft[x])
    gains = [sum(draft[x] for x in order[:m]) ** n - sum(target[x] for x in order[:m]) for m in range(len(order) + 1)]
    return sorted(gains)[-2] > max(gains) - Fraction(1, 10**9)


@pytest.mark.parametrize("drafts", FIXED)
def test_fixed_tokens_select_with_the_stated_marginal(drafts: str) -> None:
    """Enumerated: every drafted tuple, every cell of the two uniforms that matter."""

    def check(instance: Instance) -> None:
        n = len(instance.parents)
        target, draft = (np.array(law(()), dtype=float) for law in (instance.target, instance.draft))
        for weight in (None, 0.0, 0.35, 1.0):
            plan = coupling(target, draft, n, drafts, weight=weight)
            goal = target if weight is None else weight * target
            cells = 400
            middles = (np.arange(cells) + 0.5) / cells
            seen = np.zeros(len(target))
            for tokens, probability in draft_laws.get(drafts).law(instance.draft(()), n).items():
                coins = np.full((cells, 2 * n), 0.5)
                kept = plan.selector.keep[tokens[-1]] if drafts == "greedy" else 0.0  # type: ignore[attr-defined]
                if drafts == "hub":
                    kept = max(plan.selector.keep[token] for token in tokens if token != plan.selector.top)  # type: ignore[attr-defined]
                for share, coin in ((float(kept), 0.0), (1 - float(kept), 1 - 2.0**-53)):
                    if share <= 0:
                        continue
                    coins[:, 0], coins[:, 2 * n - 1] = (middles, coin) if n > 1 or drafts == "top_k" else (coin, coin)
                    chosen = np.array(tokens)[plan.select(np.tile(tokens, (cells, 1)), coins)]
                    seen += float(probability) * share * np.bincount(chosen, minlength=len(target)) / cells
            assert np.abs(seen - plan.marginal).max() < n / cells
            assert abs(plan.marginal.sum() - 1) < CLOSE
            assert abs(plan.gap) < CLOSE
            assert abs(plan.acceptance - np.minimum(goal, plan.marginal).sum()) < CLOSE

    for_all(instances("optimal", drafts, paths=60), check, examples=40)


@pytest.mark.parametrize("drafts", ["iid", *FIXED])
def test_acceptance_is_that_of_max_flow(drafts: str) -> None:
    def check(instance: Instance) -> None:
        n, target, draft = len(instance.parents), instance.target(()), instance.draft(())
        exact = max_flow(target, draft_laws.get(drafts).law(draft, n)).acceptance
        found = coupling(np.array(target, dtype=float), np.array(draft, dtype=float), n, drafts)
        assert abs(float(exact) - found.acceptance) < CLOSE
        judge = selection(tuple(target), tuple(draft), n, drafts)
        assert sum(min(p, r) for p, r in zip(target, judge.marginal, strict=True)) == exact

    for_all(instances("optimal", drafts, paths=60), check, examples=60)


@settings(max_examples=60)
@given(problems(most=6))
def test_weights_are_a_symbol_that_is_never_drafted(problem: Problem) -> None:
    target, draft, n = floats(problem[0]), floats(problem[1]), problem[2]
    for weight in (0.0, 0.25, 0.8, 1.0):
        found = coupling(target, draft, n, weight=weight)
        longer = coupling(np.append(weight * target, 1 - weight), np.append(draft, 0.0), n)
        assert abs(found.acceptance - longer.acceptance) < CLOSE
        assert found.marginal.shape == target.shape
        assert abs(found.marginal.sum() - 1) < CLOSE
        assert abs(found.gap) < CLOSE
        verdict = found.verify(
            np.full((50, n), np.argmax(draft)), np.linspace(0, 0.999, 50)[:, None] * np.ones(2 * n + 2)
        )
        assert ((verdict.tokens >= 0) & (verdict.tokens <= len(target))).all()
        assert ((verdict.tokens < len(target)) | (weight < 1)).all()


@settings(max_examples=60)
@given(problems(most=6))
def test_identities(problem: Problem) -> None:
    """n = 1 is the single draft; more drafts never hurt; names of tokens do not matter; distinct drafts beat iid."""
    target, draft, n = floats(problem[0]), floats(problem[1]), problem[2]
    one = coupling(target, draft, 1)
    np.testing.assert_array_equal(one.marginal, draft / draft.sum())
    assert abs(one.acceptance - np.minimum(target, draft).sum()) < CLOSE
    found = coupling(target, draft, n)
    assert coupling(target, draft, n + 1).acceptance > found.acceptance - CLOSE
    turned = coupling(target[::-1].copy(), draft[::-1].copy(), n)
    assert np.abs(turned.marginal[::-1] - found.marginal).max() < CLOSE
    if n <= (draft > 0).sum():
        assert optimum(target, draft, n, "without_replacement").acceptance > found.acceptance - 1e-10
    if (draft > 0).sum() > 1:
        pair = coupling(target, draft, 2, "greedy")
        assert abs(pair.acceptance - coupling(target, draft, 2, "hub").acceptance) < CLOSE
        assert abs(pair.acceptance - float(rules.get("spechub").acceptance(target, draft, 2))) < CLOSE


def extremes() -> list[tuple[Any, Any]]:
    tiny = np.array([1e-18, 1e-200, 5e-324, 1.0])
    return [
        ([1.0], [1.0]),
        ([1.0, 0.0], [0.0, 1.0]),
        ([1.0, 0.0], [1.0, 0.0]),
        ([0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]),
        ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
        ([0.25] * 4, tiny),
        (tiny, [0.25] * 4),
        ([0.5, 0.5, 0.0], [1e-17, 0.5, 0.5]),
    ]


@pytest.mark.parametrize(("target", "draft"), extremes())
@pytest.mark.parametrize("n", [1, 2, 3, 16])
def test_extreme_laws(target: Any, draft: Any, n: int) -> None:
    target, draft = np.array(target), np.array(draft)
    found = coupling(target, draft, n)
    assert abs(found.marginal.sum() - 1) < CLOSE
    assert abs(found.gap) < CLOSE
    assert abs(found.acceptance - optimum(target, draft, n).acceptance) < CLOSE
    corners = np.random.default_rng(0).choice([0.0, 0.5, checks.BEFORE_ONE], size=(200, 2 * n + 2))
    for token in np.flatnonzero(draft > 0):
        verdict = found.verify(np.full((200, n), token), corners)
        assert (target[verdict.tokens] > 0).all(), "a token the target never emits"


@pytest.mark.parametrize("rest", [1e-3, 1e-9, 4e-16])
def test_peaked_drafts(rest: float) -> None:
    """Selection keeps its marginal, and the emitted law is the target's, however peaked the draft."""
    target = np.array([0.4, 0.3, 0.2, 0.1])
    draft = np.array([0.5 * rest, 1 - rest, 0.2 * rest, 0.3 * rest])
    for n in (2, 3, 5):
        for drafts in ["iid", "greedy", "top_k"] if n <= 4 else ["iid"]:
            found = coupling(target, draft, n, drafts)
            assert abs(found.marginal.sum() - 1) < CLOSE
            assert abs(found.gap) < CLOSE
            kept = np.minimum(target, found.marginal)
            rest_law = np.maximum(target - found.marginal, 0)
            emitted = kept + (1 - kept.sum()) * rest_law / max(rest_law.sum(), 1e-300)
            np.testing.assert_allclose(emitted, target, atol=CLOSE)
        weights = ((4, 3, 2, 1), tuple(round(x * 10**18) for x in draft), n)
        couplings.selects_with_marginal(optimal)(weights)
        couplings.keeps_scores_uniform(optimal)(weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.5], [0.5, 0.5], 0), "n is 0"),
        (([0.5, float("nan")], [0.5, 0.5], 2), r"target: entry \[1\] is nan"),
        (([0.5, 0.5], [1.5, -0.5], 2), r"draft: entry \[1\] is -0.5"),
        (([0.5, 0.4], [0.5, 0.5], 2), "target: sums to 0.9"),
        (([0.5, 0.5], [0.5, 0.5], 2, "other"), "drafts is 'other'"),
        (([0.5, 0.5], [1.0, 0.0], 2, "greedy"), "n is 2"),
    ],
)
def test_bad_input(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coupling(*arguments)


@pytest.mark.parametrize("weight", [-0.1, 1.5, float("nan"), [0.5, 0.5]])
def test_bad_weights(weight: Any) -> None:
    with pytest.raises(ValueError, match="weight"):
        coupling([0.5, 0.5], [0.5, 0.5], 2, weight=weight)


def large(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = generator.gumbel(size=size) * 2
    laws = [np.exp(logits), np.exp(logits + generator.normal(size=size))]
    return laws[0] / laws[0].sum(), laws[1] / laws[1].sum()


@pytest.mark.parametrize("n", [2, 3, 8])
def test_a_large_vocabulary(n: int) -> None:
    """Stated error at V tokens: V eps for the sum of the marginal and the gap (measured: a few hundred eps)."""
    size = 20_000
    target, draft = large(size, n)
    found = coupling(target, draft, n)
    error = size * np.finfo(float).eps
    assert abs(found.marginal.sum() - 1) < error
    assert abs(found.gap) < error
    picked = np.random.default_rng(0).integers(0, size, 4000)
    position, partner, chance = found.selector.swap(picked, np.random.default_rng(1).random(4000))  # type: ignore[attr-defined]
    mean = n * ((1 - chance) * position ** (n - 1) + chance * partner ** (n - 1))
    assert np.abs(mean - found.marginal[picked] / draft[picked]).max() < 1e-9
    assert ((chance > -1e-9) & (chance < 1 + 1e-9)).all()
    general = vectorised(target, draft, n)
    np.testing.assert_allclose(general.ratio * draft, found.marginal, atol=error)
    np.testing.assert_allclose(general.lifts, found.selector.lifts, atol=10 * error)  # type: ignore[attr-defined]


@settings(max_examples=100)
@given(problems())
def test_float32_levels_are_those_of_float64(problem: Problem) -> None:
    """The marginal moves by at most some fifty float32 roundings (6e-8 each), also where the optimum is 1."""
    target, draft, n = floats(problem[0]), floats(problem[1]), problem[2]
    want = vectorised(target, draft, n).ratio * draft
    found = vectorised(target.astype(np.float32), draft.astype(np.float32), n).ratio * draft
    assert np.abs(found - want).max() < 3e-6 * n or n == 1


def shown(drafts: str, n: int) -> tuple[list[np.ndarray], Any]:
    """Laws (20, 9), tokens, uniforms and weights; and the verdict of numpy, row by row."""
    generator = np.random.default_rng(n)
    target, draft = generator.dirichlet(np.ones(9) * 0.4, 20), generator.dirichlet(np.ones(9), 20)
    law = draft_laws.get(drafts)
    tokens = law.sample(draft, n, generator.random((20, max(1, law.uniforms(n)))))
    arrays = [target, draft, tokens, generator.random((20, 2 * n + 2)), generator.random(20)]
    verdicts = [coupling(p, q, n, drafts, weight=w).verify(x, u) for p, q, x, u, w in zip(*arrays, strict=True)]
    return arrays, [np.array(column) for column in zip(*verdicts, strict=True)]


@pytest.mark.parametrize(("drafts", "n"), [("iid", 1), ("iid", 2), ("iid", 5), ("greedy", 3), ("hub", 2), ("top_k", 3)])
@pytest.mark.parametrize("library", ["numpy", "torch", "array_api_strict"])
def test_libraries_and_batches_agree(library: str, drafts: str, n: int) -> None:
    arrays, want = shown(drafts, n)
    target, draft, tokens, uniforms, weight = (pytest.importorskip(library).asarray(array) for array in arrays)
    verdict = coupling(target, draft, n, drafts, weight=weight).verify(tokens, uniforms)
    for found, expected in zip(verdict, want, strict=True):
        np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize(("drafts", "n"), [("iid", 2), ("hub", 2)])
def test_jit_and_pytrees(drafts: str, n: int) -> None:
    """Without x64, in float32: the marginal to 1e-5, and a coupling crosses the border of a jitted function."""
    jax = pytest.importorskip("jax")
    arrays, want = shown(drafts, n)
    target, draft, tokens, uniforms, weight = map(jax.numpy.asarray, arrays)
    plan = jax.jit(lambda p, q, w: coupling(p, q, n, drafts, weight=w))(target, draft, weight)
    exact = coupling(arrays[0], arrays[1], n, drafts, weight=arrays[4])
    np.testing.assert_allclose(plan.marginal, exact.marginal, atol=1e-5)
    verdict = jax.jit(lambda c, x, u: c.verify(x, u))(plan, tokens, uniforms)
    assert (np.asarray(verdict.tokens) != want[0]).sum() <= 1
    rows = jax.vmap(lambda p, q: coupling(p, q, n, drafts).marginal)(target, draft)
    np.testing.assert_allclose(rows, coupling(arrays[0], arrays[1], n, drafts).marginal, atol=1e-5)


def test_many_rounds_of_one_context() -> None:
    """Tokens may have leading axes that the laws lack."""
    arrays, _ = shown("iid", 3)
    target, draft = arrays[0][0], arrays[1][0]
    plan = coupling(target, draft, 3)
    generator = np.random.default_rng(0)
    tokens, uniforms = generator.integers(0, 9, (4, 5, 3)), generator.random((4, 5, 8))
    whole = plan.verify(tokens, uniforms)
    for place in np.ndindex(4, 5):
        one = plan.verify(tokens[place], uniforms[place])
        assert (int(one.tokens), int(one.accepted)) == (int(whole.tokens[place]), int(whole.accepted[place]))


def test_the_leftover_is_drawn_by_inversion() -> None:
    """Every block and every cell: the share of uniforms that give a token is its residual mass."""
    target, draft = large(1000, 1)
    plan = coupling(target, draft, 2, weight=0.9)
    points = 200_000
    drawn = plan.leftover.draw((np.arange(points) + 0.5) / points)
    rest = np.append(np.maximum(0.9 * target - plan.marginal, 0), 0.1)
    np.testing.assert_allclose(np.bincount(drawn, minlength=1001) / points, rest / rest.sum(), atol=2 / points)
