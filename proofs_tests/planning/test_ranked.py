"""Sequoia's program and its relative for any shares: against every ordered tree, the lemma, and exact rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.planning.loops import SIGMAS
from specmath import draft_laws, exact, rules
from specmath.speed.tables import load
from specmath.trees import (
    acceptance_curve,
    brute_force,
    by_depth,
    by_rank,
    by_shares,
    every_tree,
    expected_tokens,
    heaviest,
)
from specmath.trees.ranked import TreeTable

NODES, DEPTH = 6, 4


def rows(most: int) -> st.SearchStrategy[list[list[float]]]:
    """Shares for 1 .. most children, sixteenths, each row at most one in all."""
    row = lambda k: st.lists(st.integers(0, 16 // k), min_size=k, max_size=k).map(  # noqa: E731
        lambda counts: [count / 16 for count in counts]
    )
    return st.tuples(*(row(k) for k in range(1, most + 1))).map(list)


def prefixes(rates: Sequence[Any]) -> list[Sequence[Any]]:
    return [rates[: k + 1] for k in range(len(rates))]


def check(table: TreeTable, shares: Sequence[Sequence[float]]) -> None:
    """Every entry is the best of all trees of that size and depth, and is reached by the table's own tree."""
    for depth in range(1, DEPTH + 1):
        for nodes in range(1, NODES + 1):
            _, best = brute_force(lambda p: expected_tokens(p, shares), nodes, depth=depth, width=len(shares))
            assert table.values[depth, nodes] == pytest.approx(float(best), abs=1e-12)
            tree = table.tree(nodes, depth)
            assert tree.nodes <= nodes
            assert tree.depth <= depth
            assert tree.expected_tokens == pytest.approx(float(best), abs=1e-12)
            assert expected_tokens(tree.parents, shares) == pytest.approx(float(best), abs=1e-12)


RATES = [[0.6, 0.2, 0.1], [0.3, 0.3, 0.3], [0.1, 0.5, 0.2], [1.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.25, 0.0, 0.25]]


@pytest.mark.claim("trees/by-rank", "exact")
@pytest.mark.parametrize("rates", RATES, ids=str)
def test_by_rank_is_the_best_tree(rates: list[float]) -> None:
    check(by_rank(rates, NODES, depth=DEPTH), prefixes(rates))


@pytest.mark.parametrize(
    "shares", [[[0.6], [0.4, 0.4]], [[0.2], [0.1, 0.7], [0.3, 0.3, 0.4]], [[0.5], [0.3, 0.2], [0.0, 0.0, 0.0]]], ids=str
)
def test_by_shares_is_the_best_tree(shares: list[list[float]]) -> None:
    check(by_shares(shares, NODES, depth=DEPTH), shares)


@given(rows(3))
def test_shares_of_ranks_are_ranks(shares: list[list[float]]) -> None:
    rates = shares[-1]
    one, other = by_rank(rates, 12, depth=4), by_shares(prefixes(rates), 12, depth=4)
    assert one.values == pytest.approx(other.values, abs=1e-12)


@given(rows(4))
def test_falling_rates_need_no_program(shares: list[list[float]]) -> None:
    """With rates that fall in the rank Sequoia's optimum is the n heaviest paths."""
    rates = sorted(shares[-1], reverse=True)
    table = by_rank(rates, 20, depth=5)
    for nodes in (1, 3, 8, 20):
        tree = heaviest(by_depth([rates] * 5), nodes)
        assert table.values[5, nodes] == pytest.approx(float(tree.expected_tokens), abs=1e-12)


def test_levels_have_rates_of_their_own() -> None:
    """Rates by depth, against every tree: each level's children by its own row, the last row below."""
    rates = [[0.7, 0.1], [0.2, 0.2], [0.5, 0.4]]

    def value(parents: tuple[int, ...]) -> float:
        weights, depths, used = [], [], {}
        for node, parent in enumerate(parents):
            depth = 1 + (depths[parent] if parent >= 0 else 0)
            rank = used[parent] = used.get(parent, -1) + 1
            depths.append(depth)
            weights.append((weights[parent] if parent >= 0 else 1.0) * rates[min(depth, 3) - 1][rank])
            assert node == len(weights) - 1
        return 1 + sum(weights)

    table = by_rank(rates, NODES, depth=DEPTH)
    for depth in range(1, DEPTH + 1):
        for nodes in range(1, NODES + 1):
            best = brute_force(value, nodes, depth=depth, width=2)[1]
            assert table.values[depth, nodes] == pytest.approx(float(best), abs=1e-12)
            assert value(table.tree(nodes, depth).parents) == pytest.approx(float(best), abs=1e-12)


