"""A confidence threshold that is fitted again after every round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from specmath.stopping.policies.policy import PolicyKind, check_length, check_unit
from specmath.stopping.view import View, needed

FEWEST = 6
"""Tokens that must have been judged before the threshold moves; as in transformers, which wants more than five."""


def fitted(confidences: Sequence[float], kept: Sequence[bool], *, miss: float = 3.0) -> float | None:
    """The threshold with the smallest share of rejected tokens let on + ``miss`` x share of kept tokens stopped at.

    Thresholds are the observed confidences; ties go to the largest. None without tokens of both kinds.

    >>> fitted([0.9, 0.8, 0.3], [True, True, False])
    0.8
    """
    good = sorted((c for c, k in zip(confidences, kept, strict=True) if k), reverse=True)
    bad = sorted((c for c, k in zip(confidences, kept, strict=True) if not k), reverse=True)
    if not good or not bad:
        return None
    best, found, passed, wrong = None, None, 0, 0
    for threshold in sorted(set(confidences), reverse=True):
        while passed < len(good) and good[passed] >= threshold:
            passed += 1
        while wrong < len(bad) and bad[wrong] >= threshold:
            wrong += 1
        cost = wrong / len(bad) + miss * (1 - passed / len(good))
        if best is None or cost < best:
            best, found = cost, threshold
    return found


@dataclass
class OnlineConfidence:
    """Goes on while the confidence is at least a threshold that is fitted to all rounds so far (`fitted`).

    The default of transformers' assisted generation: 20 tokens at most, 0.4 to begin with, a false stop weighs three
    times a false start. A token is judged if the tokens before it were kept. A last token that the policy was not
    asked about, because the length ended the round, is not judged.

    Attributes
    ----------
    threshold : where it begins, a probability.
    draft_length : most tokens, >= 0.
    """

    threshold: float = 0.4
    draft_length: int = 20
    confidences: list[float] = field(default_factory=list, repr=False)
    kept: list[bool] = field(default_factory=list, repr=False)
    sequential = True

    def __post_init__(self) -> None:
        check_unit("threshold", self.threshold)
        check_length("draft_length", self.draft_length)
        self._first, self._round = self.threshold, {}

    def decide(self, state: View) -> bool:
        if state.drafted <= 1:
            self._round: dict[int, float] = {}
        if state.drafted == 0:
            return self.draft_length > 0
        sure = float(needed("online_confidence", state.confidence, "confidence"))
        self._round[state.drafted - 1] = sure
        return sure >= self.threshold and state.drafted < self.draft_length

    def observe(self, drafted: int, accepted: int) -> None:
        for place in range(min(accepted + 1, drafted)):
            if place in self._round:
                self.confidences.append(self._round[place])
                self.kept.append(place < accepted)
        self._round = {}
        found = fitted(self.confidences, self.kept) if len(self.kept) >= FEWEST else None
        self.threshold = self.threshold if found is None else found

    def memory(self) -> Any:
        return [self.threshold, list(self.confidences), list(self.kept)]

    def restore(self, memory: Any) -> OnlineConfidence:
        threshold, confidences, kept = (self._first, [], []) if memory is None else memory
        made = OnlineConfidence(threshold, self.draft_length, list(confidences), list(kept))
        made._first = self._first
        return made


KIND = PolicyKind(
    "online_confidence",
    "confidence, with a threshold fitted to earlier rounds",
    "transformers, assistant_confidence_threshold; mamou2024dynamic",
    OnlineConfidence,
    "rounds",
)
