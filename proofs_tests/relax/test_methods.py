"""Every relaxation against its judge, with its certificate, on every array library."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest

from proofs_tests.laws import KINDS, Weights, law, pair
from proofs_tests.packaging.sources import ROOT
from proofs_tests.relax import judges
from specmath import acceptance, relax, rules

PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "total_variation": [{"budget": 0.0}, {"budget": 0.07}, {"budget": 1.0}],
    "mentored": [{"budget": 0.0}, {"budget": 0.03}, {"budget": 3.0}],
    "lenience": [{"factor": 1.0}, {"factor": 0.6}, {"factor": 0.05}],
    "typical": [{"epsilon": 0.09, "delta": 0.3}, {"epsilon": 0.5, "delta": 0.9}, {"epsilon": 0.0, "delta": 0.5}],
    "cascade_opt": [{"alpha": -1.0}, {"alpha": 0.0}, {"alpha": 0.5}],
    "cascade_token": [{"alpha": 0.0}, {"alpha": 0.4}, {"alpha": 1.0}],
}
CASES = [(name, number) for name in relax.names() for number in range(3)]
FEW = [pytest.param(name, PARAMETERS[name][1], id=name) for name in relax.names()]


def instances(seed: str, count: int = 60) -> list[tuple[Weights, Weights]]:
    """Targets and drafts of two to five tokens, of every kind: zeros, ties, one-hot laws, disjoint supports."""
    random = Random(seed)
    return [pair(random.randint, KINDS[i % len(KINDS)], random.randint(2, 5), 1) for i in range(count)]


def floats(*laws: Weights) -> list[np.ndarray]:
    return [np.array([float(x) for x in one]) for one in laws]


def test_every_file_is_registered() -> None:
    """A file with a RELAXATION that is not in the registry would never be tested."""
    found = {}
    for path in sorted((ROOT / "specmath" / "relax").glob("*.py")):
        module = importlib.import_module(f"specmath.relax.{path.stem}") if path.stem != "__init__" else relax
        if hasattr(module, "RELAXATION"):
            found[module.RELAXATION.name] = module.RELAXATION
    assert found == {name: relax.get(name) for name in relax.names()}
    for one in found.values():
        assert one.source
        assert one.purpose


def test_the_cases_cover_the_registry() -> None:
    assert set(PARAMETERS) == set(relax.names())
    assert set(judges.ALGORITHMS) == set(relax.names()) - {"total_variation", "mentored"}


@pytest.mark.parametrize(("name", "number"), [case for case in CASES if case[0] in judges.ALGORITHMS])
def test_law_is_what_the_algorithm_emits(name: str, number: int) -> None:
    """Parameters are read as fractions too, so that comparisons at a threshold are the same ones."""
    parameters = PARAMETERS[name][number]
    rational = {key: Fraction(value).limit_denominator(100) for key, value in parameters.items()}
    for target, draft in instances(name):
        top = max(target)
        if name == "cascade_token" and any(p == (1 - rational["alpha"]) * top for p in target if p != top):
            continue  # a tie at the threshold is decided by rounding
        if name == "cascade_opt":
            apart = sum(max(q - p, Fraction(0)) for p, q in zip(target, draft, strict=True))
            if max(draft) == top - rational["alpha"] * apart and target != draft:
                continue
        want = judges.emitted(name, target, draft, rational)
        found = relax.get(name).relax(*floats(target, draft), **parameters).law
        np.testing.assert_allclose(found, [float(x) for x in want], atol=1e-12, rtol=0)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_certificate_is_that_of_the_law(name: str, number: int) -> None:
    for target, draft in instances(f"certificate {name}", 24):
        found = relax.get(name).relax(*floats(target, draft), **PARAMETERS[name][number])
        assert found.law.sum() == pytest.approx(1, abs=1e-12)
        assert (found.law >= 0).all()
        p = floats(target)[0]
        assert float(found.total_variation) == pytest.approx(math.fsum(abs(p - found.law)) / 2, abs=1e-14)
        for value, first, second in ((found.kl, p, found.law), (found.reverse_kl, found.law, p)):
            want = judges.divergence(first.tolist(), second.tolist())
            assert float(value) == pytest.approx(want, abs=1e-12)
            assert value >= 0
        assert found.method == name


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("total_variation", {"budget": 0.0}),
        ("mentored", {"budget": 0.0}),
        ("lenience", {"factor": 1.0}),
        ("typical", {"delta": 0.0}),
    ],
)
def test_strict_limit_is_the_target(name: str, parameters: dict[str, Any]) -> None:
    for target, draft in instances(f"strict {name}", 30):
        found = relax.get(name).relax(*floats(target, draft), **parameters)
        np.testing.assert_allclose(found.law, floats(target)[0], atol=1e-14)


BUDGETS = (0.0, 1e-17, 1e-16, 1e-15, 1e-14, 1e-12, 1e-9, 1e-4, 0.03, 0.4, 1.0)


def over_budget(found: np.ndarray, target: np.ndarray, budget: float) -> bool:
    """Without rounding: the floats as fractions."""
    apart = sum(abs(Fraction(p) - Fraction(x)) for p, x in zip(target.tolist(), found.tolist(), strict=True))
    return apart > 2 * Fraction(budget)


def test_a_total_variation_budget_is_never_exceeded() -> None:
    """Also not by the rounding of the relaxed law's entries, which does not fall with the budget."""
    random = np.random.default_rng(7)
    for size in (2, 3, 5, 12, 60):
        targets, drafts = random.dirichlet(np.full(size, 0.5), (2, 40))
        for budget in BUDGETS:
            relaxed = relax.get("total_variation").relax(targets, drafts, budget=budget)
            scaled = targets / targets.sum(axis=-1, keepdims=True)
            assert (relaxed.total_variation <= budget).all()
            assert not any(over_budget(x, p, budget) for x, p in zip(relaxed.law, scaled, strict=True))
            reached = np.minimum(budget, np.abs(scaled - drafts).sum(axis=-1) / 2)
            np.testing.assert_allclose(relaxed.total_variation, reached, atol=1e-15, rtol=1e-13)


