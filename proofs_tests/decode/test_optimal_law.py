"""The optimal verifier on real contexts, 256 tokens: law of what it emits (G-test), and how often it accepts.

Contexts are those of the shipped pair on a fixed text; tested is the one where the optimum is furthest above recursive
rejection, so that a verifier which falls back to anything less would show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from reference import decode, pair
from reference.demo.attained import agreement
from reference.demo.contexts import Contexts
from specmath import acceptance, rules
from specmath.transport import optimum
from specmath.transport.coupling import Coupling, coupling

FALSE_ALARM, POWER = 1e-6, 0.999
BATCH = 200_000
TEXT = "values):\n    total = 0\n    for value in values:\n        total += value\n    return total\n"
Emit = Callable[[Coupling, NDArray[np.int64], NDArray[np.float64]], tuple[NDArray[np.int64], NDArray[np.bool_]]]


@pytest.fixture(scope="module")
def contexts() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Target and draft laws, (places, 256)."""
    models = pair.load()
    read = Contexts(models.target, models.draft)
    found = read.laws(pair.encode("def mean("), pair.encode(TEXT)[1:], decode.Options())
    return found.target, found.draft


def hardest(contexts, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    target, draft = contexts
    left = optimum(target, draft, n).acceptance - acceptance("recursive", target, draft, n).values
    place = int(np.argmax(left))
    assert left[place] > 0.02
    return target[place], draft[place]


def verify(plan: Coupling, tokens, uniforms):
    """The verifier itself."""
    verdict = plan.verify(tokens, uniforms)
    return verdict.tokens, verdict.accepted >= 0


def simulate(emit: Emit, plan: Coupling, draft: NDArray[np.float64], rounds: int, seed: int):
    """Counts of the emitted tokens (V,) and the number of accepted rounds."""
    generator = np.random.default_rng(seed)
    edges = np.cumsum(draft) / np.sum(draft)
    counts, kept = np.zeros(len(draft), dtype=np.int64), 0
    for done in range(0, rounds, BATCH):
        size = min(BATCH, rounds - done)
        tokens = np.searchsorted(edges, generator.random((size, plan.n)), side="right")
        emitted, accepted = emit(plan, tokens, generator.random((size, 2 * plan.n + 2)))
        counts += np.bincount(emitted, minlength=len(draft))
        kept += int(accepted.sum())
    return counts, kept


@dataclass(frozen=True)
class Cells:
    """Tokens with at least 100 expected rounds are cells, the others one cell together."""

    single: NDArray[np.bool_]

    @classmethod
    def of(cls, law: NDArray[np.float64], rounds: int) -> Cells:
        return cls(rounds * law >= 100)

    def pooled(self, values: NDArray) -> NDArray:
        return np.append(values[self.single], values[~self.single].sum())


def g_statistic(counts: NDArray[np.int64], law: NDArray[np.float64], cells: Cells) -> float:
    seen, due = cells.pooled(counts).astype(float), cells.pooled(law) * counts.sum()
    ratio = np.divide(seen, due, out=np.ones_like(seen), where=seen > 0)
    return float(2 * np.sum(seen * np.log(ratio)))


def critical(cells: Cells) -> float:
    return float(stats.chi2.isf(FALSE_ALARM, int(cells.single.sum())))


def power(law: NDArray[np.float64], biased: NDArray[np.float64], rounds: int, cells: Cells) -> float:
    """Probability that the G-test sees a verifier that emits ``biased``."""
    due, given = cells.pooled(law), cells.pooled(biased)
    shift = rounds * float(np.sum((given - due) ** 2 / due))
    return float(stats.ncx2.sf(critical(cells), int(cells.single.sum()), shift))


# --- planted defects, each with its exact law ------------------------------------------------------------------------


class First:
    """Selects the first draft, whatever was drawn."""

    def select(self, tokens, uniforms):
        return np.zeros(tokens.shape[:-1], dtype=np.int64)


def selects_the_first(plan: Coupling, tokens, uniforms):
    """Forgets to select: the single-draft test against r is run on a draft whose law is q."""
    return verify(replace(plan, selector=First()), tokens, uniforms)


def law_of_first(plan: Coupling, target, draft):
    share = np.minimum(1.0, np.divide(target, plan.marginal, out=np.ones_like(target), where=plan.marginal > 0))
    kept, rest = draft * share, np.maximum(target - plan.marginal, 0)
    return kept + (1 - kept.sum()) * rest / rest.sum()


def redraws_from_the_target(plan: Coupling, tokens, uniforms):
    """After a rejection the replacement is drawn from the target instead of from what is left of it."""
    emitted, accepted = verify(plan, tokens, uniforms)
    edges = np.cumsum(plan.target) / plan.target.sum()
    return np.where(accepted, emitted, np.searchsorted(edges, uniforms[..., -1], side="right")), accepted


def law_of_redrawing(plan: Coupling, target, draft):
    kept = np.minimum(target, plan.marginal)
    return kept + (1 - kept.sum()) * target


def accepts_a_little_more(plan: Coupling, tokens, uniforms):
    """The accept test compares with 1.03 times the right ratio."""
    eased = uniforms.copy()
    eased[..., 2 * plan.n] /= 1.03
    return verify(plan, tokens, eased)


def accepts_a_little_less(plan: Coupling, tokens, uniforms):
    """The accept test compares with 0.97 times the right ratio."""
    harder = uniforms.copy()
    harder[..., 2 * plan.n] = np.minimum(harder[..., 2 * plan.n] / 0.97, np.nextafter(1, 0))
    return verify(plan, tokens, harder)


def acceptance_of(plan: Coupling, target, factor: float) -> float:
    return float(np.minimum(factor * target, plan.marginal).sum())


LAWS = {selects_the_first: law_of_first, redraws_from_the_target: law_of_redrawing}


# --- tests -----------------------------------------------------------------------------------------------------------


def check_law(contexts, n: int, rounds: int, seed: int) -> None:
    target, draft = hardest(contexts, n)
    plan, cells = coupling(target, draft, n), Cells.of(target, rounds)
    counts, kept = simulate(verify, plan, draft, rounds, seed)
    assert cells.single.sum() > 40
    assert g_statistic(counts, target, cells) < critical(cells)
    chance = float(optimum(target, draft, n).acceptance)
    accepted = np.arange(rounds) < kept  # rounds of one context are exchangeable
    assert agreement(accepted, np.full(rounds, chance)).passed


def test_emitted_law_is_the_targets_and_acceptance_the_optimum(contexts):
    """G-test of one million rounds of n = 2 at a false-alarm rate of 1e-6 (its law approximated by chi-square, cells of
    100 expected rounds or more); accepted rounds against the optimum by a test martingale, at the same rate."""
    check_law(contexts, 2, 1_000_000, 31)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 4, 8])
