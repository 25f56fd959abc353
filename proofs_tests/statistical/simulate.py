"""Many rounds of vectorised sample and verify, and an exact test of what comes out.

The test compares every cell's count with its binomial law, at level false_alarm / cells: by Bonferroni the chance of a
false alarm is at most ``false_alarm``, without any large-sample approximation. Its power against a known defect is at
least the largest chance that one cell alone raises the alarm, again from binomial laws.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.stats import binom

from proofs_tests.laws import Instance
from specmath import draft_laws
from specmath.draws import categorical
from specmath.rules import Rule, Verdict

FALSE_ALARM = 1e-6
POWER = 0.999999


def limits(probabilities: np.ndarray, rounds: int, false_alarm: float) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest count of each cell that raise no alarm."""
    tail = false_alarm / (2 * len(probabilities))
    return binom.ppf(tail, rounds, probabilities), binom.isf(tail, rounds, probabilities)


def alarm(counts: np.ndarray, probabilities: np.ndarray, *, false_alarm: float = FALSE_ALARM) -> bool:
    """Whether the counts are incompatible with the claimed law."""
    low, high = limits(probabilities, int(counts.sum()), false_alarm)
    return bool(np.any((counts < low) | (counts > high)))


def power(truth: np.ndarray, claimed: np.ndarray, rounds: int, *, false_alarm: float = FALSE_ALARM) -> float:
    """Lower bound of P(alarm) when the counts follow ``truth`` and ``claimed`` is tested."""
    low, high = limits(claimed, rounds, false_alarm)
    return float(np.max(binom.cdf(low - 1, rounds, truth) + binom.sf(high, rounds, truth)))


def vector(law: Mapping[Any, Any], size: int, length: int) -> np.ndarray:
    """A law of token tuples of one length as an array, in base-``size`` order."""
    found = np.zeros(size**length)
    for tokens, probability in law.items():
        number = 0
        for token in tokens:
            number = number * size + token
        found[number] += float(probability)
    return found / found.sum()


def tilted(instance: Instance, share: Fraction) -> Instance:
    """Every target mixed with the uniform law: what a slightly wrong verifier would emit."""
    even = Fraction(1, instance.size)
    pairs = tuple((tuple((1 - share) * p + share * even for p in t), d) for t, d in instance.pairs)
    return Instance(instance.size, instance.drafts, instance.parents, pairs)


def drafted(instance: Instance, rounds: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Drafted tokens (rounds, N) and each token's context number (rounds, N), by `DraftLaw.sample`."""
    law, draft = draft_laws.get(instance.drafts), np.array([pair[1] for pair in instance.pairs], dtype=float)
    count = len(instance.parents)
    tokens = np.zeros((rounds, count), dtype=np.int64)
    above = np.zeros((rounds, count), dtype=np.int64)
    for node in range(-1, count):
        children = [i for i, parent in enumerate(instance.parents) if parent == node]
        if not children:
            continue
        root = np.zeros(rounds, dtype=np.int64)
        here = root if node < 0 else above[:, node] * instance.size + tokens[:, node] + 1
        uniforms = generator.random((rounds, max(1, law.uniforms(len(children)))))
        tokens[:, children] = law.sample(draft[here % len(instance.pairs)], len(children), uniforms)
        above[:, children] = here[:, None]
    return tokens, above


def verified(
    rule: Rule, instance: Instance, rounds: int, seed: int
) -> tuple[np.ndarray, np.ndarray, Verdict, np.random.Generator]:
    """Drafted tokens, their context numbers, the verdict, and the generator for what follows."""
    generator = np.random.default_rng(seed)
    tokens, above = drafted(instance, rounds, generator)
    uniforms = generator.random((rounds, rule.uniforms(tokens.shape[-1])))
    target = np.array([pair[0] for pair in instance.pairs], dtype=float)
    draft = np.array([pair[1] for pair in instance.pairs], dtype=float)
    if rule.layout == "node":
        rows = np.zeros(rounds, dtype=np.int64)
        verdict = rule.verify(target[rows], draft[rows], tokens, uniforms, check=False, drafts=instance.drafts)
        return tokens, above, verdict, generator
    after = np.concatenate([np.zeros((rounds, 1), dtype=np.int64), above * instance.size + tokens + 1], axis=1)
    count = len(instance.pairs)
    parents = np.array(instance.parents) if rule.layout == "tree" else None
    laws = target[after % count], draft[above % count]
    verdict = rule.verify(*laws, tokens, uniforms, parents, check=False, drafts=instance.drafts)
    return tokens, above, verdict, generator


def texts(rule: Rule, instance: Instance, rounds: int, length: int, seed: int) -> np.ndarray:
    """Counts of the first ``length`` tokens: emitted by the rule, completed by draws from the target."""
    _, _, verdict, generator = verified(rule, instance, rounds, seed)
    emitted = np.asarray(verdict.tokens)
    emitted = emitted[:, None] if rule.layout == "node" else emitted
    target = np.array([pair[0] for pair in instance.pairs], dtype=float)
    context, number = np.zeros(rounds, dtype=np.int64), np.zeros(rounds, dtype=np.int64)
    for place in range(length):
        fresh = categorical(target[context % len(instance.pairs)], generator.random(rounds))
        token = np.where(emitted[:, place] >= 0, emitted[:, place], fresh) if place < emitted.shape[1] else fresh
        context, number = context * instance.size + token + 1, number * instance.size + token
    return np.bincount(number, minlength=instance.size**length)