def test_a_margin_relative_to_the_budget_is_seen() -> None:
    """Control: what the mixture did when only its share was made smaller by 4 eps."""
    random = np.random.default_rng(7)
    targets, drafts = random.dirichlet(np.full(12, 0.5), (2, 40))
    share = 1e-12 / (np.abs(targets - drafts).sum(axis=-1, keepdims=True) / 2) * (1 - 4 * np.finfo(float).eps)
    found = (1 - share) * targets + share * drafts
    assert any(over_budget(x, p, 1e-12) for x, p in zip(found, targets, strict=True))


@pytest.mark.parametrize("name", ["lenience"])
def test_lenience_bounds_every_token(name: str) -> None:
    for target, draft in instances("bound"):
        found = relax.get(name).relax(*floats(target, draft), factor=0.4)
        assert (found.law <= floats(target)[0] / 0.4 + 1e-15).all()


@pytest.mark.parametrize(("name", "parameters"), FEW)
@pytest.mark.parametrize(("rule", "n"), [("single", 1), ("recursive", 2), ("k_seq", 2), ("greedy", 2)])
def test_a_lossless_rule_emits_the_relaxed_law(name: str, parameters: dict[str, Any], rule: str, n: int) -> None:
    """By enumeration of everything the round can do, in float64."""
    done = 0
    for target, draft in instances(f"{name} {rule}", 12):
        if rule == "greedy" and sum(q > 0 for q in draft) < n:
            continue
        relaxed = relax.get(name).relax(*floats(target, draft), **parameters).law.tolist()
        found = rules.round_law(
            rules.get(rule), lambda _, law=relaxed: law, lambda _, law=draft: [float(q) for q in law], [-1] * n
        )
        np.testing.assert_allclose([found.get((x,), 0.0) for x in range(len(target))], relaxed, atol=1e-12, rtol=0)
        done += 1
    assert done > 3


@pytest.mark.parametrize("name", ["total_variation", "mentored", "lenience"])
def test_looser_parameters_accept_more(name: str) -> None:
    steps: Callable[[int], dict[str, float]] = {
        "total_variation": lambda i: {"budget": 0.1 * i},
        "mentored": lambda i: {"budget": 0.1 * i},
        "lenience": lambda i: {"factor": 1 - 0.15 * i},
    }[name]
    for target, draft in instances(f"monotone {name}", 8):
        p, q = floats(target, draft)
        values = [
            float(acceptance("single", relax.get(name).relax(p, q, **steps(i)).law, q, 1).values) for i in range(6)
        ]
        assert all(later >= earlier - 1e-12 for earlier, later in pairwise(values))


BATCH = np.random.default_rng(1).dirichlet(np.full(9, 0.4), (2, 3, 4))


@pytest.mark.parametrize(("name", "parameters"), FEW)
def test_a_batch_is_its_rows(name: str, parameters: dict[str, Any]) -> None:
    whole = relax.get(name).relax(BATCH[0], BATCH[1], **parameters)
    for place in np.ndindex(3, 4):
        alone = relax.get(name).relax(BATCH[0][place], BATCH[1][place], **parameters)
        np.testing.assert_allclose(whole.law[place], alone.law, atol=1e-13)
        for field in ("total_variation", "kl", "reverse_kl"):
            np.testing.assert_allclose(getattr(whole, field)[place], getattr(alone, field), atol=1e-13)


