"""Small print of the tree rules: which uniforms a step reads, padded places, weights of the selection, zero targets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from proofs_tests import checks
from proofs_tests.laws import Instance, law
from proofs_tests.statistical import simulate
from proofs_tests.statistical.cases import CONTEXT
from specmath import rules
from specmath.rules.selecting import choose
from specmath.rules.tree_walk import Level
from specmath.transport import coupling

CHAIN, PATHS, THREE = (-1, 0, 1), (-1, 0, -1, 2), (-1, 0, -1, 2, -1, 4)
PLANNED = [name for name in rules.names("tree") if not rules.get(name).same_plan]
ROWS = 400


def changed(name: str, places: slice) -> int:
    """Rows of 400 random chains of three whose verdict moves when these uniforms are drawn anew."""
    rule, generator = rules.get(name), np.random.default_rng(1)
    target, draft = generator.dirichlet(np.ones(4), (ROWS, 4)), generator.dirichlet(np.ones(4), (ROWS, 3))
    tokens, uniforms = generator.integers(4, size=(ROWS, 3)), generator.random((ROWS, rule.uniforms(3)))
    other = uniforms.copy()
    other[:, places] = generator.random(other[:, places].shape)
    one, two = (rule.verify(target, draft, tokens, points, np.array(CHAIN)) for points in (uniforms, other))
    return int((np.asarray(one.tokens) != np.asarray(two.tokens)).any(axis=-1).sum())


@pytest.mark.parametrize("name", PLANNED)
def test_a_chain_reads_no_position_and_no_coin(name: str) -> None:
    """Nothing is selected on a chain: only the tests and the last draw decide."""
    assert rules.get(name).coins(3)[6:] == ("accept 0", "accept 1", "accept 2", "final")
    assert changed(name, slice(0, 6)) == 0
    assert changed(name, slice(6, 9)) > 0
    assert changed(name, slice(9, 10)) > 0


def test_each_depth_of_spectr_has_a_residual_of_its_own() -> None:
    """Equal laws at the root accept there; a draw after a rejection below depends on the second residual only."""
    rule, generator = rules.get("spectr"), np.random.default_rng(2)
    assert rule.coins(2) == ("draft 0", "draft 1", "residual 0", "residual 1", "final")
    target, draft = generator.dirichlet(np.ones(6), (ROWS, 3)), generator.dirichlet(np.ones(6), (ROWS, 2))
    draft[:, 0] = target[:, 0]
    tokens, uniforms = generator.integers(6, size=(ROWS, 2)), generator.random((ROWS, 5))
    emitted = []
    for places in ([], [2], [3]):
        points = uniforms.copy()
        points[:, places] = generator.random((ROWS, len(places)))
        emitted.append(np.asarray(rule.verify(target, draft, tokens, points, np.array([-1, 0])).tokens))
    assert (emitted[0] == emitted[1]).all()
    assert (emitted[0] != emitted[2]).any()


def untested(rule: rules.Rule) -> rules.Rule:
    """The planted defect: whatever is selected is kept."""

    def step(target: Any, draft: Any, tokens: Any, uniforms: Any, parents: Any, **options: Any) -> rules.Verdict:
        size, without = tokens.shape[-1], uniforms.copy()
        without[..., 2 * size : 3 * size] = 0
        return rule.step(target, draft, tokens, without, parents, **options)

    return replace(rule, step=step)


@pytest.mark.parametrize("name", PLANNED)
def test_three_paths_of_two_are_lossless(name: str) -> None:
    """Joint law of three tokens, 40,000 rounds, false-alarm rate 1e-6; and the defect raises the alarm.

    A position in place of the test's uniform would hardly be seen here: the position of a selected draft is uniform
    inside its token, too. `test_a_chain_reads_no_position_and_no_coin` is what excludes it.
    """
    instance = Instance(3, "iid", THREE, CONTEXT)
    text = simulate.vector(rules.text_law(instance.target, 3), 3, 3)
    assert not simulate.alarm(simulate.texts(rules.get(name), instance, 40_000, 3, seed=6), text)
    assert simulate.alarm(simulate.texts(untested(rules.get(name)), instance, 40_000, 3, seed=6), text)


@pytest.mark.parametrize("drafts", ["iid", "without_replacement"])
def test_the_selection_is_the_optimal_one_for_each_rows_weight(drafts: str) -> None:
    """Rows of one context and different weights, two contexts mixed: every row has the marginal of its own weight.

    Selecting as for weight one stays lossless and costs acceptance only, too little to be seen in a mean of tokens.
    """
    generator = np.random.default_rng(0)
    target, draft = generator.dirichlet(np.full(6, 0.7), 2), generator.dirichlet(np.full(6, 0.7), 2)
    context, weight = np.array([0, 1, 0, 1, 0, 1]), np.array([1.0, 0.6, 0.3, 0.6, 0.6, 1.0])
    rows = len(context)
    tokens = np.array([[0, 1]] * rows)
    level = Level(target[context], draft[context], np.full(rows, 2), np.tile([0, 1], (rows, 1)), tokens, most=2)
    uniforms = generator.random((rows, 7))
    index, marginal = choose(level, weight, uniforms, drafts)
    lost = 0.0
    for row in range(rows):
        plan, all_ = (
            coupling(target[context[row]], draft[context[row]], 2, drafts, weight=np.array(w)) for w in (weight[row], 1)
        )
        assert marginal[row] == pytest.approx(plan.marginal, abs=1e-9)
        assert index[row] == plan.select(tokens[row], uniforms[row, :4])
        missed = plan.acceptance - np.minimum(weight[row] * target[context[row]], all_.marginal).sum()
        lost = max(lost, float(missed))
    assert lost > 1e-3, "with these laws the weight matters"


PEAKED = law(18, 1, 1), law(5, 3, 2)
"""Token 0 is the likeliest of the draft, which stands in padded places, and has the largest target / draft."""


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("multipath_block", (1, 0, 2, 1)), ("multipath_block", (1, 1, 2, 0)), ("spectr", (1, 1, 2, 0))],
)
def test_padded_places_are_no_drafts(name: str, tokens: tuple[int, ...]) -> None:
    """Two drafts at the root of four nodes: two places of the level are padded. Verify has the law of program."""
    instance = Instance(3, "iid", PATHS, (PEAKED, PEAKED, (law(1, 4, 2), law(3, 3, 1)), (law(2, 1, 5), law(1, 1, 1))))
    contexts = next(found for drafted, found in checks.realisations(instance) if drafted == tokens)
    rule = rules.get(name)
    judge = checks.program_law(rule, instance, tokens, contexts)
    assert float(judge.total_variation(checks.verify_law(rule, instance, tokens, contexts))) < checks.CLOSE


def best_of(target: tuple[Any, ...], draft: tuple[Any, ...], n: int) -> Any:
    """sum min(p, r) for the largest target / draft of n i.i.d. drafts, in exact order."""
    below, found = 0 * draft[0], 0 * draft[0]
    for x in sorted(range(len(draft)), key=lambda x: target[x] / draft[x]):
        found += min(target[x], (below + draft[x]) ** n - below**n)
        below += draft[x]
    return found


@pytest.mark.parametrize(
    ("target", "draft"),
    [
        (law(5, 6, 7), law(6, 6, 6)),  # logarithms of the ratios within 0.4 of each other
        (law(9, 10, 11, 10), law(10, 9, 10, 11)),
        (law(1001, 1000, 999), law(1000, 1000, 1000)),  # and within 0.002
    ],
)
@pytest.mark.parametrize("n", [2, 3])
def test_multipath_block_tells_close_ratios_apart(target: tuple[Any, ...], draft: tuple[Any, ...], n: int) -> None:
    """The order is by ratio to one part in 4096: for these laws it is the exact order."""
    rule, instance = rules.get("multipath_block"), Instance(len(target), "iid", (-1,) * n, ((target, draft),))
    assert checks.accepted_length(rule, instance) == best_of(target, draft, n)


def test_a_token_that_the_target_excludes_is_rejected_at_uniform_zero() -> None:
    """coin * r < p is strict: with p = 0 no coin is small enough."""
    target, draft = np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([[0.5, 0.5]])
    for name in rules.names("tree"):
        rule = rules.get(name)
        found = rule.verify(target, draft, np.array([0]), np.zeros(rule.uniforms(1)), np.array([-1]))
        assert found.tokens.tolist() == [1, -1], name
        assert int(found.accepted) == -1
