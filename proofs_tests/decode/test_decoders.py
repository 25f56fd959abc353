"""Bookkeeping of the decoders on table models: greedy equality, traces, log-probabilities, stop tokens, limits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.harness import CHAIN_RULES, check_trace, depths, node_path, requests, table, timeless
from proofs_tests.decode.zoo import COUPLED, REJECTION
from reference import decode, drafters
from reference.decode.judge import fits
from reference.models.table import TableModel
from specmath import draft_laws, metrics, rules

RANDOM = st.sampled_from(sorted(REJECTION))


def every_fit() -> list[tuple[str, str, tuple[int, ...]]]:
    """(rule, draft law, children of each level) for chains and trees that the rule judges."""
    model, found = table(0, 3), []
    for name in rules.names():
        for drafts in draft_laws.names():
            for shape in ((1, 1), (2, 2), (2, 1), (2,)):
                if drafts == "hub" and 1 in shape:
                    continue
                if fits(rules.get(name), drafters.tree(model, shape, drafts=drafts)):
                    found.append((name, drafts, shape))
    return found


@settings(max_examples=100)
@given(request=requests(), case=st.sampled_from(every_fit()))
def test_greedy_text_of_every_rule_is_greedy_autoregressive(request, case):
    """Temperature 0: the same tokens. Draft laws that need more possible tokens than one draft fewer of them."""
    target, draft, prompt, _, options = request
    name, drafts, shape = case
    greedy = dataclasses.replace(options, temperature=0.0)
    plain = decode.autoregressive(target, prompt, options=greedy)
    found = decode.tree(target, draft, prompt, shape=shape, drafts=drafts, rule=name, options=greedy)
    assert (found.tokens, found.stop_reason, found.logprobs) == (plain.tokens, plain.stop_reason, plain.logprobs)
    check_trace(found, prompt, len(shape), greedy, chain=shape == (1, 1))
    check_trace(plain, prompt, 0, greedy)


def test_greedy_equality_sees_rejections_and_full_acceptance():
    """The examples above are no empty promise: with unlike models every accepted count from 0 to L occurs."""
    options = decode.Options(max_tokens=12, temperature=0.0)
    seen = set()
    for seed in range(40):
        found = decode.chain(table(seed, 3), table(seed + 1000, 3), [0], draft_length=3, rule="block", options=options)
        seen |= {one.accepted for one in found.rounds if len(one.drafted) == 3}
    assert seen == {0, 1, 2, 3}


@settings(max_examples=80)
@given(request=requests(), kind=RANDOM, temperature=st.sampled_from([0.5, 1.0, 2.0]))
def test_every_trace_is_consistent_and_repeats(request, kind, temperature):
    target, draft, prompt, _, options = request
    options = dataclasses.replace(options, temperature=temperature, top_k=2, randomness="rejection")
    make, rule = REJECTION[kind]
    drafter = make(draft)
    found = decode.collect(decode.stream(target, prompt, drafter=drafter, rule=rule, options=options))
    check_trace(found, prompt, 4, options, chain=drafter.shape == "chain")
    again = decode.collect(decode.stream(target, prompt, drafter=make(draft), rule=rule, options=options))
    assert timeless(found) == timeless(again)


EVERY_KIND = [(name, make, None) for name, make in COUPLED.items()]
EVERY_KIND += [(name, make, rule or "default") for name, (make, rule) in REJECTION.items()]


@pytest.mark.parametrize(("kind", "make", "rule"), EVERY_KIND)
def test_log_probabilities_are_those_of_each_tokens_own_place(kind, make, rule):
    """Drafted tokens under both models, after their own parents; emitted ones under the target, as in plain text."""
    target, draft = table(1, 3, floor=1), table(2, 3, floor=1)
    options = decode.Options(max_tokens=24, temperature=0.7, randomness=rule and "rejection")
    given, text = None if rule == "default" else rule, [0, 1, 0]

    def probability(model, prefix, token):
        return options.laws("model", model.logits(prefix)[None])[0][token]

    deep = 0
    for one in decode.stream(target, text[:], drafter=make(draft), rule=given, options=options):
        for node, parent in enumerate(one.parents):
            prefix = (*text, *(one.drafted[i] for i in node_path(one.parents, parent)))
            own = 1.0 if kind == "lookup" else probability(draft, prefix, one.drafted[node])
            assert np.exp(one.draft_logprobs[node]) == pytest.approx(own, abs=1e-12)
            want = probability(target, prefix, one.drafted[node])
            assert np.exp(one.target_logprobs[node]) == pytest.approx(want, abs=1e-12)
            deep += parent >= 0
        for token, found in zip(one.emitted, one.logprobs, strict=True):
            assert np.exp(found) == pytest.approx(probability(target, tuple(text), token), abs=1e-12)
            text.append(token)
    assert deep > 5


def test_log_probabilities_of_another_place_are_caught():
    """Planted: the log-probability of the row before."""
    from unittest import mock

    from reference.decode import loop
    from reference.decode.text import Text

    class Late(Text):
        def commit(self, path, emitted, laws, proposal):
            return super().commit(path, emitted, np.roll(laws, 1, axis=0), proposal)

    with mock.patch.object(loop, "Text", Late), pytest.raises(AssertionError):
        test_log_probabilities_are_those_of_each_tokens_own_place("chain", COUPLED["chain"], None)


def test_a_stream_yields_what_is_collected_and_computes_no_round_ahead():
    target, draft, options = table(1, 3), table(2, 3), decode.Options(max_tokens=20)
    calls = []

    def counted(prefix):
        calls.append(len(prefix))
        return target.law(prefix)

    stream = decode.stream(TableModel(counted, 3), [0], drafter=drafters.chain(draft, 2), options=options)
    assert calls == []  # nothing before the first round is asked for
    first = next(stream)
    assert max(calls) == 1 + len(first.drafted)
    rest = list(stream)
    whole = decode.chain(target, draft, [0], draft_length=2, options=options)
    assert tuple(token for one in [first, *rest] for token in one.emitted) == whole.tokens
    assert decode.collect([first, *rest]).stop_reason == whole.stop_reason
    assert list(stream) == []
    plain = decode.autoregressive(target, [0], options=options)
    assert tuple(one.emitted[0] for one in decode.stream(target, [0], options=options)) == plain.tokens


CYCLE = TableModel(lambda prefix: [float(token == (prefix[-1] + 1) % 4) for token in range(4)], 4)


def test_a_stop_token_inside_the_accepted_path_cuts_the_round():
    options = decode.Options(max_tokens=50, stop=frozenset([2]))
    for rule in (None, *CHAIN_RULES):
        found = decode.chain(CYCLE, CYCLE, [0], draft_length=3, rule=rule, options=options)
        (one,) = found.rounds
        assert (one.drafted, one.emitted, one.accepted) == ((1, 2, 3), (1, 2), 2)
        assert (found.tokens, found.stop_reason, found.logprobs) == ((1, 2), "stop", (0.0, 0.0))
        assert metrics.summary(found.rounds)["acceptance_rate"] == pytest.approx(2 / 3)
        assert metrics.summary(found.rounds)["block_efficiency"] == 2
    on_bonus = decode.chain(CYCLE, CYCLE, [3], draft_length=2, options=options)  # 0, 1 accepted, 2 is the bonus
    assert (on_bonus.rounds[0].accepted, on_bonus.tokens) == (2, (0, 1, 2))
    for rule in [*rules.names("tree"), "recursive", "optimal"]:
        drafter = drafters.paths(CYCLE, 2, 3, drafts="iid")
        (one,) = decode.stream(CYCLE, [0], drafter=drafter, rule=rule, options=options)
        assert (one.drafted, one.emitted, one.accepted) == ((1, 1, 2, 2, 3, 3), (1, 2), 2)


def test_a_budget_of_tokens_that_ends_inside_a_block_is_met_exactly():
    model = table(7, 3)
    for rule in (None, "token_wise"):
        found = decode.chain(model, model, [0], draft_length=4, rule=rule, options=decode.Options(max_tokens=7))
        assert [len(one.drafted) for one in found.rounds] == [4, 1]
        assert [one.accepted for one in found.rounds] == [4, 1]  # equal models: everything is accepted
        assert [one.draft_calls for one in found.rounds] == [4, 1]
        assert len(found.tokens) == 7
    found = decode.tree(model, model, [0], shape=(2, 2, 1), options=decode.Options(max_tokens=6))
    assert [max(depths(one.parents), default=0) for one in found.rounds] == [3, 1]


def test_what_a_round_of_a_tree_costs():
    """One target call, and one draft call for each level; a node rule emits the bonus token too."""
    model, options = table(7, 3), decode.Options(max_tokens=9)
    found = decode.tree(model, model, [0], shape=(3, 1, 1), rule="traversal", drafts="iid", options=options)
    assert [(len(one.drafted), one.draft_calls) for one in found.rounds] == [(9, 3), (9, 3), (0, 0)]
    found = decode.tree(model, model, [0], shape=(2,), rule="recursive", options=options)
    assert [len(one.emitted) for one in found.rounds] == [2, 2, 2, 2, 1]
    assert [one.accepted for one in found.rounds] == [1, 1, 1, 1, 0]
    assert [one.draft_calls for one in found.rounds] == [1, 1, 1, 1, 0]
    assert metrics.block_efficiency(found.rounds) == pytest.approx(9 / 5)


def test_fewer_candidates_where_the_draft_has_fewer_possible_tokens():
    """Two possible tokens give two candidates without replacement; SpecHub's pair falls away where only one is left."""
    two, one = TableModel(lambda prefix: [0.5, 0.5, 0], 3), TableModel(lambda prefix: [1, 0, 0], 3)
    target, options = table(3, 3, floor=1), decode.Options(max_tokens=2)
    drafter = drafters.tree(two, (3,), drafts="without_replacement")
    first = next(decode.stream(target, [0], drafter=drafter, rule="recursive_without_replacement", options=options))
    assert sorted(first.drafted) == [0, 1]
    assert first.parents == (-1, -1)
    hub = decode.tree(target, one, [0], shape=(2,), rule="spechub", options=options).rounds[0]
    assert (hub.drafted, hub.accepted, hub.draft_calls) == ((), 0, 1)


