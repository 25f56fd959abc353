"""A drafter that does what a script says: which tree, and which of its nodes take the true continuation.

Acceptance is then chosen by the test, not by a model's quality, and a failing example shrinks to the smallest tree.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from reference.drafters import Proposal, Task
from reference.drafters.protocol import Shape
from reference.models.protocol import LanguageModel, Read
from specmath.arrays import Array


class Node(NamedTuple):
    """A node hangs ``up`` places above the one before it (0: a chain); what is above all nodes is the text.

    It takes the true token of its position if it ``agrees``, else one of the others, by number: siblings may repeat.
    """

    up: int = 0
    agrees: bool = True
    other: int = 0


Script = tuple[tuple[Node, ...], ...]
"""The nodes of each round; begun again at its end."""


@dataclass(frozen=True)
class ScriptedDrafter:
    """``truth`` is the prompt and the judge's continuation, without stop tokens and longer than what may be emitted."""

    script: Script
    truth: tuple[int, ...]
    vocabulary_size: int

    laws: tuple[str, ...] | None = None
    branches: tuple[int, ...] = (1, 2, 3)
    shape: Shape = "tree"

    def check(self, target: LanguageModel) -> None:
        assert target.vocabulary_size == self.vocabulary_size

    def begin(self, task: Task, memory: Any = None) -> ScriptedDrafting:
        return ScriptedDrafting(self, memory or 0)


class ScriptedDrafting:
    """A script at work; it remembers how many rounds it has drafted."""

    def __init__(self, drafter: ScriptedDrafter, round: int) -> None:
        self._drafter, self._round = drafter, round

    def propose(self, tokens: Sequence[int], most: int) -> Generator[Read, Array, Proposal]:
        yield from ()
        nodes = self._drafter.script[self._round % len(self._drafter.script)]
        self._round += 1
        return tree(nodes, len(tokens), self._drafter.truth, self._drafter.vocabulary_size, most)

    def keep(self, path: Sequence[int]) -> None:
        """The script goes on whatever was kept."""

    def memory(self) -> int:
        return self._round

    def close(self) -> None:
        """Nothing was opened."""


def tree(nodes: Sequence[Node], start: int, truth: Sequence[int], size: int, most: int) -> Proposal:
    """The proposal of one round at position ``start``; nodes deeper than ``most`` are left out with all below them."""
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    number = {-1: -1}  # by place in the script, of those that are in
    for place, node in enumerate(nodes):
        above = number.get(max(-1, place - 1 - node.up))
        if above is None or (depth := 1 + (depths[above] if above >= 0 else 0)) > most:
            continue
        number[place] = len(tokens)
        at = start + depth - 1
        true = truth[at] if at < len(truth) else node.other % size
        tokens.append(true if node.agrees else (true + 1 + node.other % (size - 1)) % size)
        parents.append(above)
        depths.append(depth)
    return Proposal(tokens, parents)
