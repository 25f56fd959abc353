"""The exact law of the tree decoder on table models, every rule and draft law; over Fractions."""

from __future__ import annotations

import dataclasses
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.coins import bonus_is_draft
from proofs_tests.decode.defects import (
    Changed,
    Early,
    Linear,
    Sibling,
    Stale,
    defective,
    of_another_temperature,
    prunes_unlikely,
)
from proofs_tests.decode.exact_law import bias
from proofs_tests.decode.harness import SEEDS, table
from reference import drafters
from reference.decode import judge as judge_module
from reference.decode.judge import Rejection, fits
from reference.drafters import Tree
from reference.random import Stream
from specmath import draft_laws, rules

UNLIKE = table(2, 2, floor=1), table(9, 2)  # the draft has laws with one possible token
PAIRS = [UNLIKE, (table(5, 2), table(11, 2, floor=1))]  # here the target has such laws
THREE = table(2, 3, floor=1), table(9, 3, floor=1)
LOPSIDED, BINARY, LEVEL = Tree((-1, -1, 0, 0)), drafters.branching((2, 2)), Tree((-1, -1))
CASES = [
    (name, drafts)
    for name in rules.names()
    for drafts in rules.get(name).drafts
    if rules.get(name).layout != "chain" and (rules.get(name).at_most or 2) >= 2
]
IID = [name for name, drafts in CASES if drafts == "iid"]


def grown(name: str, draft, tree: Tree, drafts: str) -> drafters.ModelDrafter:
    """The tree, or two paths of its depth where the rule judges nothing else."""
    if rules.get(name).shape == "paths":
        return drafters.paths(draft, 2, tree.depth, drafts=drafts)
    return drafters.tree(draft, tree, drafts=drafts)


@pytest.mark.parametrize(("name", "drafts"), CASES)
def test_text_law_is_the_targets(name, drafts):
    """A rule for nodes walks down two levels, a rule for trees judges them at once; then more rounds. TV = 0."""
    tree = LOPSIDED if drafts == "iid" else BINARY
    for target, draft in PAIRS:
        assert bias(target, grown(name, draft, tree, drafts), name) == 0


@pytest.mark.parametrize(("name", "drafts"), CASES)
def test_text_law_of_three_tokens(name, drafts):
    """Residuals with more than one token. The last round has room for nothing but the target's own draw."""
    target, draft = THREE
    assert bias(target, grown(name, draft, LEVEL, drafts), name, length=2) == 0


@pytest.mark.parametrize("name", ["recursive", "traversal"])
def test_those_laws_see_every_way_a_round_can_end(name):
    """Rejected at the text, below a candidate and at a node without children, accepted to the bottom."""
    seen = set()

    class Seen(Rejection):
        def decide(self, position, logits, laws, proposal):
            kept = super().decide(position, logits, laws, proposal)
            seen.add((len(kept.path), (kept.path[-1] if kept.path else -1) in proposal.parents))
            return kept

    for target, draft in PAIRS:
        drafter = drafters.tree(draft, LOPSIDED, drafts="iid")
        assert bias(target, drafter, name, patches=[mock.patch.object(judge_module, "Rejection", Seen)]) == 0
    assert seen == {(0, True), (0, False), (1, True), (1, False), (2, False)}  # accepted tokens, children below


WIDE = [  # tokens, parents, length of the text
    (2, (-1, -1, 0, 0), 3),
    (2, (-1, -1, 0, 1, 0, 1), 3),
    (2, (-1, 0, -1, 1, 0), 4),
    (2, (-1, 0, 1, -1), 4),
    (2, (-1, -1, -1), 3),
    (3, (-1, -1, 1), 3),
    (3, (-1, -1, -1), 2),
]


def drawable(drafts: str, size: int, parents: tuple[int, ...]) -> bool:
    """Every node of the tree can have its children: a law without replacement has no third token of two."""
    return not any(draft_laws.get(drafts).needs(parents.count(node), size) for node in set(parents))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "drafts"), CASES)
@settings(max_examples=25)
@given(seeds=st.tuples(SEEDS, SEEDS), floor=st.integers(0, 1), data=st.data())
def test_text_law_is_the_targets_widely(name, drafts, seeds, floor, data):
    legal = [case for case in WIDE if drawable(drafts, case[0], case[1])]
    size, parents, length = data.draw(st.sampled_from(legal))
    target, draft = table(seeds[0], size, floor=floor), table(seeds[1], size, floor=floor)
    drafter = grown(name, draft, Tree(parents), drafts)
    if fits(rules.get(name), drafter):
        assert bias(target, drafter, name, length=length, budget=200_000) == 0


