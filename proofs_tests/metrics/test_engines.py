"""Engines' records and lines: as they were published, as a trace would make them, and damaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from specmath import metrics
from specmath.metrics import convert, engines

VLLM = (
    "(APIServer pid=347228) INFO 08-04 20:51:08 [metrics.py:120] SpecDecoding metrics: Mean acceptance length: 3.49, "
    "Accepted throughput: 0.12 tokens/s, Drafted throughput: 0.34 tokens/s, Accepted: 92 tokens, Drafted: 259 tokens, "
    "Per-position acceptance rate: 0.757, 0.622, 0.432, 0.324, 0.189, 0.108, 0.054, Avg Draft acceptance rate: 35.5%"
)
VLLM_2025 = "SpecDecoding metrics: Draft acceptance rate: 100.0%, Accepted: 66 tokens, Drafted: 66 tokens"
LLAMA = (
    "0.06.896.015 I slot print_timing: id  1 | task 0 | draft acceptance = 0.64479 (  167 accepted /   259 generated), "
    "mean acceptance length =  2.92, acceptance rate per position = (0.805, 0.632, 0.483)"
)
LLAMA_2025 = "draft acceptance rate = 0.57576 (   19 accepted /    33 generated)"
RECORD = {
    "mean_acceptance_length": 1.2325581395348837,
    "draft_acceptance_rate": 0.07751937984496124,
    "acceptance_histogram": [39, 1, 0, 3],
    "acceptance_histogram_by_draft_length": {"3": [39, 1, 0, 3]},
    "num_spec_steps": 43,
    "num_accepted_draft_tokens": 10,
    "num_draft_tokens": 129,
    "num_spec_tokens": 3,
}


def simulated(length: int = 4, rounds: int = 500) -> list[dict[str, Any]]:
    generator = np.random.default_rng(8)
    kept = np.minimum(generator.geometric(0.35, size=rounds) - 1, length).tolist()
    return [{"drafted": [1] * length, "accepted": one, "emitted": [1] * (one + 1), "target_calls": 1} for one in kept]


@pytest.mark.parametrize("found", [engines.vllm_line(VLLM), engines.llama_line(LLAMA), engines.vllm_record(RECORD)])
def test_published_numbers_agree_with_our_definitions(found):
    """Bonus included, positions unconditional, sums of tokens: other readings are off by more than the rounding."""
    assert found.survival is not None
    rounds = found.accepted / (found.tokens - 1)
    slack = 0.005 + 0.0005 * len(found.survival)
    assert found.tokens == pytest.approx(convert.tokens_from_survival(found.survival), abs=slack)
    assert found.rate == pytest.approx(found.accepted / found.drafted)
    assert found.drafted <= len(found.survival) * rounds * 1.01
    # the planted readings: without the bonus, and the positions as conditional rates
    assert abs(found.tokens - sum(found.survival)) > slack
    as_conditional = convert.tokens_from_survival(convert.survival_from_conditional(found.survival))
    assert abs(found.tokens - as_conditional) > slack


def test_vllm_record_says_what_vllm_computes():
    found = engines.vllm_record(RECORD)
    assert found.tokens == pytest.approx(RECORD["mean_acceptance_length"])
    assert found.rate == pytest.approx(RECORD["draft_acceptance_rate"])
    empty = {"acceptance_histogram": [0, 0], "num_spec_steps": 0, "num_accepted_draft_tokens": 0, "num_draft_tokens": 0}
    assert engines.vllm_record(empty) == engines.Reported(0, 0, 0, None, None, None)


def test_shorter_lines_of_older_versions():
    assert engines.vllm_line(VLLM_2025) == engines.Reported(66, 66, None, None, 1.0, None)
    assert engines.llama_line(LLAMA_2025) == engines.Reported(19, 33, None, None, 19 / 33, None)


def test_a_trace_as_engines_would_log_it():
    trace = simulated()
    accepted, drafted = metrics.accepted_tokens(trace), metrics.drafted_tokens(trace)
    tokens, survival = metrics.block_efficiency(trace), metrics.unconditional_acceptance(trace)
    assert tokens is not None
    places = ", ".join(f"{one:.3f}" for one in survival)
    read = engines.vllm_line(
        f"SpecDecoding metrics: Mean acceptance length: {tokens:.2f}, Accepted: {accepted} tokens, Drafted: {drafted} "
        f"tokens, Per-position acceptance rate: {places}, Avg Draft acceptance rate: {100 * accepted / drafted:.1f}%"
    )
    assert (read.accepted, read.drafted, read.rate) == (accepted, drafted, metrics.acceptance_rate(trace))
    assert read.survival == pytest.approx(survival, abs=5e-4)
    counts = np.bincount([one["accepted"] for one in trace], minlength=5).tolist()
    record = engines.vllm_record({
        "acceptance_histogram": counts, "num_spec_steps": 500, "num_accepted_draft_tokens": accepted,
        "num_draft_tokens": drafted,
    })  # fmt: skip
    assert record == engines.Reported(accepted, drafted, 500, tokens, accepted / drafted, tuple(survival))
    line = f"Decode batch, #running-req: 1, accept len: {tokens:.2f}, accept rate: {(tokens - 1) / 4:.2f}, ..."
    assert engines.sglang_line(line, draft_tokens=5).rate == pytest.approx(accepted / drafted, abs=0.005 / 4 + 1e-9)


@pytest.mark.parametrize(
    ("tokens", "rate", "draft_tokens"), [(1.52, 0.51, 3), (2.20, 0.73, 3), (2.34, 0.78, 3), (1.00, 0.11, 9)]
)
def test_sglang_before_april_2026_counted_the_bonus_as_accepted(tokens, rate, draft_tokens):
    """Lines of 2025 and early 2026: their rate is (accepted + 1) / D, above accepted / (D - 1)."""
    line = f"Decode batch. #running-req: 48, accept len: {tokens:.2f}, accept rate: {rate:.2f}, cuda graph: True"
    found = engines.sglang_line(line, draft_tokens=draft_tokens)
    assert found.rate == pytest.approx((tokens - 1) / (draft_tokens - 1))
    assert found.rate < rate
    with pytest.raises(ValueError, match="accept rate is"):
        engines.sglang_line(line, draft_tokens=draft_tokens + 2)


def test_reports_are_added_and_not_averaged():
    small, large = engines.llama_line(LLAMA_2025), engines.llama_line(LLAMA)
    kept, drafted = engines.added([small, large])
    assert (kept, drafted) == (186, 292)
    assert small.rate is not None
    assert large.rate is not None
    assert abs(kept / drafted - (small.rate + large.rate) / 2) > 0.02
    with pytest.raises(ValueError, match="0 of 1 have counts"):
        engines.added([engines.Reported(None, None, None, 2.0, 0.5, None)])
    with pytest.raises(ValueError, match="one or more"):
        engines.added([])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_spec_steps": 42}, "num_spec_steps is 42"),
        ({"num_accepted_draft_tokens": 53}, "num_accepted_draft_tokens is 53"),  # the bonus tokens counted in
        ({"num_draft_tokens": 9}, "num_draft_tokens is 9"),
        ({"num_draft_tokens": None}, "num_draft_tokens is None"),
        ({"acceptance_histogram": [39, -1]}, "acceptance_histogram is"),
        ({"acceptance_histogram": None}, "acceptance_histogram is None"),
    ],
)
def test_records_that_contradict_themselves(change, said):
    with pytest.raises(ValueError, match=said):
        engines.vllm_record({**RECORD, **change})


@pytest.mark.parametrize(
    "call",
    [
        lambda: engines.vllm_line("Avg prompt throughput: 93.9 tokens/s"),
        lambda: engines.vllm_line("SpecDecoding metrics: Accepted: 5 tokens"),
        lambda: engines.llama_line("graphs reused = 85"),
        lambda: engines.llama_line("draft acceptance = 0.5"),
        lambda: engines.llama_line("draft acceptance = 1.5 (3 accepted / 2 generated)"),
        lambda: engines.sglang_line(
            "Decode batch, #running-req: 32, gen throughput (token/s): 1635.11", draft_tokens=4
        ),
        lambda: engines.sglang_line("Decode batch, accept len: 5.20", draft_tokens=4),
        lambda: engines.sglang_line("Decode batch, accept len: 2.20", draft_tokens=1),
    ],
)
def test_lines_that_say_nothing(call):
    with pytest.raises(ValueError, match=r"allowed are|it is needed"):
        call()
