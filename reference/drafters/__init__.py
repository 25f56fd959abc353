"""Drafters: where the candidates of a round come from.

>>> from reference import drafters
>>> drafters.lookup(draft_length=4).shape
'chain'
"""

from __future__ import annotations

from collections.abc import Sequence

from reference.drafters.best_first import BestFirstDrafter
from reference.drafters.lookup import LookupDrafter
from reference.drafters.model import ModelDrafter
from reference.drafters.policy import Confidence, Policy, Progress
from reference.drafters.protocol import Drafter, Drafting, Proposal, Task
from reference.drafters.shapes import Tree, branching, chain_of, paths_of
from reference.models.protocol import LanguageModel
from specmath.arrays import check_count

__all__ = [
    "BestFirstDrafter",
    "Confidence",
    "Drafter",
    "Drafting",
    "LookupDrafter",
    "ModelDrafter",
    "Policy",
    "Progress",
    "Proposal",
    "Task",
    "Tree",
    "best_first",
    "branching",
    "chain",
    "lookup",
    "paths",
    "tree",
]

best_first = BestFirstDrafter
lookup = LookupDrafter


def chain(
    model: LanguageModel, draft_length: int, *, drafts: str | None = None, policy: Policy | None = None
) -> ModelDrafter:
    """``draft_length`` tokens one after the other, or fewer if ``policy`` says so; ValueError below 1."""
    return ModelDrafter(model, chain_of(check_count("draft_length", draft_length)), drafts, policy)


def tree(model: LanguageModel, shape: Tree | Sequence[int], *, drafts: str | None = None) -> ModelDrafter:
    """A static tree: a `Tree` by its parent vector, or how many children every node of each level has, (3, 2, 1)."""
    return ModelDrafter(model, shape if isinstance(shape, Tree) else branching(shape), drafts)


def paths(model: LanguageModel, n: int, draft_length: int, *, drafts: str | None = None) -> ModelDrafter:
    """``n`` paths of ``draft_length`` tokens: n candidates for the next token, and what the draft says after each."""
    return ModelDrafter(model, paths_of(check_count("n", n), check_count("draft_length", draft_length)), drafts)
