"""Drafters of every kind on a table model, by name: what tests of equality run through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reference import drafters
from reference.drafters import Drafter, Progress
from reference.models.protocol import LanguageModel


@dataclass
class Patience:
    """Drafts one token more after a round that was accepted whole, one less after any other: a policy with memory."""

    allowed: int = 1
    longest: int = 4

    def decide(self, state: Progress) -> bool:
        return len(state.drafted) < self.allowed

    def observe(self, drafted: int, accepted: int) -> None:
        step = 1 if accepted == drafted else -1
        self.allowed = max(1, min(self.longest, self.allowed + step))

    def memory(self) -> Any:
        return {"allowed": self.allowed}

    def restore(self, memory: Any) -> Patience:
        return Patience(allowed=memory["allowed"] if memory else self.allowed, longest=self.longest)


Make = Callable[[LanguageModel], Drafter]

COUPLED: dict[str, Make] = {
    "chain": lambda draft: drafters.chain(draft, 4),
    "confident chain": lambda draft: drafters.chain(draft, 5, policy=drafters.Confidence(0.4)),
    "patient chain": lambda draft: drafters.chain(draft, 4, policy=Patience()),
    "drawn chain": lambda draft: drafters.chain(draft, 3, drafts="iid"),
    "tree": lambda draft: drafters.tree(draft, (2, 2, 1)),
    "uneven tree": lambda draft: drafters.tree(draft, drafters.Tree((-1, 0, -1, 1, 0, 3))),
    "drawn tree": lambda draft: drafters.tree(draft, (2, 2), drafts="without_replacement"),
    "paths": lambda draft: drafters.paths(draft, 2, 3),
    "hub": lambda draft: drafters.tree(draft, (2, 2), drafts="hub"),
    "best first": lambda draft: drafters.best_first(draft, nodes=6, depth=4, width=2),
    "lookup": lambda draft: drafters.lookup(draft_length=4),
}
"""Every kind of drafter; all of them may draft for coupled text."""

REJECTION: dict[str, tuple[Make, str | None]] = {
    "token_wise": (lambda draft: drafters.chain(draft, 3), "token_wise"),
    "block": (lambda draft: drafters.chain(draft, 4, policy=drafters.Confidence(0.3)), "block"),
    "block, patient": (lambda draft: drafters.chain(draft, 4, policy=Patience()), "block"),
    "traversal": (lambda draft: drafters.tree(draft, (2, 2)), None),
    "recursive": (lambda draft: drafters.tree(draft, (2, 2, 1)), "recursive"),
    "optimal": (lambda draft: drafters.tree(draft, (2, 1)), "optimal"),
    "k_seq": (lambda draft: drafters.tree(draft, (3, 1)), "k_seq"),
    "spechub": (lambda draft: drafters.tree(draft, (2, 2)), "spechub"),
    "greedy": (lambda draft: drafters.tree(draft, drafters.Tree((-1, -1, 0, 0, 0))), "greedy"),
    "multipath_block": (lambda draft: drafters.paths(draft, 2, 2), "multipath_block"),
    "without replacement": (
        lambda draft: drafters.tree(draft, (2, 2), drafts="without_replacement"),
        "recursive_without_replacement",
    ),
    "best first": (lambda draft: drafters.best_first(draft, nodes=5, depth=3, width=2), None),
    "lookup": (lambda draft: drafters.lookup(draft_length=3), "token_wise"),
}
"""Drafters with a rule; None: the rule of `reference.decode` where none is named."""