def test_emitted_law_for_more_candidates(contexts, n):
    check_law(contexts, n, 2_000_000, 31)


@pytest.mark.parametrize("defect", [selects_the_first, redraws_from_the_target])
def test_a_wrong_law_is_seen(contexts, defect):
    """The G-test has power above 0.999 against the defect's exact law at a tenth of the rounds, and sees it."""
    target, draft = hardest(contexts, 2)
    rounds = BATCH
    plan, cells = coupling(target, draft, 2), Cells.of(target, rounds)
    biased = LAWS[defect](plan, target, draft)
    assert biased.sum() == pytest.approx(1.0)
    assert power(target, biased, rounds, cells) > POWER
    counts, _ = simulate(defect, plan, draft, rounds, 31)
    assert g_statistic(counts, target, cells) > critical(cells)
    assert g_statistic(counts, biased, Cells.of(biased, rounds)) < critical(Cells.of(biased, rounds))  # as computed


@pytest.mark.parametrize(("defect", "factor"), [(accepts_a_little_more, 1.03), (accepts_a_little_less, 0.97)])
def test_a_little_too_much_or_too_little_acceptance_is_seen(contexts, defect, factor):
    """The demo's check of accepted rounds against the optimum, with a verifier that is three per cent off.

    Power: the defective acceptance is computed; it lies ten deviations or more from the optimum, and the martingale of
    level 1e-6 needs six to seven. Chance to miss: below P(N < -3) = 0.0014.
    """
    target, draft = hardest(contexts, 2)
    rounds = 2 * BATCH
    plan, chance = coupling(target, draft, 2), float(optimum(target, draft, 2).acceptance)
    away = abs(acceptance_of(plan, target, factor) - chance) * np.sqrt(rounds / (chance * (1 - chance)))
    assert away > 10
    kept = simulate(defect, plan, draft, rounds, 31)[1]
    assert not agreement(np.arange(rounds) < kept, np.full(rounds, chance)).passed


def test_a_lesser_rule_is_seen(contexts):
    """Recursive rejection in the optimal verifier's place: lossless, but not the optimum. 20,000 rounds are enough."""
    target, draft = hardest(contexts, 2)
    rounds, rule = 20_000, rules.get("recursive")
    chance, own = float(optimum(target, draft, 2).acceptance), float(acceptance(rule, target, draft, 2).values)
    assert abs(own - chance) * np.sqrt(rounds / (chance * (1 - chance))) > 10
    generator = np.random.default_rng(31)
    edges = np.cumsum(draft) / draft.sum()
    tokens = np.searchsorted(edges, generator.random((rounds, 2)), side="right")
    both = (np.broadcast_to(law, (rounds, 256)) for law in (target, draft))
    verdict = rule.verify(*both, tokens, generator.random((rounds, 3)), check=False)
    assert not agreement(verdict.accepted >= 0, np.full(rounds, chance)).passed
