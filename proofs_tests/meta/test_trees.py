"""Planted defects of the tree rules that select, and the check that catches each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st

from proofs_tests import identities, trees
from proofs_tests.exact.test_trees import BINARY, PATHS, shaped
from proofs_tests.laws import Instance, for_all, instances, law
from proofs_tests.meta import broken_trees as broken
from proofs_tests.meta.test_defects import CHECKS, Named, traversal_as_match
from specmath import rules

TWO = ((law(2, 1), law(1, 3)), (law(1, 3), law(3, 2)), (law(2, 3), law(4, 1)))
FIXED = [Instance(2, "iid", parents, TWO) for parents in ((-1, 0, 0), (-1, -1, 0))]
PLAN = Named(
    lambda name, drafts: st.tuples(st.sampled_from(FIXED), st.integers(0, 7)),
    trees.step_is_program,
    lambda name, drafts: f"verify/{name}",
    10,
)
LOSSLESS, VERIFY = CHECKS["lossless"], CHECKS["verify"]
DEFECTS = [
    ("spectr", "iid", LOSSLESS, {"program": broken.spectr_drops_duplicates}),
    ("optimal_paths", "iid", LOSSLESS, {"program": broken.paths_against_draft}),
    ("optimal_paths", "without_replacement", LOSSLESS, {"program": broken.paths_select_as_iid}),
    ("multipath_block", "iid", LOSSLESS, {"program": broken.multipath_against_draft}),
    ("conditional_transport", "iid", LOSSLESS, {"program": broken.conditional_against_draft}),
    ("conditional_transport", "iid", LOSSLESS, {"program": broken.conditional_never_fails}),
    ("conditional_transport", "without_replacement", LOSSLESS, {"program": broken.conditional_selects_as_iid}),
    ("spectr", "iid", VERIFY, {"step": broken.parents_ignored("spectr")}),
    ("multipath_block", "iid", VERIFY, {"step": broken.parents_ignored("multipath_block")}),
    *((n, "iid", PLAN, {"step": broken.parents_ignored(n)}) for n in ("optimal_paths", "conditional_transport")),
    *((n, "iid", PLAN, {"step": broken.step_against_draft(n)}) for n in ("optimal_paths", "conditional_transport")),
    ("conditional_transport", "iid", PLAN, {"step": broken.step_forgets_weight}),
]


@pytest.mark.parametrize(
    ("name", "drafts", "named", "change"),
    [
        pytest.param(
            *defect,
            marks=pytest.mark.claim(defect[2].claim(defect[0], defect[1]), "control"),
            id=f"{next(iter(defect[3].values())).__qualname__.split('.')[0]}-{defect[0]}-{defect[1]}",
        )
        for defect in DEFECTS
    ],
)
def test_defect_is_caught(name: str, drafts: str, named: Named, change: dict[str, Any]) -> None:
    wrong = replace(rules.get(name), **change)
    with pytest.raises(AssertionError):
        for_all(named.sample(name, drafts), named.check(wrong), examples=3 * named.examples, shrink=False)


def match(chance: Any, target: Any, draft: Any, tokens: Any, parents: Any, drafts: str = "iid") -> Any:
    """Lossless, but accepts by matching target draws."""
    return traversal_as_match(chance, target, draft, tokens, parents)


def takes_all(chance: Any, target: Any, draft: Any, tokens: Any, parents: Any) -> Any:
    """Not lossless: the first path is kept whatever it is."""
    path, node = (), -1
    while node in parents:
        node = parents.index(node)
        path = (*path, tokens[node])
    return (*path, chance.draw(target[node + 1]))


MATCHED = replace(rules.get("conditional_transport"), program=match)
IDENTITIES = [
    ("conditional-transport-chain-is-block", instances("block", "iid"), identities.chain_is_block(MATCHED)),
    (
        "conditional-transport-above-node-wise",
        shaped(BINARY, PATHS),
        trees.at_least_node_wise(MATCHED, rules.get("optimal_paths")),
    ),
    ("conditional-transport-above-node-wise", shaped((-1, -1)), trees.level_is_optimal(MATCHED)),
    ("joint-optimum", shaped(PATHS), trees.never_above_joint(replace(rules.get("traversal"), program=takes_all))),
    ("joint-optimum", instances("block", "iid", sizes=(2,)), trees.reaches_joint(rules.get("token_wise"))),
]


@pytest.mark.parametrize(
    ("sample", "check"),
    [
        pytest.param(sample, check, marks=pytest.mark.claim(f"identity/{name}", "control"), id=f"{name}-{i}")
        for i, (name, sample, check) in enumerate(IDENTITIES)
    ],
)
def test_defect_of_an_identity_is_caught(sample: Any, check: Any) -> None:
    with pytest.raises(AssertionError):
        for_all(sample, check, examples=100, shrink=False)


def test_selecting_for_another_weight_is_lossless() -> None:
    """So it is the law given the drafts, and the acceptance, that tell it from the rule."""

    def lossless(chance: Any, target: Any, draft: Any, tokens: Any, parents: Any, drafts: str = "iid") -> Any:
        from specmath.rules.conditional_transport import select
        from specmath.rules.tree_walk import block_program

        def plain(chance: Any, target: Any, draft: Any, siblings: Any, weight: Any) -> Any:
            return select(chance, target, draft, siblings, 1, drafts)

        return block_program(chance, target, draft, tokens, parents, plain)

    for_all(
        LOSSLESS.sample("conditional_transport", "iid"),
        LOSSLESS.check(replace(rules.get("conditional_transport"), program=lossless)),
        examples=20,
    )
