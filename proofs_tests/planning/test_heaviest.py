"""The n heaviest paths are the best tree: against every subtree, with planted defects."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.planning.loops import SIGMAS
from specmath.trees import DraftTree, by_depth, grow, heaviest

Children = Callable[[tuple[Any, ...]], list[Fraction]]


def world(seed: int, width: int = 3) -> Children:
    """Conditional weights of eighths, different below every path; some are zero, some ties, sometimes a sure token."""

    def children(path: tuple[Any, ...]) -> list[Fraction]:
        dice = random.Random(f"{seed} {path}")
        return [Fraction(dice.choice((0, 1, 2, 3, 3, 5, 8)), 8) for _ in range(width)]

    return children


def subtrees(children: Children, nodes: int, depth: int) -> Iterator[Fraction]:
    """The weight of every tree of at most ``nodes`` nodes, at most ``depth`` deep; each once."""

    def below(path: tuple[Any, ...], weight: Fraction) -> list[tuple[tuple[Any, ...], Fraction]]:
        return [((*path, i), weight * w) for i, w in enumerate(children(path))] if len(path) < depth else []

    def extend(left: int, total: Fraction, open_: list[tuple[tuple[Any, ...], Fraction]]) -> Iterator[Fraction]:
        yield total
        if left:
            for place, (path, weight) in enumerate(open_):  # those before it stay outside for good
                yield from extend(left - 1, total + weight, [*open_[place + 1 :], *below(path, weight)])

    return extend(nodes, Fraction(0), below((), Fraction(1)))


def check(solve: Callable[[Children, int, int], Fraction], seed: int, nodes: int, depth: int) -> None:
    best = 1 + max(subtrees(world(seed), nodes, depth))
    assert solve(world(seed), nodes, depth) == best


def found(children: Children, nodes: int, depth: int) -> Any:
    return heaviest(children, nodes, depth=depth).expected_tokens


@pytest.mark.claim("trees/heaviest", "exact")
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 3))
def test_no_tree_is_heavier(seed: int, nodes: int, depth: int) -> None:
    check(found, seed, nodes, depth)


def greedy_by_step(children: Children, nodes: int, depth: int) -> Any:
    """Defect: takes the child of largest conditional weight, not of largest path weight."""
    total, open_ = Fraction(1), [(w, w, (i,)) for i, w in enumerate(children(()))]
    for _ in range(nodes):
        if not open_:
            break
        best = max(open_, key=lambda one: one[0])
        open_.remove(best)
        _, weight, path = best
        total += weight
        if len(path) < depth:
            open_ += [(w, weight * w, (*path, i)) for i, w in enumerate(children(path))]
    return total


def depth_forgotten(children: Children, nodes: int, depth: int) -> Any:
    """Defect: no limit of depth."""
    return heaviest(children, nodes).expected_tokens if nodes > depth else found(children, nodes, depth)


def first_candidates(children: Children, nodes: int, depth: int) -> Any:
    """Defect: looks at the first candidate of a node only: a chain."""
    return heaviest(lambda path: children(path)[:1], nodes, depth=depth).expected_tokens


def summed(children: Children, nodes: int, depth: int) -> Any:
    """Defect: the weight of a node is the mean along its path, not the product."""
    ranked = heaviest(children, nodes, depth=depth)
    return 1 + sum(w ** (1 / d) for w, d in zip(map(float, ranked.weights), ranked.depths, strict=True))


@pytest.mark.claim("trees/heaviest", "control")
@pytest.mark.parametrize("defect", [greedy_by_step, depth_forgotten, first_candidates, summed])
def test_defects_are_caught(defect: Callable[[Children, int, int], Any]) -> None:
    caught = 0
    for seed in range(40):
        try:
            check(defect, seed, 4, 2)
        except AssertionError:
            caught += 1
    assert caught >= 10


@pytest.mark.claim("trees/heaviest", "statistical")
def test_rounds_emit_what_the_weights_say() -> None:
    """At each node one candidate or none is right. 15,000 rounds; false alarms 2e-9, 6 % off is told with 1 - 1e-9."""
    law = lambda path: [0.5, 0.2, 0.1] if len(path) % 2 == 0 else [0.4, 0.4]  # noqa: E731
    tree = heaviest(law, 12)
    below = {
        (parent, choice): node for node, (parent, choice) in enumerate(zip(tree.parents, tree.choices, strict=True))
    }
    generator = np.random.default_rng(20261120)
    emitted = np.ones(15_000)
    for game in range(len(emitted)):
        node, path = -1, ()
        while True:
            coin = generator.random() - np.cumsum(law(path))
            right = int(np.sum(coin >= 0))
            node, path = below.get((node, right), -2), (*path, right)
            if node == -2:
                break
            emitted[game] += 1
    error = emitted.std(ddof=1) / np.sqrt(len(emitted))
    assert error < 0.005 * float(tree.expected_tokens)
    assert abs(emitted.mean() - float(tree.expected_tokens)) < SIGMAS * error


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_shape(seed: int, nodes: int) -> None:
    """A tree: parents first, each weight its parent's times its own, falling in the order of the nodes."""
    tree = heaviest(world(seed), nodes, depth=4)
    assert tree.nodes <= nodes
    paths: list[tuple[Any, ...]] = []
    for parent, weight, choice in zip(tree.parents, tree.weights, tree.choices, strict=True):
        above, path = (1, ()) if parent < 0 else (tree.weights[parent], paths[parent])
        assert weight == above * world(seed)(path)[choice] > 0
        paths.append((*path, choice))
    assert len(set(paths)) == len(paths)
    assert list(tree.weights) == sorted(tree.weights, reverse=True)


