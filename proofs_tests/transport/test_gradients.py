"""The gradient of the optimal acceptance: exact differences over fractions, finite differences, and sampled scores."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from math import comb
from random import Random
from typing import Any

import numpy as np
import pytest

from proofs_tests import checks
from proofs_tests.laws import law
from specmath import draft_laws, optimum, rules
from specmath.draft_laws import race
from specmath.transport.gradient import acceptance_loss, differentiable_optimum

torch = pytest.importorskip("torch")

CLAIM = "transport/gradient"
CASES = [("iid", 1), ("iid", 2), ("iid", 3), ("without_replacement", 2), ("greedy", 2), ("greedy", 3), ("hub", 2)]
SHIFT = Fraction(1, 10**6)
"""Of central differences over fractions: no rounding, and an error of the order of its square, 1e-12."""
CLOSE = 1e-8


def gradients(target: np.ndarray, draft: np.ndarray, n: int, drafts: str) -> tuple[np.ndarray, np.ndarray]:
    """d alpha* / d target and d alpha* / d draft by torch."""
    p, q = (torch.tensor(np.asarray(values, dtype=float), requires_grad=True) for values in (target, draft))
    differentiable_optimum(p, q, n, drafts).sum().backward()
    return tuple(np.zeros(p.shape) if x.grad is None else x.grad.numpy() for x in (p, q))  # type: ignore[return-value]


def exact_slope(
    target: list[Fraction], draft: list[Fraction], n: int, drafts: str, of: str, gain: int, lose: int
) -> float:
    """Central difference of the smallest cut over fractions, moving mass of one law from ``lose`` to ``gain``."""
    values = []
    for sign in (1, -1):
        moved = {"target": list(target), "draft": list(draft)}
        moved[of][gain] += sign * SHIFT
        moved[of][lose] -= sign * SHIFT
        values.append(checks.optimum(moved["target"], moved["draft"], n, drafts))
    return float((values[0] - values[1]) / (2 * SHIFT))


def smooth_instance(random: Random, n: int, drafts: str) -> tuple[list[Fraction], list[Fraction]] | None:
    """Target and draft on four tokens; None near a tie of cuts or of the draft's ranking, where alpha* has a kink."""
    target, draft = (list(law(*(random.randint(1, 40) for _ in range(4)))) for _ in range(2))
    ranked = sorted(draft)
    if any(high - low < 2 * SHIFT for low, high in pairwise(ranked)):
        return None
    drawn = draft_laws.get(drafts).law(draft, n)
    values = sorted(
        sum(target[x] for x in members) - drawn.mean(lambda tokens, h=set(members): int(set(tokens) <= h))
        for members in checks.subsets(4)
    )
    return (target, draft) if values[1] - values[0] > Fraction(1, 1000) else None


def differs(gradient: Callable[..., tuple[np.ndarray, np.ndarray]], drafts: str, n: int, *, instances: int = 8) -> bool:
    """Whether a gradient misses the exact slopes on one of the instances."""
    random, seen, tried = Random(f"{drafts}-{n}"), 0, 0
    while seen < instances:
        tried += 1
        assert tried < 100 * instances, "almost all instances are near a tie"
        if (pair := smooth_instance(random, n, drafts)) is None:
            continue
        seen += 1
        of_target, of_draft = gradient(*(np.array(one, dtype=float) for one in pair), n, drafts)
        for name, found in (("target", of_target), ("draft", of_draft)):
            for gain, lose in ((0, 1), (1, 2), (2, 3)):
                want = exact_slope(*pair, n, drafts, name, gain, lose)
                if abs(found[gain] - found[lose] - want) > CLOSE:
                    return True
    return False


@pytest.mark.claim(CLAIM, "exact")
@pytest.mark.parametrize(("drafts", "n"), [*CASES, ("top_k", 2)])
def test_gradient_is_the_exact_slope(drafts: str, n: int) -> None:
    assert not differs(gradients, drafts, n)


def test_every_draft_law_has_its_gradient_tested() -> None:
    assert {drafts for drafts, _ in CASES} | {"top_k"} == set(draft_laws.names())


def without_the_factor(target: np.ndarray, draft: np.ndarray, n: int, drafts: str) -> tuple[np.ndarray, np.ndarray]:
    """Planted: -q(H)^(n-1) instead of -n q(H)^(n-1)."""
    of_target, of_draft = gradients(target, draft, n, drafts)
    return of_target, of_draft / n


def of_the_complement(target: np.ndarray, draft: np.ndarray, n: int, drafts: str) -> tuple[np.ndarray, np.ndarray]:
    """Planted: 1 outside the cut."""
    of_target, of_draft = gradients(target, draft, n, drafts)
    return 1 - of_target, of_draft


