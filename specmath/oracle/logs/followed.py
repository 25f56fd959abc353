"""Whether tokens follow laws that change from place to place, from a log: a mixture of bets fixed beforehand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FALSE_ALARM = 1e-9
"""Default probability with which tokens that follow their laws are said not to."""

POWERS = (0.5, 0.7, 0.85, 1.2, 1.5, 2.0, 4.0)
"""Exponents of the law: what another temperature does."""

SHARES = (0.05, 0.2, 0.5, 0.9)
"""How often tokens are drawn from the other model's law instead."""

FACTORS = (0.7, 1.5, 3.0)
"""By what the accept ratio p/q is too small or too large, with the right residual."""


@dataclass(frozen=True)
class Followed:
    """Tokens against the laws that they are said to follow.

    Attributes
    ----------
    tokens : how many.
    log_e_value : log of the evidence that they do not; infinite after a token of probability zero.
    direction : what they follow instead, as far as the bets tell.
    false_alarm : as asked for.
    """

    tokens: int
    log_e_value: float
    direction: str
    false_alarm: float

    @property
    def word(self) -> str:
        """What is proved about the tokens, or nothing: ""."""
        return self.direction if self.log_e_value >= math.log(1 / self.false_alarm) else ""


Place = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""Tokens (T,), the laws they should follow (T, V), and the other model's laws (T, V)."""


def follows(places: Iterable[Place], *, emitted: bool = False, false_alarm: float = FALSE_ALARM) -> Followed:
    """Evidence against: token t is a draw from its law, given everything before.

    For each bet a, a law at every place that was fixed before the token was seen, the product of a_t(x_t) / law_t(x_t)
    is a martingale of mean at most one, and so is the mean over bets; by Ville's inequality it ever reaches 1 /
    false_alarm with probability at most ``false_alarm``. Bets are powers of the law (another temperature), the
    likeliest token, mixtures with the other model's law, and, for tokens that were ``emitted`` after a draft from the
    other law, laws of known defects. Source: ramdas2023game, Section 2.

    Laws are taken as they are, of one vocabulary per entry of ``places``.

    >>> law = np.tile([0.6, 0.3, 0.1], (80, 1))
    >>> follows([(np.zeros(80, dtype=np.int64), law, law)]).word
    'the likeliest token'
    """
    gains: dict[str, float] = {}
    count = 0
    for tokens, law, other in places:
        count += len(tokens)
        for name, gain in _bets(tokens, law, other, emitted):
            gains[name] = gains.get(name, 0.0) + gain
    if not gains:
        return Followed(0, 0.0, "", false_alarm)
    best = max(gains, key=gains.__getitem__)
    if gains[best] == math.inf:
        return Followed(count, math.inf, "tokens of probability 0", false_alarm)
    wealth = float(np.logaddexp.reduce(list(gains.values())) - math.log(len(gains)))
    return Followed(count, wealth, best, false_alarm)


def _bets(
    tokens: NDArray[np.int64], law: NDArray[np.float64], other: NDArray[np.float64], emitted: bool
) -> Iterable[tuple[str, float]]:
    """(name, sum over places of log a(x) / law(x)) of every bet."""
    rows = np.arange(len(tokens))
    with np.errstate(divide="ignore"):
        logs = np.log(law)
    seen = logs[rows, tokens]
    if (seen == -math.inf).any():
        yield "tokens of probability 0", math.inf
        return
    for power in POWERS:
        side = "lower" if power > 1 else "higher"
        yield (
            f"a {side} temperature, times {1 / power:.2g}",
            float((_normalised(power * logs)[rows, tokens] - seen).sum()),
        )
    likeliest = np.zeros_like(law)
    likeliest[rows, law.argmax(axis=-1)] = 1.0
    yield "the likeliest token", _gain(tokens, law, likeliest)
    for share in SHARES:
        mixed = (1 - share) * law + share * other
        yield f"the other model with share {share:g}", _gain(tokens, law, mixed)
    if not emitted:
        return
    kept = np.minimum(law, other)
    yield "residual taken from the target", _gain(tokens, law, kept + (1 - kept.sum(axis=-1, keepdims=True)) * law)
    for factor in FACTORS:
        kept = np.minimum(factor * law, other)
        rest = np.maximum(law - other, 0.0)
        rest = np.where(rest.sum(axis=-1, keepdims=True) > 0, rest, law)
        missing = 1 - kept.sum(axis=-1, keepdims=True)
        loose = kept + missing * rest / rest.sum(axis=-1, keepdims=True)
        yield f"accept tests at min(1, {factor:g} p/q)", _gain(tokens, law, loose)


def _gain(tokens: NDArray[np.int64], law: NDArray[np.float64], bet: NDArray[np.float64]) -> float:
    """Sum of log bet(x) / law(x); a hundredth of the law is kept, so that one token does not lose everything."""
    rows = np.arange(len(tokens))
    return float(np.log(0.01 + 0.99 * bet[rows, tokens] / law[rows, tokens]).sum())


def _normalised(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    return logs - np.logaddexp.reduce(logs, axis=-1, keepdims=True)
