"""Bookkeeping of the decoder with n paths: greedy equality, traces, limits, too few possible tokens, bad input."""

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.harness import table
from proofs_tests.decode.paths_harness import paths_rules
from proofs_tests.decode.test_decoders import requests
from reference import decode
from reference.decode.paths import path_parents
from reference.models.table import TableModel
from specmath import draft_laws, metrics, rules

SCHEMA = json.loads((files("specmath") / "schemas" / "round.schema.json").read_text())
EVERY = [(name, length, drafts) for drafts in draft_laws.names() for name, length in paths_rules(drafts)]


def check_trace(decoded: decode.Decoded, prompt, n: int, draft_length: int, options: decode.Options) -> None:
    """Everything that must hold of every trace, whatever was sampled."""
    text = list(prompt)
    for number, one in enumerate(decoded.rounds):
        assert (one.round, one.position, one.request) == (number, len(text), options.request)
        assert len(one.drafted) == len(one.draft_logprobs) == len(one.target_logprobs) == len(one.parents)
        paths = one.parents.count(-1)
        assert paths <= n
        length = len(one.drafted) // paths if paths else 0
        assert length <= draft_length
        assert one.parents == tuple(path_parents(paths, length))
        assert one.target_calls == 1
        assert one.draft_calls >= length
        kept = [one.drafted[length * k :][: one.accepted] for k in range(paths)]
        assert not one.accepted or one.emitted[: one.accepted] in kept  # what was accepted is one path's beginning
        cut = one.emitted[-1] in options.stop
        assert len(one.emitted) == one.accepted + 1 or (cut and len(one.emitted) == one.accepted > 0)
        assert not any(token in options.stop for token in one.emitted[:-1])
        assert (one.stop_reason is None) == (number < len(decoded.rounds) - 1)
        text.extend(one.emitted)
    assert tuple(text[len(prompt) :]) == decoded.tokens
    assert len(decoded.tokens) <= options.max_tokens


@settings(max_examples=60)
@given(request=requests(), case=st.sampled_from(EVERY))
def test_greedy_paths_are_greedy_autoregressive(request, case):
    """Temperature 0: the same tokens. Draft laws that need more possible tokens than one draft fewer paths."""
    target, draft, prompt, draft_length, options = request
    name, length, drafts = case
    greedy = dataclasses.replace(options, temperature=0.0)
    length = min(length, draft_length)
    plain = decode.autoregressive(target, prompt, options=greedy)
    found = decode.paths(target, draft, prompt, n=2, draft_length=length, drafts=drafts, rule=name, options=greedy)
    assert found.tokens == plain.tokens
    assert found.stop_reason == plain.stop_reason
    check_trace(found, prompt, 2, length, greedy)


@settings(max_examples=60)
@given(request=requests(), case=st.sampled_from(EVERY), n=st.integers(1, 4))
def test_every_trace_is_consistent_and_repeats(request, case, n):
    target, draft, prompt, draft_length, options = request
    name, length, drafts = case
    rule = rules.get(name)
    n = max(rule.at_least, min(n, rule.at_most or n)) if drafts != "hub" else 2
    arguments = {
        "n": n,
        "draft_length": draft_length if length > 1 else 1,
        "drafts": drafts,
        "rule": name,
        "options": options,
    }
    found = decode.paths(target, draft, prompt, **arguments)
    check_trace(found, prompt, n, draft_length, options)
    timeless = [dataclasses.replace(one, seconds=0.0) for one in found.rounds]
    again = decode.paths(target, draft, prompt, **arguments)
    assert timeless == [dataclasses.replace(one, seconds=0.0) for one in again.rounds]
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for one in found.rounds:
        validator.validate(json.loads(json.dumps(one.as_json(), allow_nan=False)))


def test_log_probabilities_are_those_of_each_tokens_own_place():
    target, draft, options = table(1, 3, floor=1), table(2, 3, floor=1), decode.Options(max_tokens=12)
    text, seen = [0], 0
    for one in decode.paths_rounds(target, draft, [0], n=3, draft_length=2, rule="traversal", options=options):
        for node, (token, parent) in enumerate(zip(one.drafted, one.parents, strict=True)):
            prefix = (*text, *((one.drafted[parent],) if parent >= 0 else ()))
            for model, found in ((target, one.target_logprobs[node]), (draft, one.draft_logprobs[node])):
                assert np.exp(found) == pytest.approx(float(model.law(prefix)[token]), abs=1e-12)
                seen += parent >= 0
        text.extend(one.emitted)
    assert seen > 10


