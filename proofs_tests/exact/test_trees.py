"""Tree rules that select by optimal transport: exact selection, their steps, and how far they are from the joint
optimum."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from proofs_tests import checks, identities, trees
from proofs_tests.laws import Instance, for_all, instances, law
from specmath import draft_laws, exact, rules, transport
from specmath.rules import multipath_block
from specmath.transport.joint import joint_optimum
from specmath.transport.selection import selection, set_masses

PLANNED = [name for name in rules.names("tree") if not rules.get(name).same_plan]
BINARY, PATHS = (-1, -1, 0, 0, 1, 1), (-1, 0, -1, 2)


def shaped(*shapes: tuple[int, ...], size: tuple[int, ...] = (2,)) -> st.SearchStrategy[Instance]:
    """Instances with one of the given trees in place of their own."""
    drawn = instances("conditional_transport", "iid", sizes=size, paths=100)
    return st.builds(lambda instance, parents: replace(instance, parents=parents), drawn, st.sampled_from(shapes))


@pytest.mark.parametrize("drafts", ["iid", "without_replacement", "greedy", "top_k"])
def test_exact_selection_is_optimal_and_possible(drafts: str) -> None:
    """The marginal is a law that the plan has, and sum min(weight p, r) is the optimum of the weighted target."""

    def check(chosen: tuple[Instance, int]) -> None:
        instance, share = chosen
        target, draft, n = instance.target(()), instance.draft(()), len(instance.parents)
        weight = Fraction(share, 8)
        found = selection(target, draft, n, drafts, weight)
        drafted = draft_laws.get(drafts).law(draft, n)
        assert set_masses(draft, n, drafts) == transport.drafted_sets(drafted)
        assert sum(found.marginal) == 1
        for tokens, mass in set_masses(draft, n, drafts).items():
            row = found.plan[tokens]
            assert sum(row) == mass
            assert all(x in tokens or not kept for x, kept in enumerate(row))
        for token, r in enumerate(found.marginal):
            assert r == sum(row[token] for row in found.plan.values())
        goal = [weight * p for p in target]
        reached = sum(min(p, r) for p, r in zip(goal, found.marginal, strict=True))
        assert reached == transport.max_flow(goal, drafted).acceptance

    rule = "sampler_match"
    for_all(st.tuples(instances(rule, drafts, sizes=(2, 3), paths=100), st.integers(0, 8)), check, examples=40)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.claim(f"verify/{n}", "exact")) for n in PLANNED])
def test_the_step_has_the_law_of_the_program_for_one_plan(name: str) -> None:
    sample = st.tuples(shaped((-1, -1, 0), (-1, 0, 0), (-1, -1, -1), size=(2, 3)), st.integers(0, 200))
    for_all(sample, trees.step_is_program(rules.get(name)), examples=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANNED)
def test_the_step_has_the_law_of_the_program_on_larger_trees(name: str) -> None:
    sample = st.tuples(instances(name, "iid", sizes=(2, 3), paths=300, nodes=5), st.integers(0, 200))
    for_all(sample, trees.step_is_program(rules.get(name)), examples=40)


@pytest.mark.claim("identity/conditional-transport-chain-is-block", "exact")
def test_conditional_transport_of_a_chain_is_block() -> None:
    for_all(instances("block", "iid"), identities.chain_is_block(rules.get("conditional_transport")), examples=40)


@pytest.mark.parametrize("name", ["multipath_block", "conditional_transport"])
def test_one_path_is_block(name: str) -> None:
    for_all(instances("block", "iid"), identities.chain_is_block(rules.get(name)), examples=15)


@pytest.mark.claim("identity/conditional-transport-above-node-wise", "exact")
def test_conditional_transport_is_at_least_node_wise() -> None:
    check = trees.at_least_node_wise(rules.get("conditional_transport"), rules.get("optimal_paths"))
    for_all(shaped(BINARY, PATHS, (-1, -1, 0, 0, 0), (-1, -1, -1, 0, 1)), check, examples=40)


@pytest.mark.claim("identity/conditional-transport-above-node-wise", "exact")
def test_conditional_transport_is_at_least_node_wise_below_a_chain() -> None:
    """One draft at every node, and siblings that are all leaves: the numbers of drafts do not depend on the tokens."""
    check = trees.at_least_node_wise(rules.get("conditional_transport"), rules.get("optimal_paths"))
    for_all(shaped((-1, 0, 1, 1), (-1, 0, 1, 1, 1)), check, examples=25)


SAME = law(1, 0), law(1, 0)
STEEP = law(1, 3), law(1, 1)
RAISED = ((law(9, 1), law(1, 0)), STEEP, SAME, STEEP, SAME, SAME, SAME)
UNEVEN = (
    (law(1, 1), law(3, 50)),
    (law(2, 1), law(50, 3)),
    (law(1, 3), law(1, 5)),
    (law(10, 1), law(50, 1)),
    (law(50, 3), law(25, 1)),
    (law(1, 3), law(1, 2)),
    (law(1, 10), law(1, 5)),
)


@pytest.mark.parametrize(
    ("parents", "table", "transport", "node_wise"),
    [
        ((-1, 0, 0, 1, 2), RAISED, 5613 / 2080, 2.7),
        ((-1, 0, 1, -1, 3, 4), RAISED, 5613 / 2080, 2.7),
        ((-1, -1, 0, 0, 2, 2), UNEVEN, 1.610098, 1.623496),
    ],
)
def test_deeper_trees_where_node_wise_is_above(
    parents: tuple[int, ...], table: Any, transport: float, node_wise: float
) -> None:
    """Where the theorem ends: deeper than two levels, a number of drafts that depends on the selected draft."""
    instance = Instance(2, "iid", parents, table)
    means = [checks.accepted_length(rules.get(name), instance) for name in ("conditional_transport", "optimal_paths")]
    assert means[0] < means[1]
    assert [float(mean) for mean in means] == pytest.approx([transport, node_wise], abs=1e-6)


@pytest.mark.claim("identity/conditional-transport-above-node-wise", "exact")
@pytest.mark.parametrize("name", PLANNED)
def test_one_level_reaches_the_optimum(name: str) -> None:
    for_all(shaped((-1,), (-1, -1), (-1, -1, -1), size=(2, 3)), trees.level_is_optimal(rules.get(name)), examples=40)


@pytest.mark.claim("identity/joint-optimum", "exact")
@pytest.mark.parametrize("name", [name for name in rules.names("tree") if rules.get(name).shape == "any"])
def test_no_rule_is_above_the_joint_optimum(name: str) -> None:
    for_all(shaped(BINARY, PATHS), trees.never_above_joint(rules.get(name)), examples=10)


@pytest.mark.claim("identity/joint-optimum", "exact")
def test_more_of_the_joint_optimum() -> None:
    for_all(shaped(PATHS), trees.never_above_joint(rules.get("multipath_block")), examples=10)
    without = st.builds(lambda instance: replace(instance, drafts="without_replacement"), shaped(BINARY, size=(3,)))
    for_all(
        without.filter(lambda x: all(sum(q > 0 for q in draft) >= 2 for _, draft in x.pairs)),
        trees.never_above_joint(rules.get("traversal")),
        examples=4,
    )


@pytest.mark.claim("identity/joint-optimum", "exact")
def test_block_reaches_the_joint_optimum_of_a_chain() -> None:
    chains = instances("block", "iid", sizes=(2, 3))
    for_all(chains, trees.reaches_joint(rules.get("block")), examples=25)


def test_the_joint_optimum_of_one_level_is_the_optimum() -> None:
    def check(instance: Instance) -> None:
        best = checks.optimum(instance.target(()), instance.draft(()), len(instance.parents), "iid")
        assert trees.joint(instance).accepted == pytest.approx(float(best), abs=1e-6)

    for_all(shaped((-1, -1), (-1, -1, -1), size=(2, 3)), check, examples=25)


def test_the_joint_optimum_keeps_to_its_budget() -> None:
    with pytest.raises(exact.BudgetError, match="budget=5"):
        joint_optimum(lambda _: [0.5, 0.5], lambda _: [0.5, 0.5], BINARY, budget=5)


TABLE = ((law(3, 4, 3), law(6, 3, 1)), (law(1, 4, 2), law(3, 3, 1)), (law(2, 5, 1), law(2, 2, 2)))


def test_a_gain_over_traversal_that_can_be_read() -> None:
    """Three tokens, two i.i.d. paths of two: accepted tokens per round, largest last."""
    instance = Instance(3, "iid", PATHS, TABLE)
    names = ("traversal", "optimal_paths", "conditional_transport")
    means = [checks.accepted_length(rules.get(name), instance) for name in names]
    assert all(low < high for low, high in pairwise(means)), [float(mean) for mean in means]
    assert float(means[-1]) <= trees.joint(instance).bound + 1e-7


@pytest.mark.parametrize("parents", [(-1, -1, 0), (-1, 0, 0), (-1, 0, -1)])
def test_multipath_block_refuses_other_trees(parents: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="chains of one length"):
        multipath_block.check_paths(parents)
    even, tokens, rule = np.full((4, 2), 0.5), np.zeros(3, dtype=int), rules.get("multipath_block")
    with pytest.raises(ValueError, match="chains of one length"):
        rule.verify(even, even[:3], tokens, np.full(4, 0.5), np.array(parents))


@pytest.mark.parametrize("name", [name for name in rules.names("tree") if name != "traversal"])
def test_one_tree_without_batch_axes_and_parents_of_its_own(name: str) -> None:
    """Rows of a batch are independent: alone, and with parents per row, each gives what it gives together."""
    rule, generator = rules.get(name), np.random.default_rng(0)
    target, draft = generator.dirichlet(np.ones(5), size=(6, 5)), generator.dirichlet(np.ones(5), size=(6, 1))
    draft = np.broadcast_to(draft, (6, 4, 5))
    tokens, uniforms = generator.integers(5, size=(6, 4)), generator.random((6, rule.uniforms(4)))
    parents = np.array(PATHS)
    together = rule.verify(target, draft, tokens, uniforms, parents)
    apart = rule.verify(target, draft, tokens, uniforms, np.broadcast_to(parents, (6, 4)))
    np.testing.assert_array_equal(together.tokens, apart.tokens)
    for row in range(6):
        alone = rule.verify(target[row], draft[row], tokens[row], uniforms[row], parents)
        np.testing.assert_array_equal(alone.tokens, together.tokens[row])
        assert alone.accepted == together.accepted[row]
