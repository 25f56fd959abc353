"""Two claims that the decoded texts must bear out, both with exactly known expectations at every token.

Acceptance: given the past, a drafted token that is tested is kept with probability sum_x min(target(x), draft(x)).
Surprise: given the past, an emitted token x follows the target, so -log target(x) has the entropy as its mean. This
one holds for every lossless decoder, whatever its rounds look like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reference.demo.contexts import Laws
from reference.demo.decoding import Text
from reference.demo.evidence import BETS, Estimate, Judgement, bernoulli_cumulants, judged, ratio
from specmath.rules.single import overlap


@dataclass(frozen=True)
class Trial:
    """One drafted token that a token-wise chain looked at: its place in the round, what was decided, and how likely."""

    text: int
    place: int
    accepted: bool
    chance: float


@dataclass(frozen=True)
class Place:
    """All tests at one place of the chain (0 is the first drafted token)."""

    place: int
    tests: int
    measured: Estimate
    computed: float


def trials(texts: Sequence[Text], laws: Sequence[Laws]) -> Iterator[Trial]:
    """Every test that was made: the accepted drafts of a round, and the one that failed if one did.

    Drafts behind a rejection or behind a stop token were never tested.
    """
    for number, (text, known) in enumerate(zip(texts, laws, strict=True)):
        chances = overlap(known.target, known.draft)
        for one in text.decoded.rounds:
            begin = one.position - len(text.start)
            rejected = one.accepted < len(one.drafted) and len(one.emitted) > one.accepted
            for place in range(one.accepted + rejected):
                yield Trial(number, place, place < one.accepted, float(chances[begin + place]))


def acceptance(found: Sequence[Trial]) -> Judgement:
    """Accepted tests against the sum of their probabilities."""
    chances = np.array([test.chance for test in found])
    chances = np.clip(chances, 0.0, 1.0)  # a sum of minima may leave the interval by rounding
    values = np.array([test.accepted for test in found], dtype=float)
    return judged(values, chances, chances * (1 - chances), bernoulli_cumulants(chances))


def by_place(found: Sequence[Trial]) -> list[Place]:
    """Measured share of accepted tests and mean computed probability, for each place of the chain."""
    places = []
    texts = sorted({test.text for test in found})
    for place in sorted({test.place for test in found}):
        here = [test for test in found if test.place == place]
        kept = [sum(test.accepted for test in here if test.text == text) for text in texts]
        made = [sum(test.text == text for test in here) for text in texts]
        computed = float(np.mean([test.chance for test in here]))
        places.append(Place(place, len(here), ratio(kept, made, most=1.0), computed))
    return places


def surprise(texts: Sequence[Text], laws: Sequence[Laws]) -> Judgement:
    """Surprise of the emitted tokens, in nats, against the target's entropy after each prefix."""
    parts = [_surprise(np.array(text.decoded.tokens), known.target) for text, known in zip(texts, laws, strict=True)]
    values, means, variances, cumulants = (np.concatenate(part) for part in zip(*parts, strict=True))
    return judged(values, means, variances, cumulants)


def _surprise(tokens: NDArray[np.int64], target: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    with np.errstate(divide="ignore"):
        cost = -np.log(target)  # (T, V)
    possible = np.where(target > 0, cost, 0.0)
    values = cost[np.arange(len(tokens)), tokens]
    means = np.sum(target * possible, axis=-1)
    variances = np.sum(target * (possible - means[:, None]) ** 2, axis=-1)
    # log E exp(b (cost - mean)), one tilt after the other to keep memory at (T, V)
    tilted = [np.log(np.sum(target * np.exp(bet * possible), axis=-1)) - bet * means for bet in BETS]
    return values, means, variances, np.stack(tilted, axis=-1)
