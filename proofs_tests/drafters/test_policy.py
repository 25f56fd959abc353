"""Stopping policies: what they are shown, when they are asked, what they remember."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from proofs_tests.decode.harness import table
from proofs_tests.decode.zoo import Patience
from proofs_tests.drafters.propose import law_after, propose, task
from reference import decode, drafters
from reference.decode import Options
from reference.drafters import Confidence, Progress
from reference.models.table import TableModel

DRAFT = table(5, 4, floor=1)


@dataclass
class Watching:
    """Never stops, and writes down all that it is shown."""

    shown: list = field(default_factory=list)
    seen: list = field(default_factory=list)

    def decide(self, state: Progress) -> bool:
        self.shown.append((state.position, tuple(state.drafted), tuple(state.probabilities)))
        return True

    def observe(self, drafted: int, accepted: int) -> None:
        self.seen.append((drafted, accepted))

    def memory(self) -> None:
        return None

    def restore(self, memory):
        return self


@pytest.mark.parametrize("drafts", ["coupled", "iid"])
def test_a_policy_is_asked_after_each_token_but_the_last(drafts):
    policy, options = Watching(), Options(seed=2)
    drafting = drafters.chain(DRAFT, 4, policy=policy).begin(task(options, 4, drafts=drafts))
    text = [0, 1, 2]
    proposal, _ = propose(drafting, text, 9)
    assert [drafted for _, drafted, _ in policy.shown] == [tuple(proposal.tokens[:n]) for n in (1, 2, 3)]
    for position, drafted, probabilities in policy.shown:
        assert position == 3
        laws = [law_after(DRAFT, options)([*text, *drafted[:n]]) for n in range(len(drafted))]
        assert probabilities == tuple(law[token] for law, token in zip(laws, drafted, strict=True))
    drafting.keep([0, 1])
    assert policy.seen == [(4, 2)]


def test_confidence_stops_after_the_first_unlikely_token():
    options = Options(seed=2)
    for threshold in (0.0, 0.3, 0.6, 1.0):
        policy = Confidence(threshold)
        for seed in range(20):
            drafting = drafters.chain(table(seed, 4), 5, policy=policy).begin(task(options, 4, drafts="iid"))
            proposal, _ = propose(drafting, [0], 9)
            assert proposal.laws is not None
            sure = [float(law[token]) >= threshold for law, token in zip(proposal.laws, proposal.tokens, strict=True)]
            first = sure.index(False) + 1 if False in sure else 5
            assert len(proposal.tokens) == min(first, 5)


def test_a_policy_with_memory_learns_from_rounds_and_every_text_has_its_own():
    model = table(3, 4)
    drafter = drafters.chain(model, 4, policy=Patience())
    options = decode.Options(max_tokens=30)
    for _ in range(2):  # the second text begins anew
        rounds = list(decode.stream(model, [0], drafter=drafter, options=options))  # everything is accepted
        assert [len(one.drafted) for one in rounds][:5] == [1, 2, 3, 4, 4]
    both = [decode.Request(prompt=[0], options=options, drafter=drafter)] * 2
    for found in decode.batched(model, both):
        assert [len(one.drafted) for one in found.rounds][:5] == [1, 2, 3, 4, 4]


@pytest.mark.parametrize("rule", [None, "token_wise"])
def test_a_policy_is_told_of_every_round_with_drafts_and_of_no_other(rule):
    """Of those of which nothing was accepted as well; not of the last one, which has room for one token only."""
    zeros, ones = (TableModel(lambda prefix, law=law: law, 2) for law in ([1, 0], [0, 1]))
    for draft, length, seen in (
        (ones, 4, [(3, 0), (2, 0), (1, 0)]),
        (zeros, 5, [(3, 3)]),
        (ones, 1, []),
        (zeros, 9, [(3, 3), (3, 3)]),
    ):
        one, other = Watching(), Watching()
        options, drafter = Options(max_tokens=length), drafters.chain(draft, 3, policy=one)
        found = decode.collect(decode.stream(zeros, [0], drafter=drafter, rule=rule, options=options))
        assert one.seen == seen == [(len(r.drafted), r.accepted) for r in found.rounds if r.drafted]
        assert not found.rounds[-1].drafted
        drafter = drafters.chain(draft, 3, policy=other)
        decode.batched(zeros, [decode.Request(prompt=[0], options=options, drafter=drafter, rule=rule)])
        assert other.seen == seen


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold):
    with pytest.raises(ValueError, match=r"threshold is .*; allowed are probabilities from 0 to 1"):
        Confidence(threshold)


def test_progress_names_the_probability_of_each_drafted_token():
    laws = [np.array([0.2, 0.8]), np.array([0.5, 0.5])]
    assert Progress(7, [1, 0], laws).probabilities == [0.8, 0.5]