@pytest.mark.parametrize("context", [2, 3, 5, 8])
@pytest.mark.parametrize("kind", ["chain", "tree", "best first", "lookup"])
def test_the_targets_context_ends_the_text_and_the_drafts_only_the_drafting(kind, context):
    free = table(4, 3)
    bounded = table(4, 3, context_length=context)
    options = decode.Options(max_tokens=20, temperature=0.0)
    found = decode.collect(decode.stream(bounded, [0], drafter=COUPLED[kind](free), options=options))
    assert (found.stop_reason, len(found.tokens)) == ("context", context - 1)
    assert found.tokens == decode.autoregressive(bounded, [0], options=options).tokens
    drafter = COUPLED[kind](bounded)
    short = decode.collect(decode.stream(free, [0], drafter=drafter, options=options))
    assert short.tokens == decode.autoregressive(free, [0], options=options).tokens
    check_trace(short, [0], 4, options, chain=drafter.shape == "chain")
    if kind == "lookup":
        return
    for one in short.rounds:  # the draft reads the text and all of a path but its last token
        depth = max(depths(one.parents), default=0)
        assert depth <= max(0, context + 1 - one.position)
        if kind == "chain":
            assert depth == max(0, min(4, 1 + options.max_tokens - one.position - 1, context + 1 - one.position))
    assert short.rounds[-1].drafted == ()


