"""Planted mistakes in the couplings, each caught by the check that proves the claim; and real rounds, sampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from proofs_tests.laws import for_all
from proofs_tests.statistical import simulate
from proofs_tests.transport import couplings
from proofs_tests.transport.couplings import Build, problems
from specmath import draft_laws
from specmath.transport import Coupling, coupling
from specmath.transport.intervals import bend
from specmath.transport.search import before, count, power
from specmath.transport.swap import SwapSelector


def selected_by(kind: type[SwapSelector], **changes: Callable[[SwapSelector], Any]) -> Build:
    """A coupling whose selector is of another kind, or has other fields."""

    def build(target: np.ndarray, draft: np.ndarray, n: int) -> Coupling:
        found = coupling(target, draft, n)
        own = found.selector
        assert isinstance(own, SwapSelector)
        values = {field.name: getattr(own, field.name) for field in fields(own)}
        return replace(found, selector=kind(**{**values, **{name: made(own) for name, made in changes.items()}}))

    return build


class MirroredPartner(SwapSelector):
    """The partner is the position reflected at 1/2: right for uniform ratios only."""

    def _partner(self, need: Any, lifted: Any) -> Any:
        return 1 - super()._partner(need, lifted)


class EndOfInterval(SwapSelector):
    """The search stops at the token and does not look for the position inside."""

    def _partner(self, need: Any, lifted: Any) -> Any:
        place = np.where(lifted, count(self.drops, need, strictly=False), count(self.lifts, need, strictly=True))
        return before(self.edges, np.minimum(place + 1, self.edges.shape[-1]))


class UncutNeeds(SwapSelector):
    """Needs counted from the interval's left end although B begins at the bend."""

    def _partner(self, need: Any, lifted: Any) -> Any:
        return super()._partner(need * np.where(lifted, 0.9, 1.0), lifted)


class WrongChance(SwapSelector):
    """lambda = (R - Y) / Y(T): the density that is left behind is forgotten."""

    def swap(self, tokens: Any, positions: Any) -> Any:
        position, partner, chance = super().swap(tokens, positions)
        return position, partner, chance * (1 - (position / np.where(partner > 0, partner, 1)) ** (self.n - 1))


class NeverSwaps(SwapSelector):
    """The largest position wins."""

    def swap(self, tokens: Any, positions: Any) -> Any:
        position, partner, chance = super().swap(tokens, positions)
        return position, partner, chance * 0


def unscaled(target: np.ndarray, draft: np.ndarray, n: int) -> Coupling:
    """r = max(p, draft(cut)^(n-1) q) on the cut: each token has its share, their sum does not."""
    found = coupling(target, draft, n)
    inside = draft[found.optimum.cut].sum()
    lifted = np.maximum(target, inside ** (n - 1) * draft)
    return replace(found, marginal=np.where(found.optimum.cut, lifted, found.marginal))


def proportional(target: np.ndarray, draft: np.ndarray, n: int) -> Coupling:
    """r = p wherever it fits under n q, the rest in proportion to the draft: a law, and not reachable."""
    capped = np.minimum(target, n * draft)
    return replace(coupling(target, draft, n), marginal=capped + (1 - capped.sum()) * draft)


def unsorted(target: np.ndarray, draft: np.ndarray, n: int) -> Coupling:
    """Tokens are laid side by side in the order of their numbers."""
    found = coupling(target, draft, n)
    ratio = found.marginal / np.where(draft > 0, draft, 1)
    edges = np.cumsum(draft)
    left = np.concatenate([[0.0], edges[:-1]])
    end = bend(ratio, left, edges, n) if n > 1 else left
    lifts = np.cumsum(ratio * (end - left) - (power(end, n) - power(left, n)))
    drops = np.cumsum((power(edges, n) - power(end, n)) - ratio * (edges - end))
    return replace(found, selector=SwapSelector(ratio, ratio, edges, lifts, drops, n))


DEFECTS: list[tuple[str, str, Build, Any]] = [
    ("coupling/marginal", "wrong-chance", selected_by(WrongChance), couplings.selects_with_marginal),
    ("coupling/marginal", "never-swaps", selected_by(NeverSwaps), couplings.selects_with_marginal),
    ("coupling/marginal", "unsorted", unsorted, couplings.selects_with_marginal),
    ("verify/optimal", "wrong-chance", selected_by(WrongChance), couplings.selects_with_marginal),
    ("coupling/uniform-scores", "mirrored-partner", selected_by(MirroredPartner), couplings.keeps_scores_uniform),
    ("coupling/uniform-scores", "end-of-interval", selected_by(EndOfInterval), couplings.keeps_scores_uniform),
    ("coupling/uniform-scores", "uncut-needs", selected_by(UncutNeeds), couplings.keeps_scores_uniform),
    ("coupling/optimal", "unscaled", unscaled, couplings.reaches_optimum),
    ("coupling/optimal", "proportional", proportional, couplings.is_reachable),
]


