"""Simulated and decoded traces through the same schema, metrics, checks and plans."""

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

from proofs_tests.simulate.judges import SIGMAS
from reference import decode
from reference.models.table import TableModel
from specmath import metrics
from specmath.oracle import check_rounds
from specmath.simulate import STOP, Dsi, Overlapped, Pearl, Request, Round, simulate
from specmath.stopping import Constant, Costs, Fixed, Replay, Tables, evaluate
from specmath.trees import DraftTree

TARGET, DRAFT = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
TREE = DraftTree((-1, -1, 0, 0, 1), (0.6, 0.25, 0.4, 0.2, 0.1), (0, 1, 0, 1, 0))
REQUESTS = [Request(max_tokens=60, prompt=3), Request(max_tokens=60, stop=17), Request(max_tokens=1), Request(stop=1)]


def test_the_record_is_the_decoders() -> None:
    names = [field.name for field in dataclasses.fields(Round)]
    assert names == [field.name for field in dataclasses.fields(decode.Round)]


def test_metrics_of_both() -> None:
    """The same models decoded and simulated: both have the exact block efficiency, false alarms 2e-9 each."""
    process = Tables({(): TARGET}, {(): DRAFT}, order=0)
    simulated = simulate(3, process, 0.1, [Request(max_tokens=6_000, prompt=1)]).trace
    options = decode.Options(max_tokens=1_000, seed=1)
    target, draft = TableModel(lambda _: TARGET, 3), TableModel(lambda _: DRAFT, 3)
    decoded = decode.chain(target, draft, [0], draft_length=3, rule="token_wise", options=options).rounds
    assert metrics.summary(simulated).keys() == metrics.summary(decoded).keys()
    exact = float(evaluate(Fixed(3), process, Costs(draft=0.1)).block_efficiency)
    for trace in (simulated, decoded):
        emitted = [len(one.emitted) for one in trace[:-1]]
        error = np.std(emitted, ddof=1) / np.sqrt(len(emitted))
        assert error < 0.07
        found = metrics.block_efficiency(trace[:-1])
        assert found is not None
        assert abs(found - exact) < SIGMAS * error
        assert abs(found - (exact - 1)) > SIGMAS * error  # control: no bonus or corrected tokens
        assert metrics.draft_calls(trace) == metrics.drafted_tokens(trace)
        assert metrics.target_calls(trace) == len(trace)


@pytest.mark.parametrize("overlap", [None, Pearl(), Dsi(), Overlapped(0.3, 0.5)])
def test_schema_ends_and_counts(overlap) -> None:
    schema = json.loads(files("specmath").joinpath("schemas/round.schema.json").read_text())
    found = simulate(4, Constant(0.7), 0.3, REQUESTS, overlap=overlap)
    for one in found.trace:
        jsonschema.validate(json.loads(json.dumps(one.as_json())), schema)
    assert [one.tokens for one in found.requests] == [60, 17, 1, 1]
    assert [one.stop_reason for one in found.requests] == ["length", "stop", "length", "stop"]
    for number, request in enumerate(REQUESTS):
        text = [token for one in found.trace if one.request == number for token in one.emitted]
        assert (STOP in text) == (request.stop is not None)
        assert STOP not in text[:-1]
    assert metrics.emitted_tokens(found.trace) == found.tokens
    assert metrics.seconds(found.trace) == pytest.approx(found.busy)


def test_the_logs_check_finds_nothing() -> None:
    """All certain checks, and accept tests against the recorded probabilities, both ways."""
    chain = simulate(
        4, Tables({(): TARGET}, {(): DRAFT}, order=0), 0.1, [*REQUESTS, Request(max_tokens=2_000)], batch=2
    )
    assert not check_rounds(chain.trace, rule="token_wise", stop=[STOP]).findings
    wrong = [dataclasses.replace(one, target_logprobs=one.draft_logprobs) for one in chain.trace]
    assert check_rounds(wrong, rule="token_wise", stop=[STOP]).findings
    tree = simulate(TREE, None, 0.1, [*REQUESTS, Request(max_tokens=500)], batch=5)
    assert not check_rounds(tree.trace, stop=[STOP]).findings


def test_a_simulated_trace_is_replayed() -> None:
    """Acceptances come back from the trace, so plans are fitted to it as to a decoder's."""
    found = simulate(3, Constant(0.625), 0.1, [Request(max_tokens=300)])
    kept = Replay.of_trace(found.trace).acceptances
    assert {round(value, 12) for row in kept for value in row} == {0.625}
