"""What a coupling refuses, certifies and survives: bad input, empty batches, extreme laws, lists of drafters."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from specmath import draft_laws
from specmath.transport import coupling, independent_law, max_flow, optimum
from specmath.transport.priority import solver

P, Q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
GENERATOR = np.random.default_rng(0)
LAWS = ["iid", "without_replacement", "greedy", "top_k", "hub", "independent"]


def drafts_of(law: str, draft: np.ndarray = Q, target: np.ndarray = P) -> Any:
    return [draft, target] if law == "independent" else draft


def half(count: int) -> np.ndarray:
    return np.full(count, 0.5)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "negative token": (
        lambda: coupling(P, Q, 2).verify([-1, 0], half(6)),
        "tokens: values from -1 to 0; allowed are 0",
    ),
    "foreign token": (lambda: coupling(P, Q, 2).verify([0, 3], half(6)), "tokens: values from 0 to 3; allowed are 0"),
    "fractional token": (lambda: coupling(P, Q, 2).verify([0.5, 1], half(6)), "tokens: dtype float64"),
    "few drafts": (lambda: coupling(P, Q, 2).verify([0], half(6)), "tokens: shape (1,)"),
    "few uniforms": (lambda: coupling(P, Q, 2).verify([0, 1], half(5)), "uniforms: shape (5,)"),
    "uniform of one": (lambda: coupling(P, Q, 2).verify([0, 1], np.ones(6)), "uniforms: a value lies outside"),
    "NaN uniform": (lambda: coupling(P, Q, 2).verify([0, 1], half(6) * np.nan), "uniforms: a value lies outside"),
    "batch": (lambda: coupling(P, Q, 2).verify([[0, 1]], half(6)), "tokens have leading axes (1,)"),
    "impossible token": (lambda: coupling(P, [1, 0, 0], 2).verify([0, 1], half(6)), "[0, 1] cannot be drafted"),
    "repeated token": (
        lambda: coupling(P, Q, 2, "without_replacement").verify([1, 1], half(6)),
        "[1, 1] cannot be drafted by drafts='without_replacement'",
    ),
    "fixed token left out": (lambda: coupling(P, Q, 2, "greedy").verify([0, 1], half(6)), "cannot be drafted"),
    "other drafter": (
        lambda: coupling(P, [[1, 0, 0], Q], 2, "independent").verify([1, 0], half(6)),
        "[1, 0] cannot be drafted by drafts='independent'",
    ),
    "selection": (lambda: coupling(P, Q, 2).select([0, 1], half(6)), "uniforms: shape (6,)"),
    "weight": (lambda: coupling(P, Q, 2, weight="a"), "weight: dtype"),
    "law by list": (lambda: coupling(P, Q, 2, ["iid"]), "drafts is ['iid']; allowed are"),  # type: ignore[arg-type]
    "unknown law": (lambda: optimum(P, Q, 2, "foo"), "'independent'"),
    "many distinct drafts": (
        lambda: coupling(np.full(20, 0.05), np.full(20, 0.05), 13, "without_replacement"),
        "n is 13: a coupling for drafts='without_replacement' is computed for n up to 12",
    ),
    "drafters": (lambda: coupling(P, [Q], 2, "independent"), "draft holds 1 laws; n is 2"),
    "scalar target": (lambda: coupling(0.5, [Q, Q], 2, "independent"), "target: shape ()"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    action, message = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        action()


def test_values_are_not_looked_at_when_not_asked() -> None:
    assert coupling(P, Q, 2).verify(np.array([0, 1]), np.full(6, -0.5), check=False).tokens == 1
    with pytest.raises(ValueError, match="uniforms"):
        coupling(P, Q, 2).verify(np.array([0, 1]), np.full(6, -0.5))


@pytest.mark.parametrize("drafts", LAWS)
@pytest.mark.parametrize("weight", [None, 0.6])
def test_the_plan_certifies_itself(drafts: str, weight: float | None) -> None:
    """lower <= acceptance <= upper, and no more than 1e-9 apart; an exact flow lies between them."""
    plan = coupling(P, drafts_of(drafts), 2, drafts, weight=weight)
    assert plan.lower <= plan.acceptance <= plan.upper
    assert plan.upper - plan.lower < 1e-9
    if drafts == "independent":
        law = independent_law([Q.tolist(), P.tolist()])
    else:
        law = draft_laws.get(drafts).law([Fraction(q).limit_denominator(10) for q in Q], 2)
    share = 1 if weight is None else Fraction(weight).limit_denominator(10)
    best = max_flow([share * Fraction(p).limit_denominator(10) for p in P], law).acceptance
    assert plan.lower <= float(best) + 1e-15
    assert float(best) <= plan.upper + 1e-15


def test_a_plan_that_is_not_optimal_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the solver stopped at once: the gap is what the acceptance lacks, and the lower bound falls with it."""
    target, draft = GENERATOR.dirichlet(np.ones(8)), GENERATOR.dirichlet(np.ones(8))
    monkeypatch.setattr(solver, "ROUNDS", 1)
    plan = coupling(target, draft, 3, "without_replacement")
    best = optimum(target, draft, 3, "without_replacement").acceptance
    assert plan.gap > 1e-4
    assert plan.gap == pytest.approx(float(best - plan.acceptance), abs=1e-12)
    assert plan.lower == pytest.approx(float(plan.acceptance), abs=1e-9)


