"""A tree read in one pass: each row is that of its path read alone, and the text above it stays as it is."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.harness import table
from proofs_tests.decode.test_models import CONFIG, STOCK, TEXT, TIGHT, without_cache
from reference.models.table import TableModel


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Tokens and parents, up to seven nodes."""
    size = draw(st.integers(1, 7))
    parents = [draw(st.integers(-1, node - 1)) for node in range(size)]
    return draw(st.lists(st.integers(0, 30), min_size=size, max_size=size)), parents


def path(tree: list[int], parents: list[int], node: int) -> list[int]:
    return [] if node < 0 else [*path(tree, parents, parents[node]), tree[node]]


@settings(max_examples=40)
@given(shape=trees(), stored=st.integers(0, 8), new=st.integers(1, 5))
def test_rows_of_a_tree_are_those_of_its_paths(shape, stored, new):
    """The network with a cache, against the network without one on each path alone; then the text goes on."""
    tree, parents = shape
    text, state = TEXT[: stored + new], STOCK.start()
    if stored:
        state.extend(text[:stored])
    rows = state.extend(text[stored:], tree, parents).numpy()
    assert rows.shape == (new + len(tree), CONFIG.vocab_size)
    assert np.abs(rows[:new] - without_cache(text)[-new:]).max() < TIGHT
    for node in range(len(tree)):
        assert np.abs(rows[new + node] - without_cache([*text, *path(tree, parents, node)])[-1]).max() < TIGHT
    assert state.length == len(text)
    following = state.extend(TEXT[len(text) : len(text) + 2]).numpy()
    assert np.abs(following - without_cache(TEXT[: len(text) + 2])[-2:]).max() < TIGHT


def test_siblings_do_not_see_each_other():
    """The comparison above can fail: a mask that lets a node see what stands before it changes its row by far more."""
    state = STOCK.start()
    apart = state.extend(TEXT[:4], [7, 9], [-1, -1]).numpy()
    state.rewind(0)
    below = state.extend(TEXT[:4], [7, 9], [-1, 0]).numpy()
    assert np.abs(apart[:-1] - below[:-1]).max() < TIGHT
    assert np.abs(apart[-1] - below[-1]).max() > 100 * TIGHT


def test_a_tree_may_reach_the_end_of_the_context_but_not_beyond():
    """What counts is depth: more tree tokens than the context has places left are no harm side by side."""
    left = 2
    text = [token % 31 for token in (TEXT * 2)[: CONFIG.max_position_embeddings - left]]
    state = STOCK.start()
    rows = state.extend(text, [1, 2, 3, 4, 5, 6], [-1, -1, -1, 0, 1, 2]).numpy()
    assert np.abs(rows[-1] - without_cache([*text, 3, 6])[-1]).max() < TIGHT
    state.rewind(0)
    with pytest.raises(ValueError, match="tree: 3 deep after 30; the context holds 32"):
        state.extend(text, [1, 2, 3], [-1, 0, 1])
    assert state.length == 0


@settings(max_examples=30)
@given(shape=trees(), seed=st.integers(0, 2**16), stored=st.integers(0, 3))
def test_tables_hand_out_the_same_rows(shape, seed, stored):
    model = table(seed, 31, floor=1)
    tree, parents = shape
    state = model.start()
    if stored:
        state.extend(TEXT[:stored])
    rows = state.extend(TEXT[stored:4], tree, parents)
    assert state.length == 4
    for node in range(len(tree)):
        assert (rows[4 - stored + node] == model.logits((*TEXT[:4], *path(tree, parents, node)))).all()


@pytest.mark.parametrize("model", [STOCK, TableModel(lambda _: [Fraction(1, 31)] * 31, 31)])
@pytest.mark.parametrize(
    ("tokens", "tree", "parents", "message"),
    [
        ([], [], [], "tokens: none given, and no tree"),
        ([], [1], [-1], "tree: there is no text above it"),
        ([1], [1, 2], [-1], "parents: 1 for 2 tree tokens"),
        ([1], [1, 2], [-1, 1], r"parents\[1\] is 1; allowed are -1"),
        ([1], [1, 2], [-1, -2], r"parents\[1\] is -2"),
        ([1], [31], [-1], r"tree\[0\] is 31; allowed are token ids from 0 to 30"),
    ],
)
def test_trees_that_are_none_are_refused(model, tokens, tree, parents, message):
    state = model.start()
    with pytest.raises(ValueError, match=message):
        state.extend(tokens, tree, parents)
    assert state.length == 0


@settings(max_examples=40)
@given(shape=trees(), cut=st.integers(0, 7), seed=st.integers(0, 2**16))
def test_states_of_both_kinds_keep_the_same(shape, cut, seed):
    """A tree in two pieces, a path of it kept: nodes, lengths and the rows that follow, of network and table alike."""
    tree, parents = shape
    cut = min(cut, len(tree))
    path = [int(np.random.default_rng(seed).integers(len(tree)))]
    while parents[path[0]] >= 0:
        path.insert(0, parents[path[0]])
    model = table(seed, 31, floor=1)
    text = [*TEXT[:3], *(tree[node] for node in path), 5]
    for state, expected in ((STOCK.start(), without_cache(text)[-1]), (model.start(), model.logits(tuple(text)))):
        state.extend(TEXT[:3], tree[:cut], parents[:cut])
        if cut < len(tree):
            state.extend([], tree[cut:], parents[cut:])
        assert (state.length, state.nodes) == (3, len(tree))
        state.keep(path)
        assert (state.length, state.nodes) == (3 + len(path), 0)
        assert np.abs(np.asarray(state.extend([5]))[-1] - expected).max() < TIGHT