@pytest.mark.parametrize(("name", "parameters"), FEW)
def test_torch_equals_numpy(name: str, parameters: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    found = relax.get(name).relax(torch.from_numpy(BATCH[0]), torch.from_numpy(BATCH[1]), **parameters)
    want = relax.get(name).relax(BATCH[0], BATCH[1], **parameters)
    for field in ("law", "total_variation", "kl", "reverse_kl"):
        np.testing.assert_allclose(getattr(found, field).numpy(), getattr(want, field), atol=1e-12)


@pytest.mark.parametrize(("name", "parameters"), FEW)
def test_jax_under_jit(name: str, parameters: dict[str, Any]) -> None:
    """Without the x64 flag jax computes in float32: laws agree to 1e-5, and so do finite divergences."""
    jax = pytest.importorskip("jax")
    found = jax.jit(lambda p, q: relax.get(name).relax(p, q, **parameters))(*map(jax.numpy.asarray, BATCH))
    want = relax.get(name).relax(BATCH[0], BATCH[1], **parameters)
    np.testing.assert_allclose(found.law, want.law, atol=1e-5)
    np.testing.assert_allclose(found.total_variation, want.total_variation, atol=1e-5)
    np.testing.assert_allclose(found.kl, want.kl, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("mentored", {}, "relaxation 'mentored' needs the parameter 'budget'"),
        ("mentored", {"budget": -0.1}, "budget is -0.1; allowed are finite numbers >= 0"),
        ("mentored", {"budget": math.nan}, "budget is nan"),
        ("mentored", {"budget": "0.1"}, "budget is '0.1'"),
        ("mentored", {"budget": True}, "budget is True"),
        ("mentored", {"epsilon": 1}, "has no parameter 'epsilon'; allowed are 'budget'"),
        ("total_variation", {"budget": 1.5}, "budget is 1.5; allowed are numbers from 0 to 1"),
        ("total_variation", {"budget": 0.1, "n": 0}, "n is 0"),
        ("total_variation", {"budget": 0.1, "drafts": "sorted"}, "drafts is 'sorted'"),
        ("lenience", {"factor": 0.0}, "factor is 0.0; allowed are numbers above 0 up to 1"),
        ("lenience", {"factor": 1.01}, "factor is 1.01"),
        ("lenience", {"factor": 10**400}, r"factor is 1000+\.\.\.0+; allowed are numbers above 0 up to 1"),
        ("mentored", {"budget": 10**400}, r"budget is 1000+\.\.\.0+; allowed are finite numbers >= 0"),
        ("cascade_opt", {"alpha": -(10**400)}, r"alpha is -1000+"),
        ("cascade_opt", {"alpha": [0.1]}, r"alpha is \[0\.1\]"),
        ("total_variation", {"budget": 0.1, "drafts": ["iid"]}, r"drafts is \['iid'\]; allowed are 'iid'"),
        ("typical", {"delta": 1.0}, "delta is 1.0"),
        ("typical", {"epsilon": -1}, "epsilon is -1"),
        ("cascade_token", {"alpha": 1.1}, "alpha is 1.1"),
        ("cascade_opt", {"alpha": math.inf}, "alpha is inf"),
    ],
)
def test_parameters_out_of_range(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        relax.get(name).relax([0.5, 0.5], [0.25, 0.75], **parameters)


def test_other_bad_input() -> None:
    with pytest.raises(ValueError, match="allowed are 'total_variation', 'mentored'"):
        relax.get("hope")
    with pytest.raises(ValueError, match=r"relaxation is \['mentored'\]; allowed are 'total_variation'"):
        relax.get(["mentored"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="relaxation 'mentored' needs the draft"):
        relax.get("mentored").relax([0.5, 0.5], budget=0.1)
    with pytest.raises(ValueError, match=r"target: sums to 0\.9"):
        relax.get("typical").relax([0.5, 0.4])
    with pytest.raises(ValueError, match="target has 2 tokens and draft 3"):
        relax.get("mentored").relax([0.5, 0.5], [0.5, 0.25, 0.25], budget=0.1)


def test_a_uniform_law_keeps_its_tokens() -> None:
    """exp(-entropy) of a uniform law may round above its own probabilities."""
    for size in range(1, 200):
        found = relax.get("typical").relax(np.full(size, 1 / size), epsilon=1.0, delta=1 - 1e-16)
        np.testing.assert_allclose(found.law, 1 / size, rtol=1e-12)


def test_correction_is_recorded() -> None:
    found = relax.get("lenience").relax(np.array([0.5, 0.5 + 5e-10]), [0.5, 0.5], factor=0.5)
    assert found.correction == pytest.approx(5e-10, rel=1e-3)


def test_the_judges_can_disagree() -> None:
    """Control: another parameter, or another algorithm, is told apart."""
    target, draft = law(5, 3, 2), law(1, 3, 6)
    found = relax.get("lenience").relax(*floats(target, draft), factor=0.6).law
    for name, parameters in (("lenience", {"factor": Fraction(7, 10)}), ("cascade_token", {"alpha": Fraction(6, 10)})):
        want = [float(x) for x in judges.emitted(name, target, draft, parameters)]
        assert np.abs(found - want).max() > 1e-3
