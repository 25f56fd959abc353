"""Metrics follow from the round trace alone, as records of the schema or as objects."""

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.harness import requests, table
from proofs_tests.decode.zoo import COUPLED
from reference import decode
from specmath import metrics

SCHEMA = json.loads((files("specmath") / "schemas" / "round.schema.json").read_text())
KINDS = st.sampled_from(sorted(COUPLED))


@settings(max_examples=40)
@given(request=requests(), kind=KINDS)
def test_definitions(request, kind):
    target, draft, prompt, _, options = request
    drafter = COUPLED[kind](draft)
    found = decode.collect(decode.stream(target, prompt, drafter=drafter, options=options))
    total = metrics.summary(found.rounds)
    assert total["rounds"] == total["target_calls"] == len(found.rounds)
    assert total["emitted_tokens"] == len(found.tokens)
    assert total["drafted_tokens"] == sum(len(one.drafted) for one in found.rounds)
    if drafter.shape == "chain":
        assert total["draft_calls"] == (0 if kind == "lookup" else total["drafted_tokens"])
        assert total["block_efficiency"] <= 6
    assert total["accepted_tokens"] == sum(one.accepted for one in found.rounds)
    assert total["block_efficiency"] == len(found.tokens) / len(found.rounds)
    if total["drafted_tokens"]:
        assert total["acceptance_rate"] == total["accepted_tokens"] / total["drafted_tokens"]
    else:
        assert total["acceptance_rate"] is None
    records = [one.as_json() for one in found.rounds]
    assert metrics.summary(json.loads(json.dumps(records, allow_nan=False))) == total
    assert metrics.summary(iter(records)) == total


def test_autoregressive_decoding_has_block_efficiency_one():
    found = decode.autoregressive(table(1, 3), [0], options=decode.Options(max_tokens=9))
    total = metrics.summary(found.rounds)
    assert (total["block_efficiency"], total["acceptance_rate"], total["draft_calls"]) == (1.0, None, 0)


def test_an_empty_trace_has_no_ratios():
    assert metrics.summary([])["block_efficiency"] is None
    assert metrics.acceptance_rate([]) is None


def test_a_record_without_a_field_is_refused():
    with pytest.raises(ValueError, match="without the field 'emitted'"):
        metrics.emitted_tokens([{"drafted": []}])


@settings(max_examples=40)
@given(request=requests(), kind=KINDS, temperature=st.sampled_from([0.0, 1.0]))
def test_every_round_follows_the_schema(request, kind, temperature):
    target, draft, prompt, _, options = request
    validator = jsonschema.Draft202012Validator(SCHEMA)
    options = dataclasses.replace(options, temperature=temperature)
    for one in decode.stream(target, prompt, drafter=COUPLED[kind](draft), options=options):
        record = json.loads(json.dumps(one.as_json(), allow_nan=False))
        validator.validate(record)
        assert set(record) == set(SCHEMA["properties"]) == set(SCHEMA["required"])


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 1},
        {"emitted": []},
        {"logprobs": []},
        {"logprobs": [0.5]},
        {"logprobs": [None]},
        {"accepted": -1},
        {"stop_reason": "tired"},
        {"parents": [-2]},
        {"drafted": [0.5]},
        {"draft_logprobs": [0.1]},
        {"surprise": 1},
        {"seconds": None},
    ],
)
def test_the_schema_rejects_wrong_rounds(change):
    (one,) = decode.autoregressive(table(1, 3), [0], options=decode.Options(max_tokens=1)).rounds
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.validate(one.as_json())
    assert not validator.is_valid({**one.as_json(), **change})
    for name in SCHEMA["required"]:
        assert not validator.is_valid({key: value for key, value in one.as_json().items() if key != name})
