"""Ordinary sampling of the corpus: rounds with drafts drawn inside, texts completed to one length.

This is how a test suite without an exact judge works. It shares no code with `specmath.oracle`.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from proofs_tests.oracle.corpus.entry import Entry
from proofs_tests.oracle.corpus.toys import MATES, PROMPT, TOYS, Text, Toy, batch_law, text_of

PARENTS = {"node": (-1, -1, -1), "tree": (-1, -1, 0, 0, 1)}
DRAFT_LENGTH = 2


class Sampler:
    """Rounds of one verifier on real random numbers.

    ``parents`` other than the kind's own make smaller rounds; ``fixed`` drafts are handed over in place of drawn ones.
    """

    def __init__(
        self,
        entry: Entry,
        toys: tuple[Toy, ...],
        seed: int,
        parents: tuple[int, ...] | None = None,
        fixed: Text | None = None,
    ) -> None:
        self.entry, self.toys, self.function = entry, toys, entry.load()
        self.rng = np.random.default_rng(seed)
        np.random.seed(seed)  # noqa: NPY002 (what the corpus draws from)
        random.seed(seed)
        chain = tuple(range(-1, DRAFT_LENGTH - 1))
        self.parents = PARENTS.get(entry.kind, chain) if parents is None else parents
        depth = max(len(text_of((0,) * len(self.parents), self.parents, i)) for i in range(len(self.parents)))
        self.length = {"node": 1, "generate": 4}.get(entry.kind, depth + 1)
        self.fixed = fixed
        self._as_arrays, self._key = _arrays(entry, seed)
        self._laws: dict[Any, Any] = {}
        if entry.kind == "generate":
            options = {} if entry.stop is None else {"stop": entry.stop}
            self.generate = self.function(toys[0].target, toys[0].draft, **options)

    def expected(self) -> dict[Any, float]:
        """The target's law of what `rounds` yields."""
        if self.entry.kind == "batch":
            return batch_law(self.toys, self.length)
        return self.toys[0].text_law(self.length, self.entry.stop, PROMPT if self.entry.kind == "generate" else ())

    def rounds(self, count: int) -> Iterator[Any]:
        """Texts of ``length`` tokens, tuples of texts for a batch; None where a round emitted no text."""
        if self.entry.kind == "generate":
            for _ in range(count):
                yield self._stopped(tuple(self.generate(PROMPT, self.length)))
            return
        for drafted in self._drafts(count):
            emitted = self._verify(drafted)
            texts = [self._completed(toy, row) for toy, row in zip(self.toys, emitted, strict=True)]
            yield None if None in texts else texts[0] if self.entry.kind != "batch" else tuple(texts)

    def _drafts(self, count: int) -> Iterator[tuple[Text, ...]]:
        if self.fixed is not None:
            yield from [(self.fixed,) * len(self.toys)] * count
            return
        laws = [toy.drafts(self.parents, self.entry.drafts) for toy in self.toys]
        drafts = list(product(*laws))
        weights = np.array([np.prod([law[t] for law, t in zip(laws, one, strict=True)]) for one in drafts])
        for place in self.rng.choice(len(drafts), size=count, p=weights / weights.sum()):
            yield drafts[place]

    def _stopped(self, text: Text) -> Text:
        stop = self.entry.stop
        if stop is None or len(text) >= self.length or stop not in text:
            return text
        return text + (stop,) * (self.length - len(text))

    def _verify(self, drafted: tuple[Text, ...]) -> list[list[int]]:
        if drafted not in self._laws:
            self._laws[drafted] = self._given(drafted)
        arguments = [self._as_arrays(array) for array in self._laws[drafted]]
        found = self.function(*arguments, self._key() if self._key else None)
        if self.entry.kind == "node":
            return [[int(found[0] if isinstance(found, tuple) else found)]]
        return [_row(row) for row in (found if self.entry.kind == "batch" else [found])]

    def _given(self, drafted: tuple[Text, ...]) -> list[Any]:
        """The arrays of a round, as numpy."""
        target, draft = [], []
        for toy, tokens in zip(self.toys, drafted, strict=True):
            texts = [text_of(tokens, self.parents, i) for i in range(-1, len(tokens))]
            target.append([toy.target(text) for text in texts])
            draft.append([toy.draft(text) for text in texts])
        whole: list[Any] = [np.array(target), np.array(draft), np.array(drafted)]
        if self.entry.kind != "tree":
            whole[1] = whole[1][:, :-1]
        if self.entry.kind == "batch":
            return whole
        rows = [array[0] for array in whole]
        if self.entry.kind == "node":
            return [rows[0][0], rows[1][0], rows[2]]
        return [*rows, np.array(self.parents)] if self.entry.kind == "tree" else rows

    def _completed(self, toy: Toy, row: list[int]) -> Text | None:
        if len(row) > self.length or any(not 0 <= token < toy.size for token in row):
            return None
        text = tuple(row)
        while len(text) < self.length:
            text = (*text, bisect_right(_edges(toy, text), self.rng.random()))
        return text


@lru_cache(maxsize=100_000)
def _edges(toy: Toy, text: Text) -> list[float]:
    """Cumulated target, infinite from its last positive entry on."""
    law = toy.target(text)
    edges = np.cumsum(law)
    edges[np.flatnonzero(law)[-1] :] = np.inf
    return edges.tolist()


def _row(found: Any) -> list[int]:
    """Tokens of a returned row; -1 at its end is padding."""
    row = [int(token) for token in found]
    while row and row[-1] == -1:
        row.pop()
    return row


def _arrays(entry: Entry, seed: int) -> tuple[Callable[[Any], Any], Callable[[], Any] | None]:
    """How arrays are handed in, and what makes the last argument of each call, if anything does."""
    if entry.arrays == "torch":
        import torch

        torch.manual_seed(seed)
        kind = getattr(torch, entry.dtype or "float64")
        return lambda x: torch.tensor(x, dtype=kind if x.dtype == np.float64 else torch.int64), None
    if entry.arrays == "jax":
        import jax

        keys = np.random.default_rng(seed)
        return jax.numpy.asarray, lambda: jax.random.key(int(keys.integers(2**31)))
    return np.array, None


def toys_of(entry: Entry, number: int) -> tuple[Toy, ...]:
    """One of the corpus's toys, with its mate for a batch."""
    return (TOYS[number], MATES[number]) if entry.kind == "batch" else (TOYS[number],)


def chi_square(found: Counter[Any], expected: dict[Any, float]) -> tuple[float, float]:
    """Pearson's statistic on cells of at least five expected, rare cells together: (p-value, total variation).

    The p-value is 0 where something was found that is no text of the target.
    """
    from scipy.stats import chi2

    rounds = sum(found.values())
    distance = sum(abs(found[t] / rounds - expected.get(t, 0.0)) for t in {*found, *expected}) / 2
    if any(expected.get(text, 0.0) == 0 for text in found):
        return 0.0, float(distance)
    large = [text for text, p in expected.items() if p * rounds >= 5]
    observed = np.array([found[text] for text in large], dtype=np.float64)
    means = np.array([expected[text] for text in large]) * rounds
    if len(large) < len(expected):
        observed, means = np.append(observed, rounds - observed.sum()), np.append(means, rounds - means.sum())
    statistic = float(((observed - means) ** 2 / means).sum())
    return float(chi2.sf(statistic, len(means) - 1)), float(distance)
