"""A draft tree that grows where the draft is sure of itself."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.drafters.model import Growing, ModelDrafting
from reference.drafters.protocol import Proposal, Shape, Task, check_vocabulary
from reference.gumbel import best
from reference.models.protocol import LanguageModel, Read
from specmath.arrays import Array


@dataclass(frozen=True)
class BestFirstDrafter:
    """Grows the tree where the draft is sure: of all nodes looked at, the ``nodes`` likeliest paths are proposed.

    Each level reads the ``width`` likeliest new nodes, one draft call a level, and looks at the ``width`` likeliest
    candidates below each. A path's weight is the product of its tokens' draft probabilities; under coupled
    randomness the candidates are those of highest score, and a token's weight is its share of exp(score). Which nodes
    exist is a function of the context alone, so rules for fixed candidates ("top_k") stay lossless.

    Source: li2024eagle2, Section 4.
    """

    model: LanguageModel
    nodes: int = 16
    depth: int = 6
    width: int = 4

    def __post_init__(self) -> None:
        for name in ("nodes", "depth", "width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
                raise ValueError(f"{name} is {value!r}; allowed are whole numbers >= 1")

    @property
    def laws(self) -> tuple[str, ...]:
        """Which nodes exist depends on their probabilities, so they cannot be drawn at random."""
        return ("coupled", "top_k")

    @property
    def branches(self) -> tuple[int, ...]:
        return tuple(range(1, self.width + 1))

    @property
    def shape(self) -> Shape:
        return "tree"

    def check(self, target: LanguageModel) -> None:
        check_vocabulary(target, self.model)

    def begin(self, task: Task, memory: Any = None) -> BestFirstDrafting:
        return BestFirstDrafting(self, task)


class BestFirstDrafting(ModelDrafting):
    """A `BestFirstDrafter` at work."""

    def __init__(self, drafter: BestFirstDrafter, task: Task) -> None:
        super().__init__(drafter.model, task)
        self._drafter = drafter

    def propose(self, tokens: Sequence[int], most: int) -> Generator[Read, Array, Proposal]:
        drafter, start = self._drafter, len(tokens)
        room = self.room(tokens, most, drafter.depth)
        if not room:
            return Proposal()
        grown, logits = yield from self.begin(tokens)
        weights: dict[int, float] = {-1: 0.0}  # log of the product along the path
        level, fresh = [-1], []
        for depth in range(room):
            laws = self.task.laws("draft", logits)
            for node, law, (found, logs) in zip(
                level, laws, self._candidates(logits, laws, start + depth), strict=True
            ):
                for token, log in zip(found, logs, strict=True):
                    child = grown.add(token, node, law)
                    weights[child] = weights[node] + log
                    fresh.append(child)
            if depth + 1 == room:
                break
            fresh = [node for node in fresh if grown.depths[node] == depth + 1]
            level = sorted(heapq.nlargest(drafter.width, fresh, key=lambda node: (weights[node], -node)))
            if not level:  # no candidate anywhere
                break
            logits = yield from self.read(level)
        return self._best(grown, weights)

    def _candidates(
        self, logits: NDArray[np.float64], laws: NDArray[np.float64], position: int
    ) -> list[tuple[list[int], NDArray[np.float64]]]:
        """For each row the tokens to look at and the logarithms of their weights."""
        if self.task.drafts == "coupled":
            assert self.task.scores is not None, "coupled candidates need the noise"
            rows = self.task.scores(logits, laws, [position] * len(laws))
            top = rows.max(axis=-1, keepdims=True)
            rows = rows - np.where(top > -np.inf, top, 0.0)  # a row without a law has no candidates
            rows = rows - np.log(np.maximum(np.exp(rows).sum(axis=-1, keepdims=True), 1.0))
        else:
            with np.errstate(divide="ignore"):
                rows = np.log(laws)
        found = [best(row, self._drafter.width) for row in rows]
        return [(tokens, row[tokens]) for tokens, row in zip(found, rows, strict=True)]

    def _best(self, grown: Growing, weights: dict[int, float]) -> Proposal:
        """The heaviest nodes. A parent weighs at least as much as its child and stands before it: none is cut off."""
        chosen = sorted(range(len(grown.tokens)), key=lambda node: (-weights[node], node))[: self._drafter.nodes]
        renamed = {-1: -1} | {node: place for place, node in enumerate(sorted(chosen))}
        kept = sorted(chosen)
        grown.number = {renamed[node]: number for node, number in grown.number.items() if node in renamed}
        grown.tokens, grown.laws = [grown.tokens[node] for node in kept], [grown.laws[node] for node in kept]
        grown.parents = [renamed[grown.parents[node]] for node in kept]
        return grown.proposal()