def test_a_node_round_emits_the_bonus_token_too():
    """Equal models accept always, so every full round emits two tokens with one target call."""
    model = table(7, 3)
    found = decode.paths(model, model, [0], n=2, rule="recursive", options=decode.Options(max_tokens=9))
    assert [len(one.emitted) for one in found.rounds] == [2, 2, 2, 2, 1]
    assert [one.accepted for one in found.rounds] == [1, 1, 1, 1, 0]
    assert metrics.block_efficiency(found.rounds) == pytest.approx(9 / 5)
    assert [one.draft_calls for one in found.rounds] == [1, 1, 1, 1, 0]


def test_draft_calls_are_one_a_place():
    model = table(7, 3)
    options = decode.Options(max_tokens=9)
    found = decode.paths(model, model, [0], n=3, draft_length=3, rule="traversal", options=options)
    assert [(len(one.drafted), one.draft_calls) for one in found.rounds] == [(9, 3), (9, 3), (0, 0)]


def test_fewer_candidates_where_the_draft_has_fewer_possible_tokens():
    """Two possible tokens give two candidates without replacement; SpecHub's pair falls away where only one is left."""
    two = TableModel(lambda prefix: [0.5, 0.5, 0], 3)
    one = TableModel(lambda prefix: [1, 0, 0], 3)
    target, options = table(3, 3, floor=1), decode.Options(max_tokens=2)
    arguments = {"n": 3, "drafts": "without_replacement", "rule": "recursive_without_replacement", "options": options}
    first = decode.paths(target, two, [0], **arguments).rounds[0]
    assert sorted(first.drafted) == [0, 1]
    assert first.parents == (-1, -1)
    hub = decode.paths(target, one, [0], n=2, drafts="hub", rule="spechub", options=options).rounds[0]
    assert (hub.drafted, hub.accepted, hub.draft_calls) == ((), 0, 1)


def test_a_stop_token_inside_the_accepted_path_cuts_the_round():
    cycle = TableModel(lambda prefix: [float(token == (prefix[-1] + 1) % 4) for token in range(4)], 4)
    options = decode.Options(max_tokens=50, stop=frozenset([2]))
    for rule in rules.names("tree"):
        (one,) = decode.paths(cycle, cycle, [0], n=2, draft_length=3, rule=rule, options=options).rounds
        assert (one.drafted, one.emitted, one.accepted) == ((1, 2, 3, 1, 2, 3), (1, 2), 2)
    (one,) = decode.paths(cycle, cycle, [1], n=2, rule="recursive", options=options).rounds
    assert (one.emitted, one.accepted, one.stop_reason) == ((2,), 1, "stop")


@pytest.mark.parametrize("context", [2, 3, 5, 8])
def test_contexts_end_the_text_and_shorten_the_paths(context):
    law = table(4, 3).law
    bounded, free = TableModel(law, 3, context_length=context), TableModel(law, 3)
    options = decode.Options(max_tokens=20, temperature=0.0)
    arguments = {"n": 2, "draft_length": 3, "rule": "traversal", "options": options}
    found = decode.paths(bounded, free, [0], **arguments)
    assert (found.stop_reason, len(found.tokens)) == ("context", context - 1)
    assert found.tokens == decode.autoregressive(bounded, [0], options=options).tokens
    short = decode.paths(free, bounded, [0], **arguments)
    assert short.tokens == decode.autoregressive(free, [0], options=options).tokens
    assert short.rounds[-1].drafted == ()
    check_trace(short, [0], 2, 3, options)


MODEL = table(0, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "n is 0; allowed are whole numbers >= 1"),
        ({"n": 2.5}, "n is 2.5; allowed"),
        ({"draft_length": 0}, "draft_length is 0"),
        ({"draft_length": 2}, "draft_length is 2: rule 'recursive' judges candidates for one token; allowed is 1"),
        ({"rule": "block"}, "rule is 'block'; allowed for n paths are 'single'"),
        ({"rule": "nothing"}, "rule is 'nothing'; allowed for n paths"),
        ({"rule": "single"}, "n is 2: rule 'single' allows n = 1"),
        ({"drafts": "top_k"}, "rule 'recursive' does not verify drafts='top_k'; allowed are 'iid'"),
        ({"drafts": "beam"}, "drafts is 'beam'; allowed are"),
        ({"rule": "spechub", "drafts": "hub", "n": 3}, "n is 3"),
    ],
)
def test_bad_requests_are_refused_before_any_work(changes, message):
    with pytest.raises(ValueError, match=message):
        decode.paths_rounds(MODEL, MODEL, [0], **{"n": 2, "rule": "recursive", **changes})


def test_requests_are_checked_before_the_stream_is_read():
    with pytest.raises(ValueError, match="prompt is empty"):
        decode.paths_rounds(MODEL, MODEL, [], n=2, rule="recursive")