def test_kinds_of_children() -> None:
    """Sequences, arrays and mappings are one thing."""
    weights = [0.2, 0.5, 0.3]
    expected = heaviest(lambda path: weights, 7)
    assert heaviest(lambda path: np.array(weights), 7) == expected
    named = heaviest(lambda path: dict(zip("abc", weights, strict=True)), 7)
    assert (named.parents, named.weights) == (expected.parents, expected.weights)
    assert named.choices == tuple("abc"[choice] for choice in expected.choices)


def test_arrays_and_their_rounding() -> None:
    """torch like numpy; a float32 law that sums to one a rounding too high is no error, more is."""
    import torch

    weights = [0.25, 0.5, 0.125, 0.125]
    expected = heaviest(lambda path: weights, 9)
    assert heaviest(lambda path: torch.tensor(weights), 9) == expected
    above = np.array([1 + 1e-6], dtype=np.float32)
    assert heaviest(lambda path: above, 3).weights == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"at 0 is 1\.00"):
        heaviest(lambda path: above.astype(np.float64), 3)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(1, 10))
def test_large_vocabularies_are_cut_without_changing_ties(counts: list[int], nodes: int) -> None:
    weights = [count / 8 for count in counts]
    assert heaviest(lambda path: np.array(weights), nodes, depth=2) == heaviest(lambda path: weights, nodes, depth=2)


def test_calls_are_few() -> None:
    """Each node of the tree is asked for its children at most once, and nothing else is."""
    asked: list[tuple[int, ...]] = []

    def law(path: tuple[int, ...]) -> np.ndarray[Any, Any]:
        asked.append(path)
        return np.full(1000, 1e-3)

    assert heaviest(law, 5).nodes == 5
    assert len(asked) == len(set(asked)) <= 5


def medusa(accuracies: list[list[float]], nodes: int) -> float:
    """Medusa's search: from the first node on, the best neighbour (next sibling or first child) joins."""
    tree = [(0,)]

    def weight(path: tuple[int, ...]) -> float:
        return float(np.prod([accuracies[depth][rank] for depth, rank in enumerate(path)]))

    while len(tree) < nodes:
        near = {(*path[:-1], path[-1] + 1) for path in tree if path[-1] + 1 < len(accuracies[len(path) - 1])}
        near |= {(*path, 0) for path in tree if len(path) < len(accuracies)}
        tree.append(max(near - set(tree), key=weight))
    return sum(map(weight, tree))


def test_medusa_search_is_the_same() -> None:
    heads = [[0.56, 0.11, 0.06, 0.03], [0.32, 0.09, 0.05], [0.2, 0.07, 0.04], [0.15, 0.05]]
    for nodes in (1, 5, 20, 40):
        assert heaviest(by_depth(heads), nodes).expected_tokens == pytest.approx(1 + medusa(heads, nodes))


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_exact_beams_are_proved(seed: int, nodes: int, depth: int, beam: int, width: int) -> None:
    """``exact`` is never claimed wrongly, and always claimed where beam and width leave nothing out."""
    grown = grow(world(seed), nodes, depth=depth, beam=beam, width=width)
    best = heaviest(world(seed), nodes, depth=grown.levels)
    assert grown.tree.expected_tokens <= best.expected_tokens
    if grown.exact:
        assert grown.tree.expected_tokens == best.expected_tokens
    full = grow(world(seed), nodes, depth=depth, beam=nodes, width=nodes)
    assert full.exact
    assert full.tree.expected_tokens == heaviest(world(seed), nodes, depth=depth).expected_tokens


def test_beams_can_cost() -> None:
    """A beam of one misses the second branch, and says so; with a least gain the growth stops early."""
    law = lambda path: [0.5, 0.4] if not path else [0.9]  # noqa: E731
    narrow = grow(law, 6, depth=3, beam=1, width=2)
    assert not narrow.exact
    assert narrow.tree.expected_tokens < heaviest(law, 6, depth=3).expected_tokens
    assert grow(law, 6, depth=3, beam=6, least_gain=0.85).levels == 2
    assert grow(law, 6, depth=3, beam=6).levels == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: heaviest(lambda path: [0.5], 0), "nodes is 0"),
        (lambda: heaviest(lambda path: [0.5], 2, depth=0), "depth is 0"),
        (
            lambda: heaviest(lambda path: [0.5, 1.5], 2),
            r"children\(\(\)\) at 1 is 1.5; allowed are numbers from 0 to 1",
        ),
        (lambda: heaviest(lambda path: [float("nan")], 2), "is nan"),
        (lambda: heaviest(lambda path: np.array([0.5, -0.1]), 2), r"at 1 is -0.1"),
        (lambda: heaviest(lambda path: np.ones((2, 2)), 2), "shape"),
        (lambda: heaviest(lambda path: {"a": 2}, 2), "at 'a' is 2"),
        (lambda: by_depth([]), "rates: empty"),
        (lambda: by_depth([[0.5], [2.0]]), r"rates\[1\]\[0\] is 2.0"),
        (lambda: grow(lambda path: [0.5], 2, depth=2, beam=0), "beam is 0"),
        (lambda: grow(lambda path: [0.5], 2, depth=2, beam=1, least_gain=-1), "least_gain is -1"),
        (lambda: DraftTree((0,), (0.5,), (0,)).depths, r"parents\[0\] is 0"),
    ],
)
def test_bad_input(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
