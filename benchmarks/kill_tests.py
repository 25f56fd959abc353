"""Tests as public projects have them, written anew, for a function of the corpus: what each says, and its number.

order   drafts and laws are fixed, the last draft is impossible; of 10,000 calls, are the counts of the token after the
        accepted prefix ordered as its probabilities? (the design of transformers' test of the target distribution)
KL      drafts drawn inside, 50,000 calls: KL of the first token's frequencies from the target below 0.01?
        (TensorRT-LLM's)
L2      drafts drawn inside, all drafted positions: from 10 to 100,000 calls, does the distance from the target shrink
        20 times as much as the distance from another law? (vLLM's)
joint   drafts drawn inside, 4,000 calls on four pairs of laws that depend on the context: Pearson's chi-square on whole
        texts, p < 1e-6 on one of them. No project's, and what one would write without an exact judge.

The three public designs are set up on laws of four and eight tokens, with the thresholds that they have there. They are
not the projects' own code, and were not made for most of the corpus's mistakes.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from proofs_tests.oracle.corpus.entry import Entry
from proofs_tests.oracle.corpus.sampling import Sampler, chi_square, toys_of
from proofs_tests.oracle.corpus.toys import TOYS, Toy

SEED = 20261120
TESTS = ("order", "KL", "L2", "joint")
FLAT = Toy((8, 7, 6, 5, 4, 3, 2, 1), (1, 2, 3, 4, 5, 6, 7, 8), flat=True)
OTHER = np.arange(8, dtype=np.float64)[::-1] ** 2 / 140  # another law on eight tokens


@dataclass(frozen=True)
class Tested:
    """What one test says of one function: None where it cannot be run; ``number`` None where there is none.

    ``number`` is the KL in nats, the L2 ratio, or the smallest p-value.
    """

    passed: bool | None
    number: float | None = None


@dataclass(frozen=True)
class Staged:
    """Laws of the test by order: token 0 is drafted nearly always, and impossible at depth ``last``."""

    last: int
    size: int = 4

    def target(self, text: tuple[int, ...]) -> np.ndarray:
        return np.array([0.0, 0.6, 0.3, 0.1] if len(text) == self.last else [0.9, 0.06, 0.03, 0.01])

    def draft(self, text: tuple[int, ...]) -> np.ndarray:
        return np.array([0.97, 0.01, 0.01, 0.01])


def tested(entry: Entry) -> dict[str, Tested]:
    """All four tests. Eager jax is too slow to sample, and a whole generate call has no fixed drafts."""
    if entry.arrays == "jax":
        return dict.fromkeys(TESTS, Tested(None))
    order = Tested(None) if entry.kind == "generate" else Tested(_guarded(ordered, entry) is True)
    divergence, shrunk = _guarded(close, entry) or (None, None)
    lowest = _guarded(joint, entry)
    return {
        "order": order,
        "KL": Tested(divergence is not None and divergence < 0.01, divergence),
        "L2": Tested(shrunk is not None and shrunk > 20, shrunk),
        "joint": Tested(lowest is not None and lowest >= 1e-6, lowest),
    }


def _guarded(test: Any, entry: Entry) -> Any:
    """What a test gives; None where a call raises, which fails every test."""
    try:
        return test(entry)
    except (ArithmeticError, LookupError, RuntimeError, ValueError):
        return None


def ordered(entry: Entry) -> bool:
    """The test by order passes."""
    last = 0 if entry.kind == "node" else 1
    parents = tuple(range(-1, last))
    toys = (Staged(last),) * (2 if entry.kind == "batch" else 1)
    sampler = Sampler(entry, toys, SEED, parents, (0,) * len(parents))  # type: ignore[arg-type]
    counts: Counter[int] = Counter()
    for texts in sampler.rounds(10_000):
        for text in texts if entry.kind == "batch" and texts else [texts]:
            if text is None:
                return False
            if text[:last] == (0,) * last:
                counts[text[last]] += 1
    return counts[1] > counts[2] > counts[3] > 0


def close(entry: Entry) -> tuple[float | None, float | None]:
    """KL of the first tokens, and how much more the distance from the target shrank; both on one stream of calls.

    None where a call emits no text, or the KL is infinite.
    """
    sampler = Sampler(entry, (FLAT,) * (2 if entry.kind == "batch" else 1), SEED)
    target = FLAT.target(())
    first, every = np.zeros(FLAT.size), np.zeros(FLAT.size)
    drafted = 1 if entry.stop is not None else max(sampler.length - 1, 1)
    early, divergence = np.zeros(2), math.inf
    for number, texts in enumerate(sampler.rounds(100_000), 1):
        for text in texts if entry.kind == "batch" and texts else [texts]:
            if text is None:
                return None, None
            first[text[0]] += 1
            for token in text[:drafted]:
                every[token] += 1
        if number == 10:
            early = distances(every, target)
        if number == 50_000:
            seen = first / first.sum()
            divergence = float(sum(p * math.log(p / q) for p, q in zip(seen, target, strict=True) if p > 0))
    shrunk = early / distances(every, target)
    return (divergence if math.isfinite(divergence) else None), float(shrunk[0] / shrunk[1])


def distances(counts: np.ndarray, target: np.ndarray) -> np.ndarray:
    """L2 distances of the frequencies from the target and from another law."""
    seen = counts / counts.sum()
    return np.array([np.linalg.norm(seen - target), np.linalg.norm(seen - OTHER)])


def joint(entry: Entry) -> float:
    """The smallest p-value of the chi-square on whole texts, up to the first toy that fails."""
    lowest = 1.0
    for number in range(len(TOYS)):
        sampler = Sampler(entry, toys_of(entry, number), SEED)
        lowest = min(lowest, chi_square(Counter(sampler.rounds(4_000)), sampler.expected())[0])
        if lowest < 1e-6:
            break
    return lowest
