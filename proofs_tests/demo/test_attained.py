"""What counts as a trial of several candidates, and that decoders attain the optimum of exactly those contexts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reference import decode, drafters, pair
from reference.demo import attained, decoding
from reference.demo.attained import offers
from reference.demo.contexts import Contexts
from reference.demo.decoders import PathsDecoder, rejecting
from reference.demo.decoding import Text, depth
from reference.demo.marks import marked
from reference.demo.settings import Settings
from reference.models.table import TableModel
from reference.pair.prompts import Prompt
from specmath.transport import optimum


def round_of(drafted, parents, emitted, accepted, stop_reason=None) -> decode.Round:
    logs = (-1.0,) * len(drafted)
    return decode.Round(
        request=0,
        round=0,
        position=1,
        drafted=drafted,
        parents=parents,
        draft_logprobs=logs,
        target_logprobs=logs,
        accepted=accepted,
        emitted=emitted,
        logprobs=(-1.0,) * len(emitted),
        stop_reason=stop_reason,
        target_calls=1,
        draft_calls=1,
        seconds=0.0,
    )


def of_paths(target, draft, draft_length, rule, options) -> Text:
    """A text of token 0 by two paths a round."""
    drafter = drafters.paths(draft, 2, draft_length)
    done = decode.collect(decode.stream(target, [0], drafter=drafter, rule=rule, options=options))
    return Text("x", Prompt("x", "x", "x"), (0,), options, done, np.empty((0, 0)))


@pytest.mark.parametrize(
    ("one", "due"),
    [
        (round_of((5, 7), (-1, -1), (7, 3), 1), [(0, 2, True)]),
        (round_of((5, 7), (-1, -1), (4,), 0), [(0, 2, False)]),
        (round_of((5, 7), (-1, -1), (7,), 1, "stop"), [(0, 2, True)]),
        (round_of((), (), (4,), 0), []),
        # two paths of two tokens that part at once: one candidate is left at the second place
        (round_of((5, 6, 7, 8), (-1, 0, -1, 2), (7, 8, 1), 2), [(0, 2, True), (1, 1, True)]),
        (round_of((5, 6, 7, 8), (-1, 0, -1, 2), (7, 6), 1), [(0, 2, True), (1, 1, False)]),
        # ... and that begin alike: both are candidates at the second place
        (round_of((5, 6, 5, 8), (-1, 0, -1, 2), (5, 8, 1), 2), [(0, 2, True), (1, 2, True)]),
        (round_of((5, 6, 5, 8), (-1, 0, -1, 2), (5,), 1, "stop"), [(0, 2, True)]),
    ],
)
def test_trials_of_a_round(one, due):
    assert list(offers(one)) == due


def test_depth_of_a_round():
    assert [depth(parents) for parents in ((), (-1, -1), (-1, 0, 1), (-1, 0, -1, 2, 3))] == [0, 1, 3, 3]


def test_trials_stand_at_their_own_contexts():
    """Laws that differ from prefix to prefix: each trial has the optimum of the laws that its candidates came from."""

    def given(seed):
        def law(prefix):
            weights = np.random.default_rng([seed, *prefix]).random(4)
            return (weights / weights.sum()).tolist()

        return TableModel(law, 4)

    target, draft, options = given(1), given(2), decode.Options(max_tokens=60, seed=3)
    text = of_paths(target, draft, 3, "optimal_paths", options)
    done = text.decoded
    found = attained.trials([text], [Contexts(target, draft).laws([0], done.tokens, options)])
    due, seen = [], []
    for one in done.rounds:
        before = [0, *done.tokens[: one.position - 1]]
        for place, count, accepted in offers(one):
            prefix = (*before, *one.emitted[:place])
            due.append(float(optimum(np.array(target.law(prefix)), np.array(draft.law(prefix)), count).acceptance))
            seen.append((place, accepted))
    assert len(due) > 20
    assert found.optimum == pytest.approx(due, abs=1e-12)
    assert list(zip(found.place.tolist(), found.accepted.tolist(), strict=True)) == seen
    assert {place for place, _ in seen} == {0, 1, 2}
    assert all((values <= found.optimum + 1e-12).all() for values in found.others.values())


def test_a_decoder_that_judged_nothing_has_no_row(home: Path):
    """Texts of one token: there is no room for a draft."""
    models, settings = pair.load(home), Settings(prompts=1, max_tokens=1)
    one = PathsDecoder("optimal", 2, 1)
    (own,) = (found for found in rejecting(models, settings) if found.name == one.name)
    (made,) = decoding.run(models.target, [own], [Prompt("a", "b", "c")], settings)
    texts = made.texts
    contexts = Contexts(models.target, models.draft)
    known = [contexts.laws(texts[0].start, texts[0].decoded.tokens, texts[0].options)]
    assert attained.attained(one, texts, known) is None


def test_agreement_is_with_each_trials_own_chance():
    """Equal means are not enough to pass by accident: what is tested is the sum of the trials' own chances."""
    chances = np.linspace(0.05, 0.95, 4000)
    kept = np.random.default_rng(31).random(4000) < chances
    assert attained.agreement(kept, chances).passed  # a true claim fails with probability 1e-6 at most
    assert not attained.agreement(kept, np.clip(chances + 0.1, 0, 1)).passed
    assert not attained.agreement(kept, replace_mean(chances, 0.4)).passed


def replace_mean(chances, mean):
    return chances * mean / chances.mean()


def test_marks_of_a_round_with_candidates():
    """A candidate that was kept and the bonus token after it; without one, the target's correction."""
    same = TableModel(lambda prefix: [0.5, 0.5, 0], 3)
    never = TableModel(lambda prefix: [0, 0, 1], 3)
    options = decode.Options(max_tokens=4)
    for target, due in ((same, ["accepted", "bonus"] * 2), (never, ["corrected"] * 3 + ["target"])):
        text = of_paths(target, same, 1, "optimal", options)
        assert [mark for _, mark in marked(text)] == due


def test_texts_of_one_prompt_share_what_was_read(home: Path):
    """Laws after a rewind have the bits of laws read from the start; another prompt is read from the start."""
    models, options = pair.load(home), decode.Options()
    shared = Contexts(models.target, models.draft)
    for prompt, tokens in (([0], [1, 2, 3]), ([0], [4]), ([0], [5, 6]), ([0, 7], [5, 6]), ([9, 7], [5, 6])):
        found, due = (
            shared.laws(prompt, tokens, options),
            Contexts(models.target, models.draft).laws(prompt, tokens, options),
        )
        assert found.target.shape == (len(tokens), 256)
        assert np.array_equal(found.target, due.target)
        assert np.array_equal(found.draft, due.draft)
    assert not np.array_equal(found.target, shared.laws([8, 7], [5, 6], options).target)