def without_the_race(target: np.ndarray, draft: np.ndarray, n: int, drafts: str) -> tuple[np.ndarray, np.ndarray]:
    """Planted: the iid gradient at the cut of drafts without replacement."""
    cut = optimum(target, draft, n, drafts).cut
    mass = float(draft[cut].sum())
    return cut.astype(float), -n * mass ** (n - 1) * cut


@pytest.mark.claim(CLAIM, "control")
@pytest.mark.parametrize(
    ("planted", "drafts"),
    [(without_the_factor, "iid"), (of_the_complement, "iid"), (without_the_race, "without_replacement")],
)
def test_wrong_gradients_are_seen(planted: Any, drafts: str) -> None:
    assert differs(planted, drafts, 2)


ROUNDS = 400_000
FALSE_ALARM = 1e-6


def scores(draft: np.ndarray, tokens: np.ndarray, drafts: str) -> np.ndarray:
    """d log P(tokens) / d logits, (rounds, V): a law that is independent of any cut."""
    size = len(draft)
    found, left = np.zeros((len(tokens), size)), np.broadcast_to(draft, (len(tokens), size)).copy()
    for j in range(tokens.shape[1]):
        drawn = np.eye(size)[tokens[:, j]]
        found += drawn - left / left.sum(axis=1, keepdims=True)
        if drafts == "without_replacement":
            left *= 1 - drawn
    return found


@pytest.mark.claim(CLAIM, "statistical")
@pytest.mark.parametrize(("drafts", "n"), [("iid", 2), ("iid", 4), ("without_replacement", 3)])
def test_gradient_is_the_mean_score(drafts: str, n: int) -> None:
    """d alpha* / d logits = -E[1{all drafts in H} score(drafts)], from sampled drafts.

    Scores are bounded by n, so each mean over 400,000 rounds obeys Hoeffding's inequality: a deviation above
    2 n sqrt(log(2 V / a) / (2 rounds)) has a chance of at most a = 1e-6 over all V means together. A gradient off by a
    factor two is further away than twice that, so it raises the alarm with a chance of at least 1 - 1e-6.
    """
    generator = np.random.default_rng(7)
    target, draft = np.array([0.1, 0.2, 0.15, 0.25, 0.3]), np.array([0.35, 0.3, 0.2, 0.1, 0.05])
    logits = torch.log(torch.tensor(draft)).requires_grad_()
    found = 1 - acceptance_loss(torch.tensor(target), logits, n, drafts)
    found.backward()
    gradient = logits.grad.numpy()
    members = optimum(target, draft, n, drafts).cut
    law = draft_laws.get(drafts)
    tokens = law.sample(np.broadcast_to(draft, (ROUNDS, 5)), n, generator.random((ROUNDS, law.uniforms(n))))
    inside = members[tokens].all(axis=1)
    mean = -(inside[:, None] * scores(draft, tokens, drafts)).mean(axis=0)
    limit = 2 * n * np.sqrt(np.log(2 * 5 / FALSE_ALARM) / (2 * ROUNDS))
    assert np.abs(mean - gradient).max() < limit
    assert np.abs(gradient / 2).max() > 2 * limit, "the test would not see a gradient of half the size"


def finite_differences(value: Callable[[np.ndarray], float], logits: np.ndarray, shift: float = 1e-5) -> np.ndarray:
    steps = np.eye(len(logits)) * shift
    return np.array([(value(logits + one) - value(logits - one)) / (2 * shift) for one in steps])


GENERATOR = np.random.default_rng(3)
TARGET, LOGITS = GENERATOR.dirichlet(np.full(24, 0.5)), 2 * GENERATOR.normal(size=24)


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


@pytest.mark.parametrize(("drafts", "n"), [*CASES, ("iid", 8), ("without_replacement", 5)])
def test_logits_against_finite_differences(drafts: str, n: int) -> None:
    """24 tokens, float64: the differences themselves are good to about 1e-9."""
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = acceptance_loss(torch.tensor(TARGET), logits, n, drafts)
    loss.backward()
    want = finite_differences(lambda z: 1 - float(optimum(TARGET, softmax(z), n, drafts).acceptance), LOGITS)
    assert loss.item() == pytest.approx(1 - float(optimum(TARGET, softmax(LOGITS), n, drafts).acceptance), abs=1e-12)
    np.testing.assert_allclose(logits.grad.numpy(), want, atol=1e-8, rtol=0)


