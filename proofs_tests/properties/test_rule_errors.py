"""Bad input to rules: the message names the argument, what is wrong and what is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from proofs_tests.properties.test_libraries import inputs
from specmath import rules


def changed(name: str, **changes: Any) -> list[Any]:
    arrays = dict(zip(("target", "draft", "tokens", "uniforms", "parents"), inputs(name), strict=False))
    return list({**arrays, **changes}.values())


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("single", {"target": np.full((400, 5), 0.2)}, "draft: shape .*; its last axes must be"),
        ("single", {"target": np.full((400, 6), 0.2)}, "target: row .* sums to 1.2"),
        ("single", {"draft": np.full((400, 6), 1 / 6).astype(np.float16)}, "draft: dtype float16"),
        ("single", {"tokens": np.full((400, 1), 6)}, "tokens: values from 6 to 6; allowed are 0 to 5"),
        ("single", {"tokens": np.full((400, 1), -1)}, "tokens: values from -1 to -1; allowed are 0 to 5"),
        ("single", {"draft": np.full((400, 6), 0.15)}, "draft: row .* sums to 0.9"),
        ("single", {"tokens": np.full((400, 1), 0.5)}, "tokens: dtype float64"),
        ("single", {"tokens": np.zeros((400, 2), dtype=int)}, "tokens: 2 drafts; this rule allows n = 1"),
        ("single", {"uniforms": np.ones((400, 2))}, "uniforms: a value lies outside"),
        ("single", {"uniforms": np.ones((400, 3))}, "uniforms: shape"),
        ("recursive", {"draft": np.tile(np.eye(6)[5], (400, 1))}, "has draft probability 0"),
        ("block", {"target": np.full((400, 3, 6), 1 / 6)}, "target: shape .*must be \\(4, 6\\)"),
        ("block", {"uniforms": np.full((300, 4), 0.5)}, "uniforms: batch axes \\(300,\\) differ"),
        ("traversal", {"parents": np.array([-1, -1, 0, 0, 4])}, "parents: .*index of an earlier"),
        ("traversal", {"parents": np.array([-1, -1, 0])}, "parents: a tree rule needs 5"),
        (
            "traversal",
            {"parents": np.array([-1.0, -1, 0, 0, 1])},
            "parents: dtype float64; allowed are signed",
        ),
        ("traversal", {"parents": np.full((3, 5), -1)}, "parents: batch axes \\(3,\\); allowed are none, or"),
    ],
)
def test_bad_input_is_named(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rules.get(name).verify(*changed(name, **changes))


def test_parents_belong_to_trees() -> None:
    with pytest.raises(ValueError, match="parents: a chain rule takes none"):
        rules.get("block").verify(*inputs("block"), np.array([-1, 0, 1]))
    with pytest.raises(ValueError, match="parents: a tree rule needs 5"):
        rules.get("traversal").verify(*inputs("traversal")[:4])


def test_unsupported_drafts_and_numbers() -> None:
    half = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match="does not verify drafts='top_k'; allowed are 'iid'"):
        rules.get("k_seq").acceptance(half, half, 2, "top_k")
    with pytest.raises(ValueError, match="n is 2: rule 'single' allows n = 1"):
        rules.get("single").acceptance(half, half, 2)
    with pytest.raises(ValueError, match="rule is 'nope'; allowed are 'single'"):
        rules.get("nope")
    with pytest.raises(ValueError, match=r"rule is \['single'\]; allowed are 'single'"):
        rules.get(["single"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"drafts is \{'iid'\}; allowed are 'iid'"):
        rules.get("recursive").acceptance(half, half, 2, {"iid"})  # type: ignore[arg-type]


def test_the_vocabulary_is_looked_at_before_the_sums() -> None:
    """A draft that was cut to the wrong size sums to less than one; the cut is what went wrong."""
    with pytest.raises(ValueError, match="target has 3 tokens and draft 2; both laws must be over one vocabulary"):
        rules.get("recursive").acceptance(np.array([0.5, 0.3, 0.2]), np.array([0.5, 0.3]), 2)


REPEATED, TREE = np.array([[0, 1, 0, 3]]), np.array([-1, 0, -1, 2])
"""Drafted tokens of which the first and the third are children of the root, and equal."""


def tree(tokens: np.ndarray) -> list[np.ndarray]:
    lead = tokens.shape[:-1]
    laws = np.full((*lead, 5, 4), 0.25), np.full((*lead, 4, 4), 0.25)
    return [*laws, tokens]


@pytest.mark.parametrize("name", ["conditional_transport", "optimal_paths", "traversal"])
@pytest.mark.parametrize("parents", [TREE, TREE[None], np.array([[-1, -1, -1, -1], TREE])], ids=["one", "same", "each"])
def test_siblings_must_be_drafted_by_the_declared_law(name: str, parents: np.ndarray) -> None:
    """Distinct drafts repeat no sibling; i.i.d. drafts may."""
    rule = rules.get(name)
    tokens = np.concatenate([[[0, 1, 2, 3]], REPEATED])[-len(np.atleast_2d(parents)) :]
    coins = np.full((len(tokens), rule.uniforms(4)), 0.5)
    message = r"tokens: \[0, 0\], the children of the root at \[\d\], cannot be drafted by drafts='without_replacement'"
    if name == "optimal_paths" and len(tokens) > 1:
        parents, tokens, coins = parents[1:], tokens[1:], coins[1:]  # its trees are paths of one length
    with pytest.raises(ValueError, match=message):
        rule.verify(*tree(tokens), coins, parents, drafts="without_replacement")
    rule.verify(*tree(tokens), coins, parents, drafts="iid")
    distinct = np.where(np.arange(4) == 2, 2, tokens)
    rule.verify(*tree(distinct), coins, parents, drafts="without_replacement")


def test_siblings_are_refused_by_this_check_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: without it the repeated sibling goes through."""
    monkeypatch.setattr("specmath.rules.rule.check_children", lambda *_: None)
    rule = rules.get("conditional_transport")
    rule.verify(*tree(REPEATED), np.full((1, rule.uniforms(4)), 0.5), TREE, drafts="without_replacement")


def test_a_tree_without_leading_axes_and_deeper_siblings() -> None:
    rule = rules.get("conditional_transport")
    laws, coins = tree(np.array([0, 1, 1]))[2], np.full(rule.uniforms(3), 0.5)
    target, draft = np.full((4, 4), 0.25), np.full((3, 4), 0.25)
    with pytest.raises(ValueError, match=r"tokens: \[1, 1\], the children of drafted token 0, cannot be drafted"):
        rule.verify(target, draft, laws, coins, np.array([-1, 0, 0]), drafts="without_replacement")


def test_a_rule_verifies_no_undeclared_law() -> None:
    with pytest.raises(ValueError, match="rule 'single' does not verify drafts='top_k'; allowed are 'iid'"):
        rules.get("single").verify(*inputs("single"), drafts="top_k")
