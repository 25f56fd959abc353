"""Small instances, chosen by hypothesis: target and draft laws by context, and the shape of what is drafted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import perm, prod
from random import Random
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from specmath import rules

Weights = tuple[Fraction, ...]
Pick = Callable[[int, int], int]
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


def weights(pick: Pick, size: int, support: int, high: int) -> list[int]:
    """``size`` whole numbers, zeros among them, at least ``support`` positive."""
    found = [pick(0, high) for _ in range(size)]
    for place in range(size):
        if sum(weight > 0 for weight in found) >= support:
            break
        found[place] = found[place] or 1
    return found


def pair(pick: Pick, kind: str, size: int, support: int) -> tuple[Weights, Weights]:
    """A (target, draft) pair of one of the `KINDS`; the draft has at least ``support`` possible tokens."""
    high = 1 if kind == "ties" else 6
    target, draft = weights(pick, size, 1, high), weights(pick, size, support, high)
    one = pick(0, size - 1)
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


def build(pick: Pick, odd: bool, rule: Any, drafts: str, sizes: tuple[int, ...], paths: int, nodes: int) -> Instance:
    """One instance out of whole numbers that ``pick(low, high)`` chooses; ``odd`` ones have any of the `KINDS`."""
    size = sizes[pick(0, len(sizes) - 1)]
    if rule.layout == "node":
        most = min(rule.at_most or 4, 4 if drafts == "iid" else size, nodes)
        n = 2 if drafts == "hub" else pick(1 if odd else min(2, most), most)
        while drafts == "iid" and size**n > paths:
            n -= 1
        parents: list[int] = [-1] * n
    elif rule.layout == "chain":
        parents = list(range(-1, pick(1 if odd else 2, 3) - 1))
    elif rule.shape == "paths":
        count, length = pick(1 if odd else 2, 3), pick(1, 3)
        while count * length > nodes or size ** (count * length) > paths:
            count, length = (count - 1, length) if count >= length else (count, length - 1)
        parents = [number - 1 if number % length else -1 for number in range(count * length)]
    else:
        parents = [-1]
        for node in range(1, pick(1 if odd else 3, min(TREE_NODES[size] if nodes <= 6 else 12, nodes))):
            open_nodes = [p for p in range(-1, node) if drafts == "iid" or parents.count(p) < size]
            parent = open_nodes[pick(0, len(open_nodes) - 1)]
            if draft_paths(size, drafts, (*parents, parent)) > paths:
                break
            parents.append(parent)
    support = 1 if drafts == "iid" else max(children(tuple(parents)))
    pool = []
    for _ in range(1 if rule.layout == "node" else pick(1 if odd else 3, 7)):
        kind = KINDS[pick(0, len(KINDS) - 1)] if odd or pick(0, 9) == 0 else "free"
        pool.append(pair(pick, kind, size, support))
    return Instance(size, drafts, tuple(parents), tuple(pool))


@st.composite
def instances(
    draw: Any, rule: str, drafts: str, *, sizes: tuple[int, ...] = (2, 3, 4), paths: int = 300, nodes: int = 6
) -> Instance:
    """An instance for one rule and draft law, with at most ``paths`` drafted tuples and ``nodes`` drafted tokens.

    One in four is built from choices of hypothesis, which likes extremes and repetition; the others from a
    pseudo-random stream whose seed it chooses, because most defects show only on several unremarkable laws at once.
    """
    seed = draw(st.integers(0, 2**63))
    if draw(st.integers(0, 3)) == 0:
        return build(lambda low, high: draw(st.integers(low, high)), True, rules.get(rule), drafts, sizes, paths, nodes)
    return build(Random(seed).randint, False, rules.get(rule), drafts, sizes, paths, nodes)


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
