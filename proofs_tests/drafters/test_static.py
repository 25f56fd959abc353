"""Chains and static trees: shapes, what is drawn where, how much is read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.harness import depths, table
from proofs_tests.drafters.propose import law_after, paths, propose, proposed, task
from reference import drafters
from reference.decode import Options
from reference.drafters import Tree, branching
from reference.gumbel import best
from reference.models.table import TableModel

DRAFT, OPTIONS = table(5, 6, floor=1), Options(seed=3)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    return Tree(tuple(draw(st.integers(-1, node - 1)) for node in range(draw(st.integers(1, 9)))))


@given(trees())
def test_a_tree_knows_its_shape(tree):
    assert list(tree.depths) == depths(tree.parents)
    assert tree.depth == max(tree.depths)
    for node, parent in enumerate(tree.parents):
        assert node in tree.below[parent]
    counts = [sum(parent == node for parent in tree.parents) for node in range(-1, len(tree.parents))]
    assert tree.branches == tuple(sorted(set(counts) - {0}))
    leaves = [node for node in range(len(tree.parents)) if not tree.below[node]]
    one_path = len(leaves) == 1
    level = len({tree.depths[node] for node in leaves}) == 1 and all(count <= 1 for count in counts[1:])
    assert tree.shape == ("chain" if one_path else "paths" if level else "tree")


@pytest.mark.parametrize(
    ("made", "parents", "shape"),
    [
        (drafters.chain(DRAFT, 3), (-1, 0, 1), "chain"),
        (drafters.tree(DRAFT, (1, 1)), (-1, 0), "chain"),
        (drafters.tree(DRAFT, (2, 1)), (-1, -1, 0, 1), "paths"),
        (drafters.tree(DRAFT, (3,)), (-1, -1, -1), "paths"),
        (drafters.tree(DRAFT, (1, 2)), (-1, 0, 0), "tree"),
        (drafters.tree(DRAFT, (2, 3)), (-1, -1, 0, 0, 0, 1, 1, 1), "tree"),
        (drafters.tree(DRAFT, Tree([-1, 0, -1])), (-1, 0, -1), "tree"),  # type: ignore[arg-type]
        (drafters.paths(DRAFT, 2, 3), (-1, 0, 1, -1, 3, 4), "paths"),
        (drafters.paths(DRAFT, 1, 2), (-1, 0), "chain"),
    ],
)
def test_shapes_by_name(made, parents, shape):
    assert (made.tree.parents, made.shape) == (parents, shape)


@settings(max_examples=60)
@given(tree=trees(), most=st.integers(0, 6), drafts=st.sampled_from(["coupled", "iid", "without_replacement", "top_k"]))
def test_the_proposal_has_the_shape_as_deep_as_there_is_room(tree, most, drafts):
    """In the order of the levels; one pass a level, which reads the nodes that have children, and the text once."""
    drafting = drafters.tree(DRAFT, tree, drafts=drafts).begin(task(OPTIONS, 6, drafts=drafts))
    proposal, passes = propose(drafting, [0, 1, 2], most)
    asked = [
        node for node in sorted(range(len(tree.parents)), key=lambda i: tree.depths[i]) if tree.depths[node] <= most
    ]
    if max(tree.branches) > 6:
        return  # more candidates than tokens: fewer are found
    assert len(proposal.tokens) == len(asked)
    assert all(parent < node for node, parent in enumerate(proposal.parents))
    assert depths(proposal.parents) == sorted(tree.depths[node] for node in asked)
    shape, found = _signature(tree.parents, asked), _signature(proposal.parents, range(len(asked)))
    assert found == shape
    assert proposal.calls == len(passes) == min(tree.depth, most)
    inner = [sum(tree.depths[n] == d and bool(tree.below[n]) for n in range(len(tree.parents))) for d in range(1, most)]
    assert passes[1:] == inner[: len(passes) - 1]
    assert passes[:1] in ([], [3])


def _signature(parents, nodes):
    """The tree without the order of its nodes."""

    def below(node):
        return tuple(sorted((below(child) for child in nodes if parents[child] == node), key=repr))

    return below(-1)


@settings(max_examples=40)
@given(tree=trees(), text=st.lists(st.integers(0, 5), min_size=1, max_size=4), temperature=st.sampled_from([0.0, 0.7]))
def test_coupled_candidates_are_those_of_highest_score_at_their_place(tree, text, temperature):
    options = Options(seed=3, temperature=temperature)
    given_ = task(options, 6)
    proposal = proposed(drafters.tree(DRAFT, tree), text, 9, given_)
    assert given_.scores is not None
    assert proposal.laws is not None
    above = paths(proposal)
    for node in range(-1, len(proposal.tokens)):
        prefix = [*text, *(above[node] if node >= 0 else ())]
        own = [child for child, parent in enumerate(proposal.parents) if parent == node]
        logits = DRAFT.start().extend(prefix)[-1:]
        scores = given_.scores(logits, options.laws("draft", logits), [len(prefix)])[0]
        assert [proposal.tokens[child] for child in own] == best(scores, len(own) or 1)[: len(own)]
        for child in own:
            assert np.array_equal(proposal.laws[child], law_after(DRAFT, options)(prefix))


@settings(max_examples=40)
@given(tree=trees(), drafts=st.sampled_from(["without_replacement", "top_k", "greedy"]), seed=st.integers(0, 99))
def test_drawn_candidates_of_a_node_are_distinct_where_the_law_says_so(tree, drafts, seed):
    proposal = proposed(drafters.tree(DRAFT, tree), [0], 9, task(Options(seed=seed), 6, drafts=drafts))
    for node in range(-1, len(proposal.tokens)):
        own = [proposal.tokens[child] for child, parent in enumerate(proposal.parents) if parent == node]
        assert len(set(own)) == len(own)


def test_what_was_kept_is_not_read_again():
    """After a round the draft reads what is new: the token behind the kept path, and the last kept one if no pass saw
    it."""
    drafting = drafters.chain(DRAFT, 3).begin(task(OPTIONS, 6))
    text = [0, 1]
    for kept, reads in ((3, [2, 1, 1]), (1, [2, 1, 1]), (0, [1, 1, 1]), (2, [1, 1, 1])):
        proposal, passes = propose(drafting, text, 9)
        assert passes == reads
        drafting.keep(range(kept))
        text += [*proposal.tokens[:kept], 5]
    assert propose(drafting, text, 0)[0].tokens == ()


def test_a_node_that_cannot_have_enough_candidates_gets_none():
    one = TableModel(lambda prefix: [1, 0, 0] if len(prefix) == 2 else [0.5, 0.25, 0.25], 3)

    def drawn(text, at_least):
        given_ = task(OPTIONS, 3, drafts="without_replacement", at_least=at_least)
        return proposed(drafters.tree(one, (2, 2)), text, 9, given_)

    assert [list(drawn([0, 1], at_least).tokens)[:1] for at_least in (1, 2)] == [[0], []]
    assert [drawn([0], at_least).parents for at_least in (1, 2)] == [[-1, -1, 0, 1], [-1, -1]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: drafters.chain(DRAFT, 0), "draft_length is 0; allowed are whole numbers >= 1"),
        (lambda: drafters.chain(DRAFT, 1.5), "draft_length is 1.5"),  # type: ignore[arg-type]
        (lambda: drafters.paths(DRAFT, 0, 2), "n is 0"),
        (lambda: drafters.paths(DRAFT, 2, 0), "draft_length is 0"),
        (lambda: drafters.tree(DRAFT, ()), "parents: empty; allowed is one node or more"),
        (lambda: drafters.tree(DRAFT, (2, 0)), "branching holds 0; allowed are whole numbers >= 1, one for each level"),
        (lambda: drafters.tree(DRAFT, (2, True)), "branching holds True"),
        (lambda: Tree((0,)), r"parents\[0\] is 0; allowed are -1 \(the text\) and earlier nodes"),
        (lambda: Tree((-1, 1)), r"parents\[1\] is 1"),
        (lambda: Tree((-1, -2)), r"parents\[1\] is -2"),
        (lambda: Tree((-1, 0.0)), r"parents\[1\] is 0.0"),  # type: ignore[arg-type]
        (lambda: drafters.tree(DRAFT, (2,), drafts="beam"), "drafts is 'beam'; allowed are"),
        (lambda: drafters.tree(DRAFT, (3,), drafts="hub"), "n is 3: drafts='hub' is defined for n = 2 only"),
        (lambda: drafters.chain(DRAFT, 2, drafts="hub"), "n is 1: drafts='hub' is defined for n = 2 only"),
        (
            lambda: drafters.tree(DRAFT, (7,), drafts="top_k"),
            "n is 7: drafts='top_k' takes n distinct tokens; .* only 6",
        ),
        (
            lambda: drafters.ModelDrafter(DRAFT, branching((2,)), policy=drafters.Confidence(0.5)),
            "policy: given for a tree; allowed for chains",
        ),
    ],
)
def test_drafters_that_cannot_be_made_say_why(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make", [lambda m: drafters.chain(m, 2), lambda m: drafters.tree(m, (2,)), drafters.best_first]
)
def test_a_draft_of_another_vocabulary_is_refused(make):
    make(table(1, 6)).check(DRAFT)
    for size in (5, 7):
        with pytest.raises(ValueError, match=f"target has 6 tokens and draft {size}; both must share one vocabulary"):
            make(table(1, size)).check(DRAFT)
    drafters.lookup().check(DRAFT)