def skipping(rates: list[float]) -> TreeTable:
    """Defect: ranks may be left out, as if a second draft could be had without a first."""
    return by_rank(sorted(rates, reverse=True), NODES, depth=DEPTH)


def chain_only(rates: list[float]) -> TreeTable:
    """Defect: one child a node."""
    return by_rank(rates[:1], NODES, depth=DEPTH)


def one_deeper(rates: list[float]) -> TreeTable:
    """Defect: depth counted from the text's last token."""
    table = by_rank(rates, NODES, depth=DEPTH + 1)
    return TreeTable(table.values[1:], lambda nodes, depth: table.tree(nodes, depth + 1))


def same_shares(rates: list[float]) -> TreeTable:
    """Defect: the first child's rate for all."""
    return by_shares([[rates[0] / (k + 1)] * (k + 1) for k in range(len(rates))], NODES, depth=DEPTH)


@pytest.mark.claim("trees/by-rank", "control")
@pytest.mark.parametrize("defect", [skipping, chain_only, one_deeper, same_shares])
def test_defects_are_caught(defect: Callable[[list[float]], TreeTable]) -> None:
    caught = 0
    for rates in RATES:
        try:
            check(defect(rates), prefixes(rates))
        except AssertionError:
            caught += 1
    assert caught


def test_every_tree_is_each_tree_once() -> None:
    for nodes in range(1, 8):
        found = list(every_tree(nodes))
        assert len(found) == len(set(found)) == comb(2 * nodes, nodes) // (nodes + 1)
    assert all(max(parents.count(p) for p in parents) <= 2 for parents in every_tree(5, width=2))
    assert len(list(every_tree(4, depth=1))) == 1


TARGET = (Fraction(5, 10), Fraction(2, 10), Fraction(3, 10))
DRAFT = (Fraction(1, 10), Fraction(4, 10), Fraction(5, 10))


def played(
    rule: str, drafts: str, parents: tuple[int, ...], target: Any = TARGET, draft: Any = DRAFT
) -> Callable[[exact.Chance], int]:
    """A round of node-by-node verification with context-free laws: emitted tokens.

    Equal drafts are alike: the accepted one is drawn among them, so that no child is preferred.
    """
    program, law = rules.get(rule).under(drafts).program, draft_laws.get(drafts)

    def play(chance: exact.Chance) -> int:
        node, emitted = -1, 0
        while True:
            emitted += 1
            below = [child for child, parent in enumerate(parents) if parent == node]
            if not below:
                return emitted
            tokens = law.program(chance, draft, len(below))
            token = program(chance, target, draft, tokens)
            equal = [child for child, drafted in zip(below, tokens, strict=True) if drafted == token]
            if not equal:
                return emitted
            first = rule in ("recursive", "recursive_without_replacement", "sampler_match")
            node = equal[0] if first else equal[chance.draw([Fraction(1, len(equal))] * len(equal))]

    return play


SETTINGS = [
    ("recursive", "iid", "recursive"),
    ("recursive_without_replacement", "without_replacement", "recursive_without_replacement"),
    ("sampler_match", "iid", "sampler_match"),
    ("optimal", "iid", None),
]
PARENTS = [(-1, -1), (-1, -1, 0), (-1, 0, 0), (-1, -1, 1)]


@pytest.mark.parametrize("parents", PARENTS, ids=str)
@pytest.mark.parametrize(("rule", "drafts", "curve"), SETTINGS)
def test_shares_are_those_of_real_rounds(rule: str, drafts: str, curve: str | None, parents: tuple[int, ...]) -> None:
    """Context-free laws: the expected tokens from the curve are those of the exact law of rounds."""
    law = exact.law(played(rule, drafts, parents))
    mean = sum(emitted * probability for emitted, probability in law.items())
    shares = acceptance_curve(
        *([float(p) for p in law] for law in (TARGET, DRAFT)), 2, drafts=drafts, rule=curve
    ).shares
    assert float(expected_tokens(parents, shares)) == pytest.approx(float(mean), abs=1e-9)


