"""Size and depth at measured costs: every pair tried, on tables of both kinds of tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.drafters import Tree
from specmath.speed import Curve
from specmath.trees import brute_force, by_rank, choose_size, expected_tokens, heaviest, weight_table

RATES = [0.55, 0.2, 0.1]


@given(
    st.lists(st.floats(0.1, 10), min_size=6, max_size=6),
    st.lists(st.floats(0, 3), min_size=3, max_size=3).map(sorted),
)
def test_the_choice_is_the_best_of_all_trees(verify: list[float], draft: list[float]) -> None:
    """Any cost of reading, also one that falls: no tree of up to 5 nodes emits more tokens per second."""
    table = by_rank(RATES, 5, depth=3)
    best = choose_size(table.values, verify=lambda tokens: verify[tokens - 1], draft=lambda depth: draft[depth - 1])

    def rate(parents: tuple[int, ...]) -> float:
        spent = verify[len(parents)] + (draft[Tree(parents).depth - 1] if parents else 0.0)
        return float(expected_tokens(parents, [RATES[:1], RATES[:2], RATES])) / spent

    found = float(brute_force(rate, 5, depth=3, width=3)[1])
    assert best.speedup / verify[0] >= found * (1 - 1e-12)
    if verify == sorted(verify):  # else a tree may be filled up to a size that costs less, which the search does not do
        assert best.speedup / verify[0] == pytest.approx(found)
    tree = table.tree(best.nodes, best.depth)
    assert best.tokens == pytest.approx(float(tree.expected_tokens))
    assert best.seconds == pytest.approx(verify[best.nodes] + (draft[best.depth - 1] if best.depth else 0.0))


@given(st.lists(st.floats(0.1, 10), min_size=6, max_size=6).map(sorted), st.floats(0, 3))
def test_the_choice_is_reached_where_costs_rise(verify: list[float], step: float) -> None:
    table = by_rank(RATES, 5, depth=3)
    best = choose_size(table.values, verify=lambda tokens: verify[tokens - 1], draft=lambda depth: step * depth)
    tree = table.tree(best.nodes, best.depth)
    spent = verify[tree.nodes] + step * tree.depth
    assert float(tree.expected_tokens) / spent == pytest.approx(best.speedup / verify[0])


def test_parents_are_those_of_the_decoder() -> None:
    """A planned tree is handed to the reference drafters as it is."""
    table = by_rank(RATES, 9, depth=4)
    for planned in (table.tree(9), heaviest(lambda path: [0.5, 0.3, 0.2], 9)):
        tree = Tree(planned.parents)
        assert (tree.depths, tree.depth) == (planned.depths, planned.depth)


def cost(table: Any, **laws: Any) -> tuple[int, int]:
    best = choose_size(table, **laws)
    return best.nodes, best.depth


def test_costs_move_the_choice() -> None:
    """Controls: forgetting the draft, the size's cost or the bonus in the table leads to another choice."""
    table = by_rank([0.7, 0.15, 0.1], 40, depth=8).values
    verify, draft = Curve((1, 8, 41), (1.0, 1.1, 2.0)), lambda depth: 0.1 * depth
    best = cost(table, verify=verify, draft=draft)
    assert cost(table, verify=verify, draft=lambda depth: 0.0) != best
    assert cost(table, verify=lambda tokens: 1.0, draft=draft) != best
    assert cost(np.maximum(table - 1, 1), verify=verify, draft=draft) != best
    assert cost(table, verify=verify, draft=lambda depth: 9.0 if depth else 0.0) == (0, 0)
    assert cost(table, verify=verify, draft=draft, sizes=[3]) == (3, 3)


def test_weight_table_is_the_heaviest_tree_of_each_size() -> None:
    law = lambda path: [0.5, 0.3] if len(path) % 2 else [0.6, 0.2, 0.1]  # noqa: E731
    table = weight_table(law, 12, depth=4)
    for depth in range(1, 5):
        for nodes in range(1, 13):
            assert table[depth, nodes] == pytest.approx(float(heaviest(law, nodes, depth=depth).expected_tokens))


def test_unmeasured_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="tokens is 9; measured were 1 to 8"):
        choose_size(np.full((2, 9), 2.0), verify=Curve((1, 8), (1.0, 1.0)), draft=lambda depth: 0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choose_size([1, 2], verify=lambda t: 1, draft=lambda d: 0), r"values has shape \(2,\)"),
        (lambda: choose_size([[0.5]], verify=lambda t: 1, draft=lambda d: 0), "values holds numbers below 1"),
        (lambda: choose_size([[np.nan]], verify=lambda t: 1, draft=lambda d: 0), "values holds numbers below 1"),
        (
            lambda: choose_size([[1, 1]], verify=lambda t: 0, draft=lambda d: 0),
            r"verify\(1\) is 0.0; allowed are finite",
        ),
        (lambda: choose_size([[1], [1]], verify=lambda t: 1, draft=lambda d: -1), r"draft\(1\) is -1.0"),
        (lambda: choose_size([[1]] * 3, verify=lambda t: 1, draft=lambda d: 3 - d), "draft falls"),
        (lambda: choose_size([[1, 1]], verify=lambda t: 1, draft=lambda d: 0, sizes=[2]), "sizes holds 2"),
        (lambda: weight_table(lambda path: [0.5], 0, depth=1), "nodes is 0"),
    ],
)
def test_bad_input(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_nodes_without_depth_are_no_choice() -> None:
    """A pass over more tokens that costs less is no reason to draft nodes at depth 0: there are none."""
    best = choose_size([[1, 1], [1, 1.1]], verify=lambda tokens: 3.0 - tokens, draft=lambda depth: 5.0)
    assert (best.nodes, best.depth, best.speedup) == (0, 0, 1.0)
