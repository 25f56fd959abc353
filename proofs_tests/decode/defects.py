"""Planted defects: models whose states remember the wrong text, and drafters that break the rules of rejection."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reference.drafters import Drafter, Drafting, Proposal, Task
from reference.models.protocol import Read
from reference.models.table import TableCache, TableModel, TableState
from specmath.arrays import Array

# --- states ----------------------------------------------------------------------------------------------------------


class Stale(TableState):
    """A rejected token stays: after `keep` the first node that was not kept is still in the text's context."""

    stale: tuple[int, ...] = ()

    def keep(self, path):
        left = [node for node in range(self.nodes) if node not in path]
        self.stale = (self._prefixes[left[0]][-1],) if left else ()
        super().keep(path)

    def read(self, tokens, tree, parents):
        clean, self._tokens = self._tokens, [*self.stale, *self._tokens]
        rows = super().read(tokens, tree, parents)
        self._tokens = clean
        return rows


class Shifted(TableState):
    """Rows one place early: the law before the last token of the text is handed out as the law after it."""

    def read(self, tokens, tree, parents):
        before, text = len(self._tokens), [*self._tokens, *tokens]
        rows = super().read(tokens, tree, parents)
        early = [self._model.logits(tuple(text[:end])) for end in range(before, len(text))]
        return np.stack([*early, *rows[len(tokens) :]]) if len(tokens) else rows


class Linear(TableState):
    """A tree is read as one chain: each node sees all that stand before it."""

    def read(self, tokens, tree, parents):
        rows = super().read(tokens, tree, parents)
        seen = [(*self._tokens, *tokens, *tree[: node + 1]) for node in range(len(tree))]
        return np.stack([*rows[: len(tokens)], *(self._model.logits(prefix) for prefix in seen)])


class Early(TableState):
    """Tree rows one node early: the law before a candidate is handed out as the law after it."""

    def read(self, tokens, tree, parents):
        rows = super().read(tokens, tree, parents)
        above = [len(tokens) + parent for parent in parents]
        return np.concatenate([rows[: len(tokens)], rows[above]]) if len(tree) else rows


class Sibling(TableState):
    """The compaction takes the wrong slot: of every kept node its first sibling is stored."""

    def keep(self, path):
        firsts = [next(i for i, p in enumerate(self._growth.parents) if p == self._growth.parents[n]) for n in path]
        stored = [self._prefixes[first][-1] for first in firsts]
        super().keep(path)
        self._tokens[len(self._tokens) - len(stored) :] = stored


class Dropped(TableState):
    """The token after the accepted ones never reaches the cache: the text goes on without it."""

    def grow(self, tokens, tree, parents):
        later = bool(self._tokens)
        super().grow(tokens, tree, parents)
        if later and len(tokens) == 1:  # the law is right once more, and wrong from then on
            del self._tokens[-1]


class Doubled(TableState):
    """The token after the accepted ones is stored twice."""

    def read(self, tokens, tree, parents):
        if self._tokens and len(tokens) == 1:
            self._tokens.append(tokens[0])
        return super().read(tokens, tree, parents)


def defective(model: TableModel, state: type[TableState]) -> TableModel:
    """A model with the same laws and defective states."""

    class Model(TableModel):
        def state(self, cache: TableCache) -> TableState:
            return state(self, cache)

    return Model(model.law, model.vocabulary_size)


# --- drafters --------------------------------------------------------------------------------------------------------


class Changed:
    """A drafter whose proposals are changed before they are judged."""

    def __init__(self, drafter: Drafter, change: Callable[[Proposal], Proposal]) -> None:
        self._drafter, self._change = drafter, change
        self.laws, self.branches, self.shape, self.check = drafter.laws, drafter.branches, drafter.shape, drafter.check

    def begin(self, task: Task, memory: Any = None) -> Drafting:
        return _Changed(self._drafter.begin(task, memory), self._change)


class _Changed:
    def __init__(self, drafting: Drafting, change: Callable[[Proposal], Proposal]) -> None:
        self._drafting, self._change = drafting, change
        self._names: dict[int, int] = {}
        self.memory, self.close = drafting.memory, drafting.close

    @property
    def _law(self) -> Any:
        """The harness puts an exact program here."""
        return getattr(self._drafting, "_law", None)

    @_law.setter
    def _law(self, value: Any) -> None:
        setattr(self._drafting, "_law", value)  # noqa: B010

    def propose(self, tokens: Sequence[int], most: int) -> Generator[Read, Array, Proposal]:
        proposal = yield from self._drafting.propose(tokens, most)
        changed = self._change(proposal)
        self._names = {}
        for node, (token, parent) in enumerate(zip(changed.tokens, changed.parents, strict=True)):
            above = self._names[parent] if parent >= 0 else -1
            taken = set(self._names.values())
            found = (i for i, (t, p) in enumerate(zip(proposal.tokens, proposal.parents, strict=True)))
            self._names[node] = next(
                i for i in found if proposal.tokens[i] == token and proposal.parents[i] == above and i not in taken
            )
        return changed

    def keep(self, path: Sequence[int]) -> None:
        self._drafting.keep([self._names[node] for node in path])


def chosen(proposal: Proposal, keep: Callable[[int, float], bool]) -> Proposal:
    """The nodes for which ``keep(node, its own draft probability)`` holds, without those below the others."""
    assert proposal.laws is not None
    names: dict[int, int] = {-1: -1}
    for node, (token, parent, law) in enumerate(zip(proposal.tokens, proposal.parents, proposal.laws, strict=True)):
        if parent in names and keep(node, float(law[token])):
            names[node] = len(names) - 1
    kept = [node for node in names if node >= 0]
    return replace(
        proposal,
        tokens=[proposal.tokens[node] for node in kept],
        parents=[names[proposal.parents[node]] for node in kept],
        laws=[proposal.laws[node] for node in kept],
    )


def prunes_unlikely(proposal: Proposal) -> Proposal:
    """Drawn candidates are thrown away if they were unlikely: what is left does not follow the draft's law."""
    return chosen(proposal, lambda node, probability: probability >= 0.5)


def takes_back(proposal: Proposal) -> Proposal:
    """A stopping policy that throws away the token it looked at, instead of stopping after it."""
    last = len(proposal.tokens) - 1
    return chosen(proposal, lambda node, probability: node < last or probability >= 0.5)


def of_another_temperature(proposal: Proposal) -> Proposal:
    """The law that is judged is that of temperature 1/2, the drafts were drawn at temperature 1."""
    return replace(proposal, laws=[law**2 / (law**2).sum() for law in proposal.laws or ()])
