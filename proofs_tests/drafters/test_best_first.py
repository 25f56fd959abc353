"""Best-first trees against brute force: the heaviest paths of all that were looked at."""

from __future__ import annotations

import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.harness import depths, table
from proofs_tests.drafters.propose import paths, propose, proposed, task
from reference import drafters
from reference.decode import Options
from reference.drafters.best_first import BestFirstDrafting
from reference.models.table import TableModel

SIZE = 5
SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 4), st.integers(1, 4))  # nodes, depth, width


def shares(model, options, given_, prefix):
    """Weight of every token after a text, (V,): its probability, or its share of exp(score)."""
    logits = model.start().extend(list(prefix))[-1:]
    law = options.laws("draft", logits)
    if given_.scores is None:
        return law[0]
    scores = given_.scores(logits, law, [len(prefix)])[0]
    return np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()


def searched(model, options, given_, text, nodes, depth, width):
    """Brute force: all candidates of the widths' best nodes at each level, and of them the heaviest."""
    level, looked = [((), 0.0)], {}
    for _ in range(depth):
        fresh = []
        for path, weight in level:
            own = shares(model, options, given_, [*text, *path])
            order = sorted((token for token in range(SIZE) if own[token] > 0), key=lambda token: (-own[token], token))
            fresh += [((*path, token), weight + math.log(own[token])) for token in order[:width]]
        looked |= dict(fresh)
        level = sorted(fresh, key=lambda one: -one[1])[:width]
    return looked, sorted(looked.values(), reverse=True)[:nodes]


def check_best(drafts, seed, shape, text):
    """The same weights as the brute force's best, each node below the one that its path says; none is cut off."""
    nodes, depth, width = shape
    model, options = table(seed, SIZE), Options(seed=seed)
    given_ = task(options, SIZE, drafts=drafts)
    proposal, passes = propose(drafters.best_first(model, nodes, depth, width).begin(given_), text, 9)
    looked, heaviest = searched(model, options, given_, text, nodes, depth, width)
    found = paths(proposal)
    assert len(found) == len(set(found)) == len(heaviest)
    np.testing.assert_allclose(sorted((looked[path] for path in found), reverse=True), heaviest, rtol=1e-12, atol=1e-12)
    assert {path[:-1] for path in found} <= {(), *found}  # ancestors are among them, and stand before
    assert all(parent < node for node, parent in enumerate(proposal.parents))
    assert proposal.calls == len(passes) <= depth
    assert passes[0] == len(text)
    assert all(read <= width for read in passes[1:])


@pytest.mark.parametrize("drafts", ["coupled", "top_k"])
@settings(max_examples=60)
@given(seed=st.integers(0, 2**16), shape=SHAPES, text=st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=4))
def test_the_heaviest_paths_are_proposed(drafts, seed, shape, text):
    check_best(drafts, seed, shape, text)


@pytest.mark.parametrize("weigh", [lambda node, weight: -node, lambda node, weight: -weight])
def test_other_paths_than_the_heaviest_are_caught(weigh):
    """Planted: the nodes that were looked at first, and the lightest."""
    best = BestFirstDrafting._best

    def wrong(self, grown, weights):
        return best(self, grown, {node: weigh(node, weight) for node, weight in weights.items()})

    caught = 0
    with mock.patch.object(BestFirstDrafting, "_best", wrong):
        for seed in range(20):
            try:
                check_best("top_k", seed, (4, 3, 3), [0])
            except (AssertionError, KeyError):  # KeyError: the parent of a node was left out
                caught += 1
    assert caught > 5


@pytest.mark.parametrize("drafts", ["coupled", "top_k"])
def test_children_are_the_best_of_their_node_in_order(drafts):
    """So that a rule for fixed candidates may treat them as the likeliest ones, ties by index."""
    for seed in range(30):
        model, options = table(seed, SIZE, top=2), Options(seed=seed)
        given_ = task(options, SIZE, drafts=drafts)
        proposal = proposed(drafters.best_first(model, 7, 3, 3), [0], 9, given_)
        above = paths(proposal)
        for node in range(-1, len(proposal.tokens)):
            own = [proposal.tokens[child] for child, parent in enumerate(proposal.parents) if parent == node]
            weights = shares(model, options, given_, [0, *(above[node] if node >= 0 else ())])
            assert own == sorted(range(SIZE), key=lambda token: (-weights[token], token))[: len(own)]


def test_a_sure_draft_grows_deep_and_an_unsure_one_wide():
    sure, unsure = table(1, SIZE, top=1), table(2, SIZE, top=60, floor=50)
    given_ = task(Options(), SIZE, drafts="top_k")
    deep = proposed(drafters.best_first(_peaked(sure), 4, 4, 4), [0], 9, given_)
    wide = proposed(drafters.best_first(unsure, 4, 4, 4), [0], 9, given_)
    assert max(depths(deep.parents)) == 4
    assert max(depths(wide.parents)) == 1


def _peaked(model):
    def law(prefix):
        best = int(np.argmax([float(p) for p in model.law(prefix)]))
        return [0.9 if token == best else 0.025 for token in range(SIZE)]

    return TableModel(law, SIZE)


@given(shape=SHAPES, most=st.integers(0, 3))
def test_no_tree_is_deeper_than_there_is_room(shape, most):
    model = table(4, SIZE, context_length=6)
    for length in (1, 5, 6, 7):
        proposal = proposed(drafters.best_first(model, *shape), [0] * length, most, task(Options(), SIZE))
        deepest = max(depths(proposal.parents), default=0)
        assert deepest <= min(shape[1], most, 7 - length)
        assert deepest == min(shape[1], most, 7 - length) or len(proposal.tokens) == shape[0]


@pytest.mark.parametrize("name", ["nodes", "depth", "width"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_sizes_that_are_none_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value!r}; allowed are whole numbers >= 1"):
        drafters.best_first(table(1, SIZE), **{name: value})
