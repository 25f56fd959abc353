"""Small laws on which the corpus is sampled. They share no code with `specmath.oracle`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

Law = np.ndarray
Text = tuple[int, ...]


@dataclass(frozen=True)
class Toy:
    """Laws that depend on the whole text: a few integer weights of each, turned by the text; some of them zero.

    ``flat`` laws are the same after every text.
    """

    target_weights: tuple[int, ...] = (4, 3, 0, 1)
    draft_weights: tuple[int, ...] = (1, 3, 2, 3)
    flat: bool = False

    @property
    def size(self) -> int:
        return len(self.target_weights)

    def target(self, text: Text) -> Law:
        return _law(self.target_weights, () if self.flat else text, 0)

    def draft(self, text: Text) -> Law:
        return _law(self.draft_weights, () if self.flat else text, 1)

    def text_law(self, length: int, stop: int | None = None, prompt: Text = ()) -> dict[Text, float]:
        """Law of the target's own texts of one length after ``prompt``; texts end at ``stop``, and are padded with
        it."""
        law: dict[Text, float] = {(): 1.0}
        for _ in range(length):
            longer: dict[Text, float] = {}
            for text, weight in law.items():
                if stop is not None and stop in text:
                    longer[(*text, stop)] = longer.get((*text, stop), 0.0) + weight
                    continue
                for token, probability in enumerate(self.target(prompt + text).tolist()):
                    if probability > 0:
                        longer[(*text, token)] = weight * probability
            law = longer
        return law

    def drafts(self, parents: tuple[int, ...], drafts: str) -> dict[Text, float]:
        """Law of the drafted tokens of a tree whose parents come before their children."""
        law: dict[Text, float] = {(): 1.0}
        for node, parent in enumerate(parents):
            older = [i for i in range(node) if parents[i] == parent]
            longer: dict[Text, float] = {}
            for tokens, weight in law.items():
                left = self.draft(text_of(tokens, parents, parent)).copy()
                if drafts == "top_k":
                    left = np.eye(self.size)[np.argsort(-left, kind="stable")[len(older)]]
                elif drafts == "without_replacement":
                    left[[tokens[i] for i in older]] = 0
                for token in np.flatnonzero(left).tolist():
                    longer[(*tokens, token)] = weight * left[token] / left.sum()
            law = longer
        return law


@lru_cache(maxsize=100_000)
def _law(weights: tuple[int, ...], text: Text, twist: int) -> Law:
    turn = sum((place + twist) * (token + 1) for place, token in enumerate(text, 1)) + len(text)
    law = np.roll(np.array(weights, dtype=np.float64), turn % len(weights))
    law[turn % (len(weights) - 1)] += turn % 3  # not only a rotation
    law /= law.sum()
    law.setflags(write=False)
    return law


def text_of(tokens: Text, parents: tuple[int, ...], node: int) -> Text:
    """Tokens from the root to a node."""
    return () if node < 0 else (*text_of(tokens, parents, parents[node]), tokens[node])


TOYS = (Toy(), Toy((1, 4, 7, 8), (3, 3, 3, 1)), Toy((1, 4, 2), (4, 1, 3)), Toy((2, 3, 0), (3, 1, 2)))
MATES = (
    Toy((1, 2, 2, 0), (3, 0, 1, 2)),
    Toy((1, 1, 4, 2), (2, 3, 1, 3)),
    Toy((3, 1, 1), (1, 1, 2)),
    Toy((0, 2, 1), (1, 2, 2)),
)
PROMPT = (2,)


def batch_law(toys: tuple[Toy, ...], length: int) -> dict[tuple[Text, ...], float]:
    """Joint law of independent rows."""
    laws = [toy.text_law(length) for toy in toys]
    return {
        texts: float(np.prod([law[text] for law, text in zip(laws, texts, strict=True)])) for texts in product(*laws)
    }
