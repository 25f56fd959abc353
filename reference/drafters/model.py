"""A separate model as drafter: chains and static trees."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.drafters.policy import Policy, Progress
from reference.drafters.protocol import Proposal, Shape, Task, check_vocabulary
from reference.drafters.shapes import Tree
from reference.gumbel import best
from reference.models.protocol import LanguageModel, Read, on_host
from reference.random import Stream
from specmath import draft_laws
from specmath.arrays import Array


@dataclass
class Growing:
    """A tree while it is drafted; ``number`` is a node's number in the draft's state, for nodes that were read."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    laws: list[NDArray[np.float64]] = field(default_factory=list)
    number: dict[int, int] = field(default_factory=lambda: {-1: -1})
    calls: int = 1

    def add(self, token: int, parent: int, law: NDArray[np.float64]) -> int:
        """A new node; its number in the proposal."""
        self.tokens.append(token)
        self.parents.append(parent)
        self.depths.append(1 + (self.depths[parent] if parent >= 0 else 0))
        self.laws.append(law)
        return len(self.tokens) - 1

    def depth(self, node: int) -> int:
        return self.depths[node] if node >= 0 else 0

    def proposal(self) -> Proposal:
        return Proposal(self.tokens, self.parents, self.laws, self.calls)


class ModelDrafting:
    """What static and growing trees share: the draft's state, how candidates are picked, what is kept."""

    def __init__(self, model: LanguageModel, task: Task, policy: Policy | None = None) -> None:
        self.task, self.policy = task, policy
        self._model, self._state = model, task.open(model)
        self._grown = Growing()

    def room(self, tokens: Sequence[int], most: int, depth: int) -> int:
        """How deep the next tree may be: the draft reads the text and all of a path but its last token."""
        return max(0, min(depth, most, self._model.context_length - len(tokens) + 1))

    def begin(self, tokens: Sequence[int]) -> Generator[Read, Array, tuple[Growing, NDArray[np.float64]]]:
        """Read what is new in the text: an empty tree, and the logits (1, V) after the text."""
        self._grown = Growing()
        logits = yield Read(self._state, tokens[self._state.length :])
        return self._grown, on_host(logits[-1:])

    def read(self, nodes: Sequence[int]) -> Generator[Read, Array, NDArray[np.float64]]:
        """One pass over these nodes, whose parents were read before: logits (F, V)."""
        grown = self._grown
        parents = [grown.number[grown.parents[node]] for node in nodes]
        first = self._state.nodes
        logits = yield Read(self._state, (), [grown.tokens[node] for node in nodes], parents)
        grown.number |= {node: first + i for i, node in enumerate(nodes)}
        grown.calls += 1
        return on_host(logits)

    def keep(self, path: Sequence[int]) -> None:
        grown = self._grown
        self._state.keep([grown.number[node] for node in path if node in grown.number])
        if self.policy is not None and grown.tokens:
            self.policy.observe(len(grown.tokens), len(path))
        self._grown = Growing()

    def memory(self) -> Any:
        return None if self.policy is None else self.policy.memory()

    def close(self) -> None:
        self._state.close()


@dataclass(frozen=True)
class ModelDrafter:
    """Draws a static tree from a draft model, level by level, one draft call for each level.

    Attributes
    ----------
    model : the draft.
    tree : the shape, by its parent vector.
    drafts : law of the candidates of one node (`specmath.draft_laws`), "coupled", or None for whichever is asked for.
    policy : stops a chain early; None: never.
    """

    model: LanguageModel
    tree: Tree
    drafts: str | None = None
    policy: Policy | None = None

    def __post_init__(self) -> None:
        if self.drafts is not None and self.drafts != "coupled":
            for n in self.branches:
                draft_laws.get(self.drafts).check(n, self.model.vocabulary_size)
        if self.policy is not None and self.shape != "chain":
            raise ValueError("policy: given for a tree; allowed for chains, where one token decides about the next")

    @property
    def laws(self) -> tuple[str, ...] | None:
        return None if self.drafts is None else (self.drafts,)

    @property
    def branches(self) -> tuple[int, ...]:
        return self.tree.branches

    @property
    def shape(self) -> Shape:
        return self.tree.shape

    def check(self, target: LanguageModel) -> None:
        check_vocabulary(target, self.model)

    def begin(self, task: Task, memory: Any = None) -> StaticDrafting:
        return StaticDrafting(self.model, task, self.tree, self.policy and self.policy.restore(memory))


class StaticDrafting(ModelDrafting):
    """A `ModelDrafter` at work."""

    def __init__(self, model: LanguageModel, task: Task, tree: Tree, policy: Policy | None) -> None:
        super().__init__(model, task, policy)
        self._tree = tree
        self._law = None if task.drafts == "coupled" else draft_laws.get(task.drafts)
        uniforms = 0 if self._law is None else sum(self._law.uniforms(len(c)) for c in tree.below.values() if c)
        self._uniforms = uniforms

    def propose(self, tokens: Sequence[int], most: int) -> Generator[Read, Array, Proposal]:
        start, task, tree = len(tokens), self.task, self._tree
        room = self.room(tokens, most, tree.depth)
        if not room:
            return Proposal()
        coins = iter(task.uniforms(start, Stream.DRAFT, self._uniforms) if self._uniforms else ())
        grown, logits = yield from self.begin(tokens)
        level = [(-1, -1)]  # nodes of the proposal, and where they stand in the shape
        for depth in range(room):
            laws = task.laws("draft", logits)  # (F, V), one row for each node of the level
            picked = self._pick(logits, laws, start + depth, [len(tree.below[place]) for _, place in level], coins)
            above, level = level, []
            for (node, place), law, found in zip(above, laws, picked, strict=True):
                for token, child in zip(found, tree.below[place], strict=False):  # fewer are found in a small support
                    level.append((grown.add(token, node, law), child))
            level = [(node, place) for node, place in level if tree.below[place]]
            if not level or depth + 1 == room or not self._go_on(start):
                break
            logits = yield from self.read([node for node, _ in level])
        return grown.proposal()

    def _pick(
        self,
        logits: NDArray[np.float64],
        laws: NDArray[np.float64],
        position: int,
        counts: Sequence[int],
        coins: Iterable[float],
    ) -> list[list[int]]:
        """Candidates for the token at ``position``, ``counts`` of them for each row, or fewer where fewer exist."""
        task, law = self.task, self._law
        if law is None:
            assert task.scores is not None, "coupled candidates need the noise"
            rows = task.scores(logits, laws, [position] * len(counts))
            return [best(row, count) for row, count in zip(rows, counts, strict=True)]
        found = []
        for row, count in zip(laws, counts, strict=True):
            taken = [next(coins) for _ in range(law.uniforms(count))]  # type: ignore[call-overload]
            own = np.stack(taken) if taken else np.empty(0)
            support = int((row > 0).sum())
            n = next((m for m in range(count, task.at_least - 1, -1) if not law.needs(m, support)), 0) if support else 0
            found.append(law.sample(row, n, own[: law.uniforms(n)]).tolist() if n else [])
        return found

    def _go_on(self, position: int) -> bool:
        return self.policy is None or self.policy.decide(Progress(position, self._grown.tokens, self._grown.laws))