@pytest.mark.parametrize(("more", "reason"), [(0, "length"), (1, "context")])
def test_max_tokens_that_fill_the_context_exactly_end_by_length(more, reason):
    model = TableModel(lambda _: [0.5, 0.5], 2, context_length=8)
    decoded = decode.autoregressive(model, [0, 1], options=decode.Options(max_tokens=6 + more))
    assert len(decoded.tokens) == 6
    assert decoded.stop_reason == reason


def test_requests_and_seeds_give_different_texts():
    model = TableModel(lambda prefix: [0.5, 0.5], 2)
    for randomness in ("coupled", "rejection"):
        texts = {
            decode.autoregressive(
                model,
                [0],
                options=decode.Options(max_tokens=64, seed=seed, request=request, randomness=randomness),
            ).tokens
            for seed in range(3)
            for request in range(3)
        }
        assert len(texts) == 9  # false alarm: 36 pairs of 64 fair bits, 2e-18


def test_the_default_is_coupled_and_a_rule_means_rejection():
    target, draft, options = table(0, 4), table(1, 4), decode.Options(max_tokens=40, seed=1)
    plain = decode.autoregressive(target, [0], options=options)
    coupled = dataclasses.replace(options, randomness="coupled")
    assert plain.tokens == decode.autoregressive(target, [0], options=coupled).tokens
    rejection = dataclasses.replace(options, randomness="rejection")
    assert plain.tokens != decode.autoregressive(target, [0], options=rejection).tokens
    assert plain.tokens == decode.chain(target, draft, [0], options=options).tokens
    ruled = decode.chain(target, draft, [0], rule="token_wise", options=options)
    assert timeless(ruled) == timeless(decode.chain(target, draft, [0], options=rejection))  # the default rule
    assert ruled.tokens != plain.tokens
    trees = [decode.tree(target, draft, [0], rule=rule, options=rejection) for rule in (None, "traversal")]
    assert timeless(trees[0]) == timeless(trees[1])
    grown = drafters.best_first(draft, nodes=4, depth=2, width=2)
    streams = [
        decode.stream(target, [0], drafter=grown, rule=rule, options=rejection) for rule in (None, "sampler_match")
    ]
    assert timeless(decode.collect(streams[0])) == timeless(decode.collect(streams[1]))
