"""Rules that look at the draft's own law of the last token, and at nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from specmath.arrays import check_number
from specmath.stopping.policies.policy import PolicyKind, check_unit
from specmath.stopping.view import View, needed


@dataclass(frozen=True)
class Confidence:
    """Goes on while the draft gave its last token at least ``threshold``, a probability.

    >>> [Confidence(0.4).decide(View(1, confidence=sure)) for sure in (0.4, 0.3)]
    [True, False]
    """

    threshold: float
    sequential = False

    def __post_init__(self) -> None:
        check_unit("threshold", self.threshold)

    def decide(self, state: View) -> bool:
        return state.drafted == 0 or needed("confidence", state.confidence, "confidence") >= self.threshold

    def observe(self, drafted: int, accepted: int) -> None:
        pass

    def memory(self) -> None:
        return None

    def restore(self, memory: Any) -> Confidence:
        return self


@dataclass(frozen=True)
class Entropy:
    """Goes on while the entropy of the draft's last law is at most ``threshold``, in nats, >= 0.

    >>> [Entropy(1.0).decide(View(1, entropy=spread)) for spread in (1.0, 1.1)]
    [True, False]
    """

    threshold: float
    sequential = False

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, 0.0, math.inf, "entropies in nats, >= 0")

    def decide(self, state: View) -> bool:
        return state.drafted == 0 or needed("entropy", state.entropy, "entropy") <= self.threshold

    def observe(self, drafted: int, accepted: int) -> None:
        pass

    def memory(self) -> None:
        return None

    def restore(self, memory: Any) -> Entropy:
        return self


@dataclass(frozen=True)
class Svip:
    """Goes on while sqrt(factor x entropy) <= ``threshold``: SVIP, with its constant as ``factor``.

    The square root is meant as an estimate of the total variation between draft and target. It is no bound: a draft of
    entropy 0 can be wrong always.

    >>> [Svip(0.3).decide(View(1, entropy=spread)) for spread in (0.6, 0.61)]
    [True, False]
    """

    threshold: float
    factor: float = 0.15
    sequential = False

    def __post_init__(self) -> None:
        for name in ("threshold", "factor"):
            check_number(name, getattr(self, name), 0.0, math.inf, "numbers >= 0")

    def decide(self, state: View) -> bool:
        spread = 0.0 if state.drafted == 0 else needed("svip", state.entropy, "entropy")
        return math.sqrt(self.factor * spread) <= self.threshold

    def observe(self, drafted: int, accepted: int) -> None:
        pass

    def memory(self) -> None:
        return None

    def restore(self, memory: Any) -> Svip:
        return self


KIND_CONFIDENCE = PolicyKind(
    "confidence", "while the draft is sure of its last token", "kim2023biglittle, Section 3", Confidence, "draft"
)
KIND_ENTROPY = PolicyKind(
    "entropy", "while the draft's law is narrow", "agrawal2024adaedl, Section 3 (without adaptation)", Entropy, "draft"
)
KIND_SVIP = PolicyKind("svip", "while sqrt(0.15 entropy) is small", "zhang2024svip, Section 3", Svip, "draft")