def test_wrong_shares_are_caught() -> None:
    """Control: shares F(k)/k for a rule that tests in order, and the curve of another rule, are off."""
    for wrong in (
        [[0.6], [0.6 / 2] * 2],
        acceptance_curve([float(p) for p in TARGET], [float(p) for p in DRAFT], 2).shares,
    ):
        parents = (-1, -1, 0)
        law = exact.law(played("recursive", "iid", parents))
        mean = float(sum(emitted * probability for emitted, probability in law.items()))
        assert abs(float(expected_tokens(parents, wrong)) - mean) > 1e-3


@pytest.mark.claim("trees/by-rank", "statistical")
def test_sampled_rounds_emit_the_value() -> None:
    """6,000 sampled rounds on the planned tree; false alarms 2e-9, 12 % off is told with 1 - 1e-9."""
    target, draft = [float(p) for p in TARGET], [float(p) for p in DRAFT]
    table = by_rank(acceptance_curve(target, draft, 3, rule="recursive").increments, 7, depth=4)
    play = played("recursive", "iid", table.tree(7).parents, target, draft)
    chance = exact.Sampled(np.random.default_rng(20261120))
    emitted = np.asarray([play(chance) for _ in range(6_000)], dtype=float)
    error = emitted.std(ddof=1) / np.sqrt(len(emitted))
    assert error < 0.01 * table.values[4, 7]
    assert abs(emitted.mean() - table.values[4, 7]) < SIGMAS * error


def test_curve_of_rules_that_are_not_nested() -> None:
    laws = [0.5, 0.2, 0.3], [0.1, 0.4, 0.5]
    for rule in ("k_seq", "greedy", "optimal"):
        curve = acceptance_curve(*laws, 2, rule=rule)
        assert not curve.nested
        assert [len(row) for row in curve.shares] == [1, 2]
        with pytest.raises(ValueError, match="does not test its candidates one after the other"):
            _ = curve.increments
    many = acceptance_curve(np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([[0.25, 0.75]] * 2), 2)
    assert many.values == pytest.approx([0, (0.75 + 0.35) / 2, many.values[2]])
    assert many.standard_error[1] == pytest.approx(0.2)


def test_sequoia_vector_is_out_of_order() -> None:
    """The shipped rates do not fall everywhere, so that the program and the lemma are two things there."""
    rates = load("sequoia")["rates"]
    assert rates != sorted(rates, reverse=True)
    free = heaviest(by_depth([rates] * 9), 127).expected_tokens
    assert free > by_rank(rates, 127, depth=9).values[9, 127]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: by_rank([], 3, depth=2), "rates: empty"),
        (lambda: by_rank([0.5, -0.1], 3, depth=2), r"rates\[1\] is -0.1"),
        (lambda: by_rank([0.8, 0.3], 3, depth=2), "rates sums to 1.1; allowed is at most 1"),
        (lambda: by_rank([[0.5], []], 3, depth=2), r"rates: empty.*row 1"),
        (lambda: by_rank([0.5], 0, depth=2), "nodes is 0"),
        (lambda: by_rank([0.5], 3, depth=0), "depth is 0"),
        (lambda: by_shares([], 3, depth=2), "shares: empty"),
        (lambda: by_shares([[0.5], [0.5]], 3, depth=2), r"shares\[1\] has 1 entries; allowed are 2"),
        (lambda: by_shares([[0.5], [0.7, 0.5]], 3, depth=2), r"shares\[1\] sums to 1.2"),
        (lambda: by_rank([0.5], 3, depth=2).tree(4), r"tree\(4, 2\) is not in the table"),
        (lambda: expected_tokens((-1, -1), [[0.5]]), "node -1 has 2 children; allowed by shares are up to 1"),
        (lambda: every_tree(13), "nodes is 13; allowed are up to 12"),
        (lambda: acceptance_curve([0.5, 0.5], [0.5, 0.5], 0), "n is 0"),
        (lambda: acceptance_curve([0.5, 0.6], [0.5, 0.5], 1), "target"),
    ],
)
def test_bad_input(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