@pytest.mark.parametrize(
    ("build", "check"),
    [
        pytest.param(build, check, marks=pytest.mark.claim(claim, "control"), id=f"{name}-{claim}")
        for claim, name, build, check in DEFECTS
    ],
)
def test_defect_is_caught(build: Build, check: Any) -> None:
    sample = problems(most=3, drafts=3) if check is couplings.is_reachable else problems()
    with pytest.raises(AssertionError):
        for_all(sample, check(build), examples=300, shrink=False)


def test_the_quadrature_sees_a_wrong_partner() -> None:
    problem = ((5, 1, 3), (1, 4, 2), 2)
    for kind in (MirroredPartner, EndOfInterval, UncutNeeds):
        assert couplings.scores_have_uniform_law(selected_by(kind), problem, rounds=2001) > 1e-2


def test_a_weak_inequality_is_caught() -> None:
    """At u = 0 a token of target probability zero must not be accepted; u <= p / r would."""
    plan = coupling([0.0, 1.0], [0.5, 0.5], 2)
    zeros = np.zeros(6)
    assert int(plan.verify(np.array([0, 0]), zeros).tokens) == 1
    assert 0.0 * float(plan.marginal[0]) <= 0.0, "the weak test would pass"


TARGET = np.array([0.35, 0.05, 0.3, 0.2, 0.1])
DRAFT = np.array([0.1, 0.4, 0.2, 0.25, 0.05])
ROUNDS = 150_000


def rounds(plan: Coupling, drafts: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    law, n, generator = draft_laws.get(drafts), plan.n, np.random.default_rng(seed)
    laws = np.broadcast_to(DRAFT, (ROUNDS, len(DRAFT)))
    tokens = law.sample(laws, n, generator.random((ROUNDS, max(1, law.uniforms(n)))))
    return tokens, generator.random((ROUNDS, 2 * n + 2))


@pytest.mark.claim("coupling/optimal", "statistical")
@pytest.mark.claim("coupling/marginal", "statistical")
@pytest.mark.claim("coupling/uniform-scores", "statistical")
@pytest.mark.claim("verify/optimal", "statistical")
@pytest.mark.parametrize(
    ("drafts", "n", "weight"),
    [("iid", 2, None), ("iid", 3, None), ("iid", 4, 0.7), ("greedy", 3, None), ("hub", 2, 0.8), ("top_k", 3, None)],
)
def test_real_rounds(drafts: str, n: int, weight: float | None) -> None:
    """Selected token, emitted token and acceptance, false-alarm rate 1e-6 each; the defect picks any draft."""
    plan = coupling(TARGET, DRAFT, n, drafts, weight=weight)
    share = 1.0 if weight is None else weight
    tokens, uniforms = rounds(plan, drafts, n)
    size, every = len(TARGET), np.arange(ROUNDS)
    chosen = tokens[every, plan.select(tokens, uniforms[:, : 2 * n])]
    verdict = plan.verify(tokens, uniforms)
    goal = np.append(share * TARGET, 1 - share)
    accepted = np.array([1 - plan.acceptance, plan.acceptance])
    assert not simulate.alarm(np.bincount(chosen, minlength=size), plan.marginal)
    assert not simulate.alarm(np.bincount(verdict.tokens, minlength=size + 1), goal)
    assert not simulate.alarm(np.bincount((verdict.accepted >= 0).astype(int), minlength=2), accepted)

    careless = tokens[every, (uniforms[:, 0] * n).astype(int)]
    inside = draft_laws.get(drafts).law(DRAFT.tolist(), n)
    truth = sum(float(mass) * np.bincount(drawn, minlength=size) / n for drawn, mass in inside.items())
    assert simulate.power(np.asarray(truth, dtype=float), plan.marginal, ROUNDS) > simulate.POWER
    assert simulate.alarm(np.bincount(careless, minlength=size), plan.marginal)


def test_scores_of_real_rounds_are_uniform() -> None:
    """Counts of the winning score in twenty bins against the law of the largest of n uniforms; 1e-6 false alarms."""
    for n in (2, 3):
        plan = coupling(TARGET, DRAFT, n)
        tokens, uniforms = rounds(plan, "iid", n)
        edges = np.linspace(0, 1, 21)
        for selector, right in ((plan.selector, True), (selected_by(EndOfInterval)(TARGET, DRAFT, n).selector, False)):
            score = selector.scores(tokens, uniforms[:, :n], uniforms[:, n : 2 * n]).max(axis=1)  # type: ignore[attr-defined]
            counts = np.histogram(score, edges)[0]
            assert simulate.alarm(counts, np.diff(edges**n)) != right
