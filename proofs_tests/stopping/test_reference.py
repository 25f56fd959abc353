"""Policies at work in the reference decoder."""

from __future__ import annotations

import numpy as np
import pytest

from proofs_tests.decode.harness import table
from reference import decode, drafters
from reference.decode import Options
from reference.drafters.policy import Confidence as Own
from reference.drafters.policy import Progress
from reference.drafters.stopping import Stopping
from specmath.stopping import Bandit, Confidence, Costs, Fixed, Heuristic, OnlineConfidence, Survival

TARGET, DRAFT = table(1, 4), table(2, 4)
OPTIONS = Options(max_tokens=40, seed=4)


def rounds(policy, rule: str | None = "token_wise", draft=DRAFT) -> list:
    drafter = drafters.chain(draft, 6, policy=policy)
    return decode.collect(decode.stream(TARGET, [0], drafter=drafter, rule=rule, options=OPTIONS)).rounds


def test_fixed_lengths_are_drafted() -> None:
    drafted = [len(one.drafted) for one in rounds(Stopping(Fixed(2)))]
    assert set(drafted[:-2]) == {2}


def test_confidence_decides_as_the_reference_s_own() -> None:
    assert [one.drafted for one in rounds(Stopping(Confidence(0.4)))] == [one.drafted for one in rounds(Own(0.4))]


def test_survival_is_the_product_of_the_estimates() -> None:
    stopping = Stopping(Survival(0.5), lambda law, token: float(law[token]))
    for one in rounds(stopping)[:-1]:
        products = np.exp(np.cumsum(one.draft_logprobs))
        assert all(products[:-1] > 0.5)
        assert len(one.drafted) == 6 or products[-1] <= 0.5 or one.position + len(one.drafted) >= 40


def test_a_schedule_learns_from_rounds_and_can_be_interrupted() -> None:
    found = rounds(Stopping(Heuristic(2)), None, draft=TARGET)  # everything is kept
    assert [len(one.drafted) for one in found][:3] == [2, 4, 6]
    for policy in (Heuristic(2), OnlineConfidence(), Bandit((1, 3), Costs(0.1))):
        stopping = Stopping(policy).restore(None)
        stopping.observe(2, 1)
        assert stopping.restore(stopping.memory()).memory() == stopping.memory()


def test_what_is_not_known_is_an_error() -> None:
    law = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match="state has no survival, which policy 'survival' needs"):
        Stopping(Survival(0.5)).decide(Progress(1, [0], [law]))
    with pytest.raises(ValueError, match=r"acceptance is 1.5 for token 0; allowed are probabilities"):
        Stopping(Survival(0.5), lambda law, token: 1.5).decide(Progress(1, [0], [law]))