def test_every_rule_was_walked_down_a_tree():
    """The list above leaves nothing out but chains and `single`, which the chain tests and lookup judge."""
    assert {name for name, _ in CASES} == set(rules.names()) - set(rules.names("chain")) - {"single"}
    assert {drafts for _, drafts in CASES} == set(draft_laws.names())


# --- planted defects -------------------------------------------------------------------------------------------------

RULES = ["traversal", "optimal_paths", "recursive", "optimal"]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("state", [Linear, Early, Stale, Sibling])
def test_a_model_that_misreads_trees_is_caught(state, name):
    truth, draft = table(2, 2, floor=1), table(9, 2, floor=1)
    drafter = drafters.tree(draft, LOPSIDED, drafts="iid")
    assert bias(defective(truth, state), drafter, name, truth=truth) > 0


@pytest.mark.parametrize("name", [*RULES, "k_seq", "spectr", "conditional_transport"])
def test_candidates_pruned_by_their_own_probability_are_caught(name):
    target, draft = THREE
    drafter = drafters.tree(draft, LEVEL, drafts="iid")
    assert bias(target, Changed(drafter, prunes_unlikely), name, length=2) > 0
    assert bias(target, Changed(drafter, lambda proposal: proposal), name, length=2) == 0


def test_a_rule_that_draws_from_the_target_survives_pruning():
    """Sampler match may be given any candidates; what a drafter does to them costs acceptance alone."""
    target, draft = THREE
    drafter = Changed(drafters.tree(draft, LEVEL, drafts="iid"), prunes_unlikely)
    assert bias(target, drafter, "sampler_match", length=2) == 0


@pytest.mark.parametrize("name", RULES)
def test_a_law_of_another_temperature_is_caught(name):
    target, draft = THREE
    drafter = Changed(drafters.tree(draft, LEVEL, drafts="iid"), of_another_temperature)
    assert bias(target, drafter, name, length=2) > 0


def test_a_bonus_that_is_drawn_with_a_drafts_number_is_caught():
    target, drafter = UNLIKE[0], drafters.tree(UNLIKE[1], LEVEL, drafts="iid")
    assert bias(target, drafter, "recursive", key=bonus_is_draft) > 0


class OneResidual(Rejection):
    """Every node of the walk draws its replacement with the same number."""

    def _coins(self, position, tests, draws):
        parts = [self._source(position, Stream.ACCEPT, tests), self._source(position, Stream.RESIDUAL, 1)]
        return np.concatenate(parts)


class OneTest(Rejection):
    """Every node of the walk begins again with the first accept number."""

    def _coins(self, position, tests, draws):
        numbers = self._source(position, Stream.ACCEPT, tests)
        return np.append(np.resize(numbers[:2], tests), self._source(position, Stream.RESIDUAL, draws))


@pytest.mark.parametrize("judge", [OneResidual, OneTest])
def test_a_walk_that_uses_a_number_twice_is_caught(judge):
    """The harness refuses it: its proofs rest on every uniform of a round being used once."""
    target, drafter = UNLIKE[0], drafters.tree(UNLIKE[1], LOPSIDED, drafts="iid")
    patches = [mock.patch.object(judge_module, "Rejection", judge)]
    with pytest.raises(AssertionError, match="is used twice"):
        bias(target, drafter, "recursive", patches=patches)


def _accepts_the_first(chance, target, draft, tokens):
    return tokens[0]


def _redraws(chance, target, draft, tokens):
    for token in tokens:
        if chance.flip(min(1, target[token] / draft[token])):
            return token
    return chance.draw(target)


@pytest.mark.parametrize("program", [_accepts_the_first, _redraws])
def test_a_defective_rule_is_caught(program):
    target, draft = THREE
    wrong = dataclasses.replace(rules.get("recursive"), program=program)
    assert bias(target, drafters.tree(draft, LEVEL, drafts="iid"), wrong, length=2) > 0


class Astray(Rejection):
    """The path that is kept is that of another node: emitted tokens and cache no longer agree."""

    def decide(self, position, logits, laws, proposal):
        kept = super().decide(position, logits, laws, proposal)
        siblings = [node for node, parent in enumerate(proposal.parents) if parent < 0]
        return dataclasses.replace(kept, path=tuple(siblings[-1:]) if len(kept.path) == 1 else kept.path)


@pytest.mark.parametrize("name", ["traversal", "recursive"])
def test_a_path_that_is_not_the_accepted_one_is_caught(name):
    target, draft = table(2, 2, floor=1), table(9, 2, floor=1)
    drafter = drafters.tree(draft, LEVEL, drafts="iid")
    assert bias(target, drafter, name, patches=[mock.patch.object(judge_module, "Rejection", Astray)]) > 0
