"""The exact law of texts whose drafts are copied, grown best-first, or cut short by a policy; over Fractions."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from proofs_tests.decode.defects import Changed, takes_back
from proofs_tests.decode.exact_law import bias
from proofs_tests.decode.harness import CHAIN_RULES, table
from reference import decode, drafters
from reference.decode.judge import fits
from reference.drafters import Progress, Proposal, Task
from specmath import rules

TWO = table(2, 2, floor=1), table(9, 2, floor=1)
THREE = table(2, 3, floor=1), table(9, 3, floor=1)

# --- copied tokens ---------------------------------------------------------------------------------------------------

LOOKUP = drafters.lookup(draft_length=2)
ECHO = (1, 0, 1, 0)  # a prompt whose end stood in it before
COPIED = [name for name in rules.names() if fits(rules.get(name), LOOKUP)]


@pytest.mark.parametrize("name", COPIED)
def test_copied_tokens_leave_the_law_as_it_is(name):
    """They count as certain: the draft's law has all its mass on them."""
    for target in (THREE[0], table(7, 3)):
        assert bias(target, LOOKUP, name, prompt=ECHO) == 0


def test_copied_tokens_are_judged_by_every_rule_but_those_for_two():
    assert set(rules.names()) - set(COPIED) == {"spechub"}


@pytest.mark.parametrize("name", [*CHAIN_RULES, "single", "recursive", "traversal", "optimal"])
def test_copied_tokens_judged_with_a_models_law_are_caught(name):
    """As if the draft model had drawn them."""

    def judged(proposal: Proposal) -> Proposal:
        return dataclasses.replace(proposal, laws=[np.array([0.5, 0.25, 0.25]) for _ in proposal.tokens])

    assert bias(THREE[0], Changed(LOOKUP, judged), name, prompt=ECHO) > 0


@dataclass(frozen=True)
class Fixed:
    """Proposes the same tree in every round, without a model: certain candidates, several for one place."""

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    laws: tuple[str, ...] | None = ("top_k",)
    branches: tuple[int, ...] = (1, 2)
    shape: str = "tree"

    def check(self, target: Any) -> None:
        pass

    def begin(self, task: Task, memory: Any = None) -> Fixed:
        return self

    def propose(self, tokens: Sequence[int], most: int) -> Generator[Any, Any, Proposal]:
        yield from ()
        depths = drafters.Tree(self.parents).depths
        kept = [node for node, depth in enumerate(depths) if depth <= most]  # parents come first
        return Proposal([self.tokens[node] for node in kept], [self.parents[node] for node in kept])

    def keep(self, path: Sequence[int]) -> None:
        pass

    def memory(self) -> None:
        return None

    def close(self) -> None:
        pass


CERTAIN = Fixed((2, 0, 1), (-1, -1, 0))


@pytest.mark.parametrize("name", ["sampler_match", "optimal"])
def test_certain_candidates_side_by_side_leave_the_law_as_it_is(name):
    for target in (THREE[0], table(7, 3)):
        assert bias(target, CERTAIN, name) == 0


@pytest.mark.parametrize("name", ["recursive", "traversal", "k_seq"])
def test_certain_candidates_side_by_side_are_refused_as_drawn_ones(name):
    """A rule for drawn candidates would not be lossless. This drafter says that it draws as told, and does not."""
    drafter = dataclasses.replace(CERTAIN, laws=None)
    with pytest.raises(ValueError, match=r"laws: None for 2 candidates of one node, drafts='.*'; allowed"):
        bias(THREE[0], drafter, name)
    with pytest.raises(ValueError, match=f"rule is '{name}'; allowed for a tree .* drawn by top_k are 'sampler_match'"):
        bias(THREE[0], CERTAIN, name)


# --- grown best-first ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sampler_match", "optimal"])
@pytest.mark.parametrize(("nodes", "depth", "width"), [(4, 2, 2), (3, 2, 3), (2, 1, 2), (5, 3, 2)])
def test_trees_grown_best_first_leave_the_law_as_it_is(name, nodes, depth, width):
    """Which nodes there are depends on their probabilities, but not on chance."""
    for target, draft in (THREE, (table(3, 3), table(8, 3))):
        drafter = drafters.best_first(draft, nodes=nodes, depth=depth, width=width)
        assert bias(target, drafter, name) == 0


@pytest.mark.parametrize("name", ["recursive", "traversal", "recursive_without_replacement"])
def test_fixed_candidates_judged_as_drawn_ones_are_caught(name):
    """And refused, unless the drafter lies about how it draws."""
    drafter = drafters.best_first(THREE[1], nodes=4, depth=2, width=2)
    with pytest.raises(ValueError, match="drawn by coupled or top_k are 'sampler_match', 'optimal'"):
        bias(THREE[0], drafter, name)
    lying = Changed(drafter, lambda proposal: proposal)
    lying.laws = None
    assert bias(THREE[0], lying, name) > 0


# --- cut short by a policy -------------------------------------------------------------------------------------------


@dataclass
class Whim:
    """Goes on or not by everything that it may look at: tokens, their probabilities, the position, past rounds."""

    drafted: int = 0
    accepted: int = 0

    def decide(self, state: Progress) -> bool:
        mixed = sum(state.drafted) + state.position + self.accepted + (state.probabilities[-1] > 0.4)
        return mixed % 2 == 0

    def observe(self, drafted: int, accepted: int) -> None:
        self.drafted += drafted
        self.accepted += accepted

    def memory(self) -> Any:
        return [self.drafted, self.accepted]

    def restore(self, memory: Any) -> Whim:
        return Whim(*(memory or (0, 0)))


POLICIES = [drafters.Confidence(0.5), Whim()]


@pytest.mark.parametrize("name", [*CHAIN_RULES, "recursive", "traversal", "conditional_transport"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_that_looks_at_the_tokens_above_leaves_the_law_as_it_is(name, policy):
    """Block verification too, although it judges the whole block: its last draft is where the policy stopped."""
    length = 5 if name in CHAIN_RULES else 4
    for target, draft in (TWO, (table(5, 2), table(11, 2))):
        assert bias(target, drafters.chain(draft, 3, policy=policy), name, length=length) == 0
    assert bias(THREE[0], drafters.chain(THREE[1], 2, policy=policy), name) == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_those_policies_stop_at_different_places(policy):
    drafter = drafters.chain(table(9, 3, floor=1), 3, policy=policy)
    options = decode.Options(max_tokens=60, randomness="rejection")
    rounds = decode.collect(decode.stream(table(2, 3, floor=1), [0], drafter=drafter, options=options)).rounds
    assert {len(one.drafted) for one in rounds[:-2]} == {1, 2, 3}


@pytest.mark.parametrize("name", CHAIN_RULES)
@pytest.mark.parametrize("policy", [None, *POLICIES])
def test_a_policy_that_takes_a_drafted_token_back_is_caught(name, policy):
    drafter = Changed(drafters.chain(THREE[1], 2, policy=policy), takes_back)
    assert bias(THREE[0], drafter, name) > 0
