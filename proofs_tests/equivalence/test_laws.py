"""The last rung, rejection mode: the exact law on a table, and a sequential test on the shipped pair."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from proofs_tests.equivalence import laws, sequential
from proofs_tests.statistical.simulate import FALSE_ALARM, POWER, alarm, power
from reference import pair
from reference.gumbel import Noise, scores
from reference.random import Keyed

REPEATS = 24
models = functools.cache(pair.load)


@functools.cache
def chosen() -> list[sequential.Bet]:
    return sequential.bets(models(), 20)


@pytest.mark.claim("equivalence/rejection", "exact")
@pytest.mark.parametrize("start", range(4))
def test_the_law_of_the_text_is_the_targets(start: int) -> None:
    assert laws.distance(start) < 1e-12


@pytest.mark.claim("equivalence/rejection", "statistical")
def test_tokens_of_the_pair_follow_the_target() -> None:
    """False alarm at most 1e-6 (Ville); a decoder with the wrong residual is missed with probability below 0.01."""
    bets = chosen()
    assert sequential.missed(bets, REPEATS) < 0.01
    assert sequential.FALSE_ALARM == 1e-6
    limit = math.log(1 / sequential.FALSE_ALARM)
    largest, seen = sequential.largest_wealth(models(), bets, REPEATS)
    assert largest < limit
    assert seen == len(bets) * REPEATS
    with laws.residual_is_target():
        largest, seen = sequential.largest_wealth(models(), bets, REPEATS)
    assert largest >= limit, "the planted defect"
    assert seen < len(bets) * REPEATS, "and before all tokens were looked at"


def test_the_wealth_is_a_martingale() -> None:
    """On average a bet changes nothing if tokens follow the target."""
    for bet in chosen():
        assert math.isclose(float((bet.target * np.exp(bet.gains)).sum()), 1.0, rel_tol=1e-9)
        assert math.isclose(float(bet.defective.sum()), 1.0, rel_tol=1e-9)
        assert bet.growth > 0


@pytest.mark.claim("equivalence/coupled", "statistical")
def test_coupled_tokens_follow_the_target() -> None:
    """Pairs of neighbours are independent draws from the law. False alarm at most 1e-6; a source that gives every
    fourth pair the same noise twice is caught with probability above 1 - 1e-6."""
    logits = np.log(np.array([[0.5, 0.2, 0.15, 0.1, 0.05]]))
    law, count = np.exp(logits), 20_000
    noise = Noise(Keyed(77, 5), 5)

    def drawn(place: int) -> int:
        return int(np.argmax(scores(logits, law, 1.0, noise, [place])))

    tokens = np.array([drawn(place) for place in range(1, count + 1)])
    pairs = np.bincount(tokens[::2] * 5 + tokens[1::2], minlength=25)
    joint = np.outer(law, law).ravel()
    assert not alarm(pairs, joint, false_alarm=FALSE_ALARM)
    shared = np.diag(law[0]).ravel()
    mixed = 0.75 * joint + 0.25 * shared
    assert power(mixed, joint, count // 2) > POWER
    defective = np.where(np.arange(len(tokens)) % 8 == 1, np.roll(tokens, 1), tokens)
    assert alarm(np.bincount(defective[::2] * 5 + defective[1::2], minlength=25), joint, false_alarm=FALSE_ALARM)
