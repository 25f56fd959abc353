"""Output law == target law, over Fractions, for every rule and every draft law it supports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proofs_tests import checks
from proofs_tests.laws import Instance, for_all, instances, law
from specmath import exact, rules

CASES = [(name, drafts) for name in rules.names() if rules.get(name).lossless for drafts in rules.get(name).drafts]
EXAMPLES = {"node": 60, "chain": 40, "tree": 30}

A, B, C = law(1, 3), law(5, 2), law(2, 1)
A3, B3, C3 = law(1, 0, 3), law(5, 2, 1), law(2, 2, 3)
A4, B4 = law(1, 0, 3, 2), law(5, 2, 1, 1)
TWO, THREE, FOUR = ((A, B), (B, C), (C, A)), ((A3, B3), (B3, C3), (C3, C3)), ((A4, B4), (B4, B4))
BINARY_12 = (-1, -1, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4)
DEEP_12 = (-1, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)


def params() -> list[Any]:
    return [
        pytest.param(name, drafts, marks=pytest.mark.claim(f"lossless/{name}/{drafts}", "exact"), id=f"{name}-{drafts}")
        for name, drafts in CASES
    ]


@pytest.mark.parametrize(("name", "drafts"), params())
def test_output_law_is_the_targets(name: str, drafts: str) -> None:
    rule = rules.get(name)
    for_all(instances(name, drafts), checks.lossless(rule), examples=EXAMPLES[rule.layout])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "drafts"), params())
def test_output_law_is_the_targets_on_many_more_instances(name: str, drafts: str) -> None:
    rule = rules.get(name)
    if rule.same_plan and name != "spectr":
        paths, nodes, examples = 2000, 12, 400
    else:  # a flow or a root search at every node of every outcome: a hundred times dearer
        paths, nodes, examples = 400, 8, 60
    for_all(instances(name, drafts, paths=paths, nodes=nodes), checks.lossless(rule), examples=examples)


def shows_a_loss(rule: rules.Rule, drafts: str) -> bool:
    """Whether some instance has an output law other than the target's."""
    try:
        for_all(instances(rule.name, drafts), checks.lossless(rule), examples=60, shrink=False)
    except AssertionError:
        return True
    return False


def test_rules_declared_lossy_are_and_no_others() -> None:
    lossy = [name for name in rules.names() if not rules.get(name).lossless]
    assert all(shows_a_loss(rules.get(name), drafts) for name in lossy for drafts in rules.get(name).drafts)
    assert not shows_a_loss(rules.get("single"), "iid")
    redraws = replace(
        rules.get("single"), program=lambda chance, p, q, x: x[0] if chance.flip(p[x[0]]) else chance.draw(p)
    )
    assert shows_a_loss(redraws, "iid")


LARGE = [
    ("recursive", "iid", 4, (-1,) * 4, FOUR),
    ("k_seq", "iid", 4, (-1,) * 4, FOUR),
    ("block", "iid", 4, (-1, 0, 1), FOUR),
    ("traversal", "without_replacement", 3, (-1, -1, 0, 0, 1, 1), THREE),
    ("traversal", "iid", 3, (-1, -1, 0, 0), THREE),
    ("traversal", "without_replacement", 4, (-1, -1, 0, 1), FOUR),
    ("traversal", "iid", 4, (-1, -1, 0), FOUR),
    ("traversal", "without_replacement", 2, (-1, -1, 0, 0, 1, 1, 2, 2), TWO),
    ("traversal", "iid", 2, (-1, -1, 0, 0, 1, 1), TWO),
]
HEAVY = [
    ("traversal", "without_replacement", 2, BINARY_12, TWO),
    ("traversal", "without_replacement", 2, DEEP_12, TWO),
    ("traversal", "iid", 2, (-1, -1, 0, 0, 1, 1, 2, 2), TWO),
    ("traversal", "iid", 3, (-1, -1, 0, 0, 1, 1), THREE),
    ("traversal", "iid", 4, (-1, -1, 0, 1), FOUR),
]


def check_fixed(name: str, drafts: str, size: int, parents: tuple[int, ...], pairs: Any) -> None:
    assert checks.lossless_error(rules.get(name), Instance(size, drafts, parents, pairs), budget=100_000) == 0


@pytest.mark.parametrize(("name", "drafts", "size", "parents", "pairs"), LARGE)
def test_larger_shapes(name: str, drafts: str, size: int, parents: tuple[int, ...], pairs: Any) -> None:
    check_fixed(name, drafts, size, parents, pairs)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "drafts", "size", "parents", "pairs"), HEAVY)
def test_largest_shapes(name: str, drafts: str, size: int, parents: tuple[int, ...], pairs: Any) -> None:
    check_fixed(name, drafts, size, parents, pairs)


def test_a_round_beyond_the_budget_gives_no_answer() -> None:
    with pytest.raises(exact.BudgetError, match="budget=50"):
        checks.lossless_error(rules.get("recursive"), Instance(4, "iid", (-1,) * 3, FOUR), budget=50)
