"""Bookkeeping of the decoders on table models: greedy equality, stop tokens, limits, streaming, bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.harness import CHAIN_RULES, check_trace, table
from reference import decode
from reference.models.table import TableModel
from specmath import metrics, rules

SEEDS = st.integers(0, 2**20)


@st.composite
def requests(draw: st.DrawFn):
    """Models (the draft now and then equal to the target), prompt, draft length and options."""
    size = draw(st.integers(2, 5))
    target = table(draw(SEEDS), size)
    draft = target if draw(st.booleans()) else table(draw(SEEDS), size)
    prompt = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4))
    options = decode.Options(
        max_tokens=draw(st.integers(1, 12)),
        seed=draw(SEEDS),
        request=draw(st.integers(0, 3)),
        stop=frozenset(draw(st.sets(st.integers(0, size - 1), max_size=1))),
    )
    return target, draft, prompt, draw(st.integers(1, 5)), options


@settings(max_examples=120)
@given(request=requests(), rule=st.sampled_from(CHAIN_RULES))
def test_greedy_chain_is_greedy_autoregressive(request, rule):
    target, draft, prompt, draft_length, options = request
    greedy = dataclasses.replace(options, temperature=0.0)
    plain = decode.autoregressive(target, prompt, options=greedy)
    found = decode.chain(target, draft, prompt, draft_length=draft_length, rule=rule, options=greedy)
    assert found.tokens == plain.tokens
    assert found.stop_reason == plain.stop_reason
    check_trace(found, prompt, draft_length, greedy)
    check_trace(plain, prompt, draft_length, greedy)


def test_greedy_equality_sees_rejections_and_full_acceptance():
    """The examples above are no empty promise: with unlike models every accepted count from 0 to L occurs."""
    seen = set()
    for seed in range(40):
        found = decode.chain(
            table(seed, 3),
            table(seed + 1000, 3),
            [0],
            draft_length=3,
            options=decode.Options(max_tokens=12, temperature=0.0),
        )
        seen |= {one.accepted for one in found.rounds if len(one.drafted) == 3}
    assert seen == {0, 1, 2, 3}


@settings(max_examples=80)
@given(request=requests(), rule=st.sampled_from(CHAIN_RULES), temperature=st.sampled_from([0.5, 1.0, 2.0]))
def test_every_trace_is_consistent_and_repeats(request, rule, temperature):
    target, draft, prompt, draft_length, options = request
    options = dataclasses.replace(options, temperature=temperature, top_k=2)
    arguments = {"draft_length": draft_length, "rule": rule, "options": options}
    found = decode.chain(target, draft, prompt, **arguments)
    check_trace(found, prompt, draft_length, options)
    again = decode.chain(target, draft, prompt, **arguments)
    timeless = [dataclasses.replace(one, seconds=0.0) for one in found.rounds]
    assert timeless == [dataclasses.replace(one, seconds=0.0) for one in again.rounds]


@settings(max_examples=40)
@given(request=requests())
def test_log_probabilities_are_those_of_the_sampled_laws(request):
    target, draft, prompt, draft_length, options = request
    options = dataclasses.replace(options, top_k=2, temperature=0.7)
    text = list(prompt)
    for one in decode.chain_rounds(target, draft, prompt, draft_length=draft_length, options=options):
        for i, token in enumerate(one.drafted):
            prefix = (*text, *one.drafted[:i])
            for model, found in ((target, one.target_logprobs[i]), (draft, one.draft_logprobs[i])):
                law = options.laws("model", model.logits(prefix)[None])[0]
                assert np.exp(found) == pytest.approx(law[token], abs=1e-12)
            assert one.draft_logprobs[i] > -np.inf
        text.extend(one.emitted)


def test_a_stream_yields_what_is_collected_and_computes_no_round_ahead():
    target, draft, options = table(1, 3), table(2, 3), decode.Options(max_tokens=20)
    calls = []

    def counted(prefix):
        calls.append(len(prefix))
        return target.law(prefix)

    stream = decode.chain_rounds(TableModel(counted, 3), draft, [0], draft_length=2, options=options)
    assert calls == []  # nothing before the first round is asked for
    first = next(stream)
    assert max(calls) == 1 + len(first.drafted)
    rest = list(stream)
    whole = decode.chain(target, draft, [0], draft_length=2, options=options)
    assert tuple(token for one in [first, *rest] for token in one.emitted) == whole.tokens
    assert decode.collect([first, *rest]).stop_reason == whole.stop_reason
    plain = decode.autoregressive(target, [0], options=options)
    assert tuple(one.emitted[0] for one in decode.autoregressive_rounds(target, [0], options=options)) == plain.tokens


def test_a_stop_token_inside_the_accepted_path_cuts_the_round():
    cycle = TableModel(lambda prefix: [float(token == (prefix[-1] + 1) % 4) for token in range(4)], 4)
    options = decode.Options(max_tokens=50, stop=frozenset([2]))
    for rule in CHAIN_RULES:
        found = decode.chain(cycle, cycle, [0], draft_length=3, rule=rule, options=options)
        (one,) = found.rounds
        assert (one.drafted, one.emitted, one.accepted) == ((1, 2, 3), (1, 2), 2)
        assert (found.tokens, found.stop_reason) == ((1, 2), "stop")
        assert metrics.summary(found.rounds)["acceptance_rate"] == pytest.approx(2 / 3)
        assert metrics.summary(found.rounds)["block_efficiency"] == 2
    on_bonus = decode.chain(cycle, cycle, [3], draft_length=2, options=options)  # 0, 1 accepted, 2 is the bonus
    assert (on_bonus.rounds[0].accepted, on_bonus.tokens) == (2, (0, 1, 2))


@pytest.mark.parametrize("context", [2, 3, 5, 8])
def test_the_targets_context_ends_the_text_and_the_drafts_only_the_drafting(context):
    law = table(4, 3).law
    bounded, free = TableModel(law, 3, context_length=context), TableModel(law, 3)
    options = decode.Options(max_tokens=20, temperature=0.0)
    found = decode.chain(bounded, free, [0], draft_length=4, options=options)
    assert (found.stop_reason, len(found.tokens)) == ("context", context - 1)
    assert found.tokens == decode.autoregressive(bounded, [0], options=options).tokens
    short = decode.chain(free, bounded, [0], draft_length=4, options=options)
    assert short.tokens == decode.autoregressive(free, [0], options=options).tokens
    for one in short.rounds:  # the draft reads the text and all drafted tokens but the last
        room = 1 + options.max_tokens - one.position
        assert len(one.drafted) == max(0, min(4, room - 1, context + 1 - one.position))
    assert short.rounds[-1].drafted == ()
    check_trace(short, [0], 4, options)


def test_draft_length_shrinks_towards_max_tokens():
    model = table(7, 3)
    found = decode.chain(model, model, [0], draft_length=4, options=decode.Options(max_tokens=7))
    assert [len(one.drafted) for one in found.rounds] == [4, 1]
    assert [one.accepted for one in found.rounds] == [4, 1]  # equal models: everything is accepted
    assert [one.draft_calls for one in found.rounds] == [4, 1]


def test_requests_and_seeds_give_different_texts():
    model = TableModel(lambda prefix: [0.5, 0.5], 2)
    texts = {
        decode.autoregressive(model, [0], options=decode.Options(max_tokens=64, seed=seed, request=request)).tokens
        for seed in range(3)
        for request in range(3)
    }
    assert len(texts) == 9  # false alarm: 36 pairs of 64 fair bits, 2e-18


MODEL = table(0, 3)
NAN = TableModel(lambda prefix: [0.5, 0.5], 2)
NAN.logits = lambda prefix: np.array([np.nan, 0.0])  # type: ignore[method-assign]
TWO = TableModel(lambda prefix: [0.5, 0.5], 2)


@pytest.mark.parametrize(
    ("models", "prompt", "changes", "message"),
    [
        ((MODEL, MODEL), [], {}, "prompt is empty"),
        ((MODEL, MODEL), [0, 3], {}, r"prompt\[1\] is 3; allowed are token ids from 0 to 2"),
        ((MODEL, MODEL), [-1], {}, r"prompt\[0\] is -1"),
        ((MODEL, MODEL), [0.5], {}, r"prompt\[0\] is 0.5; allowed are whole numbers"),
        ((MODEL, TWO), [0], {}, "target has 3 tokens and draft 2"),
        (
            (TableModel(MODEL.law, 3, context_length=2), MODEL),
            [0, 1, 2],
            {},
            "prompt has 3 tokens; allowed are up to 1",
        ),
        ((MODEL, MODEL), [0], {"draft_length": 0}, "draft_length is 0"),
        ((MODEL, MODEL), [0], {"draft_length": 1.5}, "draft_length is 1.5"),
        ((MODEL, MODEL), [0], {"rule": "blok"}, "rule is 'blok'; allowed for a chain are 'token_wise', 'block'"),
        ((MODEL, MODEL), [0], {"rule": "recursive"}, "rule is 'recursive'; allowed for a chain"),
        ((MODEL, MODEL), [0], {"rule": rules.get("traversal")}, "rule is 'traversal'"),
        ((MODEL, MODEL), [0], {"options": decode.Options(stop=frozenset([3]))}, r"stop\[0\] is 3"),
        ((NAN, TWO), [0], {}, "target: logits: a row holds NaN"),
        ((TWO, NAN), [0], {}, "draft: logits: a row holds NaN"),
    ],
)
def test_bad_requests_are_refused(models, prompt, changes, message):
    with pytest.raises(ValueError, match=message):
        decode.chain(*models, prompt, **{"draft_length": 2, **changes})


def test_checks_run_before_the_stream_is_read():
    with pytest.raises(ValueError, match="prompt is empty"):
        decode.chain_rounds(MODEL, MODEL, [], draft_length=2)
    with pytest.raises(ValueError, match="prompt is empty"):
        decode.autoregressive_rounds(MODEL, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 2.5),
        ("temperature", -1.0),
        ("temperature", float("nan")),
        ("top_k", 0),
        ("top_k", 1.5),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("seed", -1),
        ("request", 2**32),
    ],
)
def test_bad_options_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} is "):
        decode.Options(**{name: value})


@pytest.mark.parametrize(("more", "reason"), [(0, "length"), (1, "context")])
def test_max_tokens_that_fill_the_context_exactly_end_by_length(more, reason):
    model = TableModel(lambda _: [0.5, 0.5], 2, context_length=8)
    decoded = decode.autoregressive(model, [0, 1], options=decode.Options(max_tokens=6 + more))
    assert len(decoded.tokens) == 6
    assert decoded.stop_reason == reason
