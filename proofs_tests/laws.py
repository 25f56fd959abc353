"""Small instances, chosen by hypothesis: target and draft laws by context, and the shape of what is drafted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import perm, prod
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from specmath import rules

Weights = tuple[Fraction, ...]
KINDS = ("free", "equal", "one-hot target", "one-hot draft", "disjoint", "ties")
TREE_NODES = {2: 6, 3: 5, 4: 4}  # of random trees; larger ones are in the fixed lists


@dataclass(frozen=True)
class Instance:
    """``pairs`` holds (target, draft) laws; a context, read as a number in base ``size``, picks one of them.

    With seven pairs and two tokens, all contexts up to length two have laws of their own.
    """

    size: int
    drafts: str
    parents: tuple[int, ...]
    pairs: tuple[tuple[Weights, Weights], ...]

    def place(self, context: tuple[int, ...]) -> int:
        number = 0
        for token in context:
            number = number * self.size + token + 1
        return number % len(self.pairs)

    def target(self, context: tuple[int, ...]) -> Weights:
        return self.pairs[self.place(context)][0]

    def draft(self, context: tuple[int, ...]) -> Weights:
        return self.pairs[self.place(context)][1]


def law(*weights: int) -> Weights:
    """Integer weights as a law of Fractions."""
    return tuple(Fraction(weight, sum(weights)) for weight in weights)


def children(parents: tuple[int, ...]) -> list[int]:
    """Numbers of children of the nodes that have any."""
    return [parents.count(node) for node in range(-1, len(parents)) if node in parents]


def draft_paths(size: int, drafts: str, parents: tuple[int, ...]) -> int:
    """How many token tuples can be drafted."""
    if drafts == "iid":
        return size ** len(parents)
    if drafts in ("greedy", "hub"):
        return size * size
    return prod(perm(size, count) for count in children(parents))


@st.composite
def weights(draw: Any, size: int, support: int = 1, high: int = 6) -> list[int]:
    """``size`` whole numbers, zeros among them, at least ``support`` positive."""
    found = draw(st.lists(st.integers(0, high), min_size=size, max_size=size))
    for place in range(size):
        if sum(weight > 0 for weight in found) >= support:
            break
        found[place] = found[place] or 1
    return found


@st.composite
def pairs(draw: Any, size: int, support: int = 1) -> tuple[Weights, Weights]:
    """A (target, draft) pair of one of the `KINDS`; the draft has at least ``support`` possible tokens."""
    kind = draw(st.sampled_from(KINDS))
    high = 1 if kind == "ties" else 6
    target, draft = draw(weights(size, 1, high)), draw(weights(size, support, high))
    one = draw(st.integers(0, size - 1))
    if kind == "equal":
        target = draft
    elif kind == "one-hot target":
        target = [int(token == one) for token in range(size)]
    elif kind == "one-hot draft" and support == 1:
        draft = [int(token == one) for token in range(size)]
    elif kind == "disjoint" and support < size:
        draft = [max(weight, 1) if token != one else 0 for token, weight in enumerate(draft)]
        target = [int(weight == 0) for weight in draft]
    return law(*target), law(*draft)


@st.composite
def instances(
    draw: Any, rule: str, drafts: str, *, sizes: tuple[int, ...] = (2, 3, 4), paths: int = 300, nodes: int = 6
) -> Instance:
    """An instance for one rule and draft law, with at most ``paths`` drafted tuples and ``nodes`` drafted tokens."""
    chosen = rules.get(rule)
    size = draw(st.sampled_from(sizes))
    if chosen.layout == "node":
        most = min(chosen.at_most or 4, 4 if drafts == "iid" else size, nodes)
        n = 2 if drafts == "hub" else draw(st.integers(1, most))
        while drafts == "iid" and size**n > paths:
            n -= 1
        parents: list[int] = [-1] * n
    elif chosen.layout == "chain":
        parents = list(range(-1, draw(st.integers(1, 3)) - 1))
    else:
        parents = [-1]
        for node in range(1, draw(st.integers(1, min(TREE_NODES[size], nodes)))):
            open_nodes = [p for p in range(-1, node) if drafts == "iid" or parents.count(p) < size]
            parent = draw(st.sampled_from(open_nodes))
            if draft_paths(size, drafts, (*parents, parent)) <= paths:
                parents.append(parent)
            else:
                break
    support = 1 if drafts == "iid" else max(children(tuple(parents)))
    pool = draw(st.lists(pairs(size, support), min_size=1, max_size=1 if chosen.layout == "node" else 7))
    return Instance(size, drafts, tuple(parents), tuple(pool))


def for_all(
    strategy: st.SearchStrategy[Any], check: Callable[[Any], None], *, examples: int, shrink: bool = True
) -> None:
    """Run ``check`` on ``examples`` instances of the strategy: the quantifier that proofs and controls share.

    Controls leave out the search for a smaller counterexample, which takes longer than finding one.
    """
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)

    @settings(max_examples=examples, phases=phases)
    @given(strategy)
    def run(instance: Any) -> None:
        check(instance)

    run()