FORMULAS = [
    (name, drafts)
    for name in rules.names("node")
    for drafts in rules.get(name).drafts
    if rules.get(name).formula is not None and drafts in ("iid", "greedy", "hub") and name != "optimal"
]


@pytest.mark.parametrize(("name", "drafts"), FORMULAS)
def test_formulas_of_rules_against_finite_differences(name: str, drafts: str) -> None:
    rule = rules.get(name)
    n = rule.at_most or 2
    draft = torch.tensor(LOGITS, requires_grad=True)
    rule.acceptance(torch.tensor(TARGET), torch.softmax(draft, dim=-1), n, drafts).backward()
    want = finite_differences(lambda z: float(rule.acceptance(TARGET, softmax(z), n, drafts)), LOGITS)
    np.testing.assert_allclose(draft.grad.numpy(), want, atol=1e-8, rtol=0)


def test_one_draft_is_total_variation() -> None:
    found = acceptance_loss(torch.tensor(TARGET), torch.tensor(LOGITS), 1)
    assert found.item() == pytest.approx(np.abs(TARGET - softmax(LOGITS)).sum() / 2, abs=1e-14)


def test_a_perfect_draft_has_no_loss_and_no_gradient() -> None:
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = acceptance_loss(torch.tensor(softmax(LOGITS)), logits, 4)
    loss.backward()
    assert abs(loss.item()) < 1e-12
    assert logits.grad.abs().max().item() < 1e-12


def test_half_precision_logits_get_a_gradient_of_their_own_dtype() -> None:
    logits = torch.tensor(LOGITS, dtype=torch.bfloat16, requires_grad=True)
    acceptance_loss(torch.tensor(TARGET), logits, 2).backward()
    assert logits.grad.dtype == torch.bfloat16
    assert logits.grad.abs().max() > 0


def test_contexts_are_averaged_and_the_target_may_learn() -> None:
    targets = torch.tensor(np.stack([TARGET, TARGET[::-1]]), requires_grad=True)
    logits = torch.tensor(np.stack([LOGITS, LOGITS]))
    loss = acceptance_loss(targets, logits, 2)
    alone = [acceptance_loss(one, logits[0], 2).item() for one in targets.detach()]
    assert loss.item() == pytest.approx(np.mean(alone), abs=1e-14)
    loss.backward()
    assert targets.grad.abs().max() > 0


def test_temperature_scales_the_logits() -> None:
    found = acceptance_loss(torch.tensor(TARGET), torch.tensor(LOGITS), 3, temperature=2.0)
    assert found.item() == pytest.approx(1 - float(optimum(TARGET, softmax(LOGITS / 2), 3).acceptance), abs=1e-12)