@pytest.mark.parametrize("drafts", LAWS)
def test_empty_batches(drafts: str) -> None:
    none = np.zeros((0, 100))
    draft = np.zeros((0, 2, 100)) if drafts == "independent" else none
    plan = coupling(none, draft, 2, drafts)
    assert plan.acceptance.shape == (0,)
    assert plan.marginal.shape == (0, 100)
    rounds = coupling(P, drafts_of(drafts), 2, drafts).verify(np.zeros((0, 2), dtype=int), np.zeros((0, 6)))
    assert rounds.tokens.shape == (0,)


def test_no_rounds_of_three_drafts() -> None:
    found = coupling([0.25] * 4, [0.1, 0.2, 0.3, 0.4], 3).verify(np.zeros((0, 3), dtype=int), np.zeros((0, 8)))
    assert found.accepted.shape == (0,)


def test_lists_of_drafters_mean_the_same_everywhere() -> None:
    """A list holds one law (batch) per drafter, also where the batch is as long as the list."""
    targets, laws = GENERATOR.dirichlet(np.ones(5), 2), [GENERATOR.dirichlet(np.ones(5), 2) for _ in range(2)]
    plan = coupling(targets, laws, 2, "independent")
    best = optimum(targets, laws, 2, "independent")
    assert plan.acceptance == pytest.approx(best.acceptance, abs=1e-9)
    assert plan.optimum.gap == pytest.approx(best.gap, abs=0)
    array = coupling(targets, np.stack(laws, axis=-2), 2, "independent")
    assert (array.marginal == plan.marginal).all()


@pytest.mark.parametrize(
    ("target", "draft", "n"),
    [
        ([0.05, 0.83, 0.12], [1.0, 1e-310, 1e-310], 2),
        ([0.3, 0.4, 0.2, 0.1], [5e-324, 5e-324, 5e-324, 1.0], 2),
        ([0.2, 0.2, 0.6], [1e-320, 1.0, 3e-320], 2),
    ],
)
def test_ratios_that_overflow(target: list[float], draft: list[float], n: int) -> None:
    """p/q above the largest float for several tokens: their order still decides the cut. By flows over Fractions."""
    law = draft_laws.get("without_replacement").law([Fraction(q) / sum(map(Fraction, draft)) for q in draft], n)
    best = float(max_flow([Fraction(p) / sum(map(Fraction, target)) for p in target], law).acceptance)
    assert optimum(target, draft, n, "without_replacement").acceptance == pytest.approx(best, abs=1e-12)
    plan = coupling(target, draft, n, "without_replacement")
    assert plan.acceptance == pytest.approx(best, abs=1e-9)
    assert abs(plan.gap) < 1e-9


def test_a_singular_step_is_survived() -> None:
    laws = [[1.0, 4.729594270933633e-80, 9.027948653648112e-22], [1 / 3] * 3, [1 / 7, 2 / 7, 4 / 7]]
    assert coupling([0.5, 0.5, 0], laws, 3, "independent").gap < 1e-9


def test_torch_on_the_host_is_numpy() -> None:
    torch = pytest.importorskip("torch")
    plan, twin = coupling(P, Q, 3), coupling(torch.tensor(P), torch.tensor(Q), 3)
    tokens = GENERATOR.choice(3, size=(50, 3), p=Q)
    uniforms = GENERATOR.random((50, 8))
    want, have = plan.verify(tokens, uniforms), twin.verify(torch.tensor(tokens), torch.tensor(uniforms))
    assert have.tokens.tolist() == want.tokens.tolist()
    assert have.accepted.tolist() == want.accepted.tolist()
    chosen = twin.select(torch.tensor(tokens), torch.tensor(uniforms[:, :6]))
    assert chosen.tolist() == plan.select(tokens, uniforms[:, :6]).tolist()
