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