@pytest.mark.parametrize("drafts", ["iid", "greedy"])
def test_jax_gradients_under_jit_and_vmap(drafts: str) -> None:
    """jax without its x64 flag computes in float32: gradients of a few 0.01 agree to 1e-5."""
    jax = pytest.importorskip("jax")
    logits = torch.tensor(LOGITS, requires_grad=True)
    acceptance_loss(torch.tensor(TARGET), logits, 2, drafts).backward()
    want = logits.grad.numpy()
    target, draft = jax.numpy.asarray(TARGET), jax.numpy.asarray(LOGITS)

    def loss(z: Any) -> Any:
        return acceptance_loss(target, z, 2, drafts)

    mapped = jax.jit(jax.vmap(jax.grad(loss)))(jax.numpy.stack([draft, draft + 1]))
    np.testing.assert_allclose(mapped, np.stack([want, want]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("given", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_jax_without_replacement_under_jit(given: bool) -> None:
    """On three tokens, because jax compiles the race operation by operation; the cut is given, or searched."""
    jax = pytest.importorskip("jax")
    few, logits = TARGET[:3] / TARGET[:3].sum(), torch.tensor(LOGITS[:3], requires_grad=True)
    acceptance_loss(torch.tensor(few), logits, 2, "without_replacement").backward()
    target, draft = jax.numpy.asarray(few), jax.numpy.asarray(LOGITS[:3])
    cut = jax.numpy.asarray(optimum(few, softmax(LOGITS[:3]), 2, "without_replacement").cut)

    def loss(z: Any) -> Any:
        if not given:
            return acceptance_loss(target, z, 2, "without_replacement")
        return 1 - differentiable_optimum(target, jax.nn.softmax(z), 2, "without_replacement", cut=cut)

    np.testing.assert_allclose(jax.jit(jax.grad(loss))(draft), logits.grad.numpy(), atol=1e-5, rtol=0)


def test_a_given_cut_is_a_bound() -> None:
    cut = np.array([True, False, False])
    target, draft = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
    assert float(differentiable_optimum(target, draft, 2, cut=cut)) == pytest.approx(1 + 0.5 - 0.04)
    whole = np.ones(3, dtype=bool)
    assert float(differentiable_optimum(target, draft, 2, "without_replacement", cut=whole)) == pytest.approx(1)


@pytest.mark.parametrize("draft", [[1 - 3e-9, 1e-9, 2e-9], [1e-12, 1 - 3e-12, 2e-12], [0.4, 0.35, 0.25]])
def test_peaked_drafts_without_replacement(draft: list[float]) -> None:
    """The race on its own nodes against the value of `optimum`, which has finer ones."""
    target = [0.2, 0.5, 0.3]
    want = float(optimum(target, draft, 2, "without_replacement").acceptance)
    assert float(differentiable_optimum(target, draft, 2, "without_replacement")) == pytest.approx(want, abs=1e-10)


def race_error(n: int) -> float:
    """Largest error of Q for a uniform draft of 200 tokens; Q of m tokens is binomial(m, n) / binomial(200, n)."""
    even, worst = np.full(200, 1 / 200), 0.0
    for m in (100, 150, 190):
        found = differentiable_optimum(even, even, n, "without_replacement", cut=np.arange(200) < m)
        want = 1 + Fraction(m, 200) - Fraction(comb(m, n), comb(200, n))
        worst = max(worst, abs(float(Fraction(float(found)) - want)))
    return worst


@pytest.mark.parametrize("n", [1, 2, 4, 8, 16])
def test_the_race_against_binomials(n: int) -> None:
    assert race_error(n) < 1e-12


@pytest.mark.parametrize("n", [8, 16])
def test_nodes_too_far_apart_are_seen(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: one spacing for every n, which is right for the smallest."""
    monkeypatch.setattr(race, "step_of", lambda n: 0.25)
    assert race_error(n) > 5e-12


@pytest.mark.parametrize("gap", [50.0, 300.0, 700.0, 720.0, 745.0])
@pytest.mark.parametrize("drafts", ["iid", "without_replacement", "greedy"])
def test_gradients_of_extreme_logits_are_finite(drafts: str, gap: float) -> None:
    """Masses from e^-50 down to the smallest float64."""
    logits = torch.tensor([gap, gap - 1, 0.5, 0.0], dtype=torch.float64, requires_grad=True)
    acceptance_loss(torch.tensor([0.05, 0.05, 0.5, 0.4], dtype=torch.float64), logits, 2, drafts).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: acceptance_loss([0.5, 0.5], np.zeros(2), 1, "top_k"), "does not change with small changes"),
        (lambda: acceptance_loss([0.5, 0.5], np.zeros(2), 0), "n is 0"),
        (lambda: acceptance_loss([0.5, 0.5], np.zeros(2), 2, temperature=0.0), "temperature is 0.0"),
        (lambda: acceptance_loss([0.5, 0.5], np.zeros(2), 2, temperature=float("nan")), "temperature is nan"),
        (
            lambda: acceptance_loss([0.5, 0.5], np.zeros(2), 2, temperature="x"),
            "temperature is 'x'; allowed are finite",
        ),
        (lambda: acceptance_loss([0.5, 0.5], np.zeros(2), 2, temperature=None), "temperature is None"),
        (lambda: acceptance_loss([0.5, 0.5], np.zeros(2), 2, temperature=10**400), "temperature is 1000"),
        (lambda: acceptance_loss([0.5, 0.5], np.zeros(3), 2), "target has 2 tokens and draft 3"),
        (lambda: acceptance_loss([0.5, 0.6], np.zeros(2), 2), "target: sums to 1.1"),
        (lambda: acceptance_loss(np.zeros((0, 2)), np.zeros((0, 2)), 2), "at least one context"),
        (
            lambda: acceptance_loss([0.5, 0.5], np.zeros(2), 2, "sorted"),
            "allowed are 'iid', 'without_replacement', 'greedy', 'hub'$",
        ),
        (lambda: acceptance_loss([0.5, 0.5], np.zeros(2), 2, ["iid"]), r"drafts is \['iid'\]; allowed are 'iid'"),
        (
            lambda: differentiable_optimum([0.5, 0.5], [0.5, 0.5], 2, cut=[1, 0]),
            r"cut: int64 of shape \(2,\); allowed are booleans",
        ),
        (lambda: differentiable_optimum([0.5, 0.5], [0.5, 0.5], 2, cut=np.ones(3, bool)), r"of shape \(3,\)"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
