"""Metrics on traces whose law is known exactly, with the mistakes that people make in their place."""

from __future__ import annotations

import math
from fractions import Fraction as F
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from specmath import metrics, speed
from specmath.metrics import convert

Round = dict[str, Any]


def one(length: int, accepted: int, *, stopped: bool = False, request: int = 0) -> Round:
    """A round of a chain; a text that stops does so on its last accepted draft."""
    emitted = [1] * (accepted + (not stopped))
    return {
        "request": request, "drafted": [1] * length, "accepted": accepted, "emitted": emitted, "target_calls": 1,
        "draft_calls": length, "seconds": 1.0,
    }  # fmt: skip


def in_proportion(rates: list[F], stop: F = F(0)) -> list[Round]:
    """Every outcome of a round, as often as it is likely: draft k is kept with ``rates[k]``, and then ends the text
    with probability ``stop``."""
    found: list[tuple[F, Round]] = []

    def follow(kept: int, mass: F) -> None:
        if kept == len(rates):
            found.append((mass, one(len(rates), kept)))
            return
        found.append((mass * (1 - rates[kept]), one(len(rates), kept)))
        if stop:
            found.append((mass * rates[kept] * stop, one(len(rates), kept + 1, stopped=True)))
        follow(kept + 1, mass * rates[kept] * (1 - stop))

    follow(0, F(1))
    unit = math.lcm(*(mass.denominator for mass, _ in found))
    return [each for mass, each in found for _ in range(int(mass * unit))]


RATES = [F(3, 4), F(1, 2), F(1, 4)]


def test_positions_by_their_exact_law():
    trace = in_proportion(RATES)
    survival = [0.75, 0.375, 0.09375]
    assert metrics.conditional_acceptance(trace) == [0.75, 0.5, 0.25]
    assert metrics.unconditional_acceptance(trace) == survival
    assert metrics.block_efficiency(trace) == 1 + sum(survival) == convert.tokens_from_survival(survival)
    assert metrics.accepted_length(trace) == sum(survival) == convert.without_bonus(1 + sum(survival))
    assert metrics.token_acceptance(trace) == sum(survival) / (1 + 0.75 + 0.375)
    assert metrics.acceptance_rate(trace) == sum(survival) / 3
    # Taken for one another, these are wrong: unconditional for conditional, accepted / drafted for a tested draft's
    # acceptance, the length without the bonus for the one with it.
    assert metrics.unconditional_acceptance(trace)[1:] != metrics.conditional_acceptance(trace)[1:]
    assert metrics.acceptance_rate(trace) != metrics.token_acceptance(trace)
    assert metrics.accepted_length(trace) != metrics.block_efficiency(trace)


def test_a_text_that_stops_says_nothing_of_the_next_draft():
    """Drafts behind a stop token are not rejected ones."""
    trace = in_proportion(RATES, stop=F(1, 3))
    assert metrics.truncated_rounds(trace) > 0
    assert metrics.conditional_acceptance(trace) == [0.75, 0.5, 0.25]
    as_rejected = [{**each, "emitted": [1] * (each["accepted"] + 1)} for each in trace]
    assert metrics.conditional_acceptance(as_rejected)[1:] != [0.5, 0.25]


def test_shorter_drafts_say_nothing_of_later_positions():
    trace = in_proportion(RATES) + in_proportion(RATES[:1]) * 5
    assert metrics.conditional_acceptance(trace) == [0.75, 0.5, 0.25]
    assert metrics.unconditional_acceptance(trace)[1] < 0.375  # diluted, as in engines' logs


traces = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.floats(0, 1), st.booleans()), min_size=1, max_size=30
).map(
    lambda drawn: [
        one(length, kept := int(share * length), stopped=stop and kept > 0, request=request)
        for request, length, share, stop in drawn
    ]
)


@settings(max_examples=100)
@given(trace=traces)
def test_identities(trace):
    counts = metrics.position_counts(trace)
    emitted, calls = metrics.emitted_tokens(trace), metrics.target_calls(trace)
    cut = metrics.truncated_rounds(trace)
    assert sum(counts.accepted) == metrics.accepted_tokens(trace) == emitted - calls + cut
    assert all(kept <= seen for kept, seen in zip(counts.accepted, counts.tested, strict=True))
    assert all(later <= kept for kept, later in zip(counts.accepted, counts.tested[1:], strict=False))
    assert metrics.verification_rate(trace) == pytest.approx(1 / metrics.block_efficiency(trace))
    # huang2024specdecpp: drafted = emitted - passes + discarded, up to the bonus tokens that stops cut off.
    drafted = metrics.drafted_tokens(trace)
    assert drafted == pytest.approx(emitted - calls + cut + metrics.discard_rate(trace) * emitted)
    parts = metrics.by_request(trace)
    assert sum(map(len, parts.values())) == len(trace)


def test_means_over_requests_tokens_and_rounds_differ():
    long, short = [one(4, 0, request=0)] * 30, [one(4, 4, request=1)]
    trace = long + short
    assert metrics.acceptance_rate(trace) == 4 / 124
    assert metrics.request_mean(trace, metrics.acceptance_rate) == 0.5
    assert metrics.token_mean(trace, metrics.acceptance_rate) == 5 / 35
    assert metrics.request_mean([one(0, 0)], metrics.acceptance_rate) is None


def test_nothing_measured():
    assert metrics.position_counts([]) == metrics.PositionCounts((), (), 0)
    for name in ("token_acceptance", "accepted_length", "discard_rate", "verification_rate"):
        assert getattr(metrics, name)([]) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"drafted": [1], "accepted": 2, "emitted": [1]}, "accepted is 2 of 1"),
        ({"drafted": [1], "accepted": 0, "emitted": [1, 2]}, "2 emitted with 0 accepted"),
        ({"drafted": [1, 2], "accepted": 0, "emitted": [1], "parents": [-1, -1]}, "a tree"),
        ({"drafted": [1]}, "without the field 'accepted'"),
    ],
)
def test_bad_rounds(wrong, said):
    with pytest.raises(ValueError, match=said):
        metrics.position_counts([wrong])


@settings(max_examples=100)
@given(acceptance=st.floats(0, 1), length=st.integers(1, 12))
def test_conversions_are_inverse(acceptance, length):
    tokens = speed.expected_tokens(acceptance, length)
    assert convert.acceptance_from_tokens(tokens, length) == pytest.approx(acceptance, abs=1e-6)
    survival = convert.survival_from_conditional([acceptance] * length)
    assert convert.tokens_from_survival(survival) == pytest.approx(tokens)
    rate = convert.rate_from_tokens(tokens, length)
    assert convert.tokens_from_rate(rate, length) == pytest.approx(tokens)
    assert convert.with_bonus(convert.without_bonus(tokens)) == pytest.approx(tokens)
    back = [value for value in convert.conditional_from_survival(survival) if value is not None]
    assert back == pytest.approx([acceptance] * len(back), abs=1e-6) or min(survival) < 1e-300
    assert metrics.mbsu(tokens, length, 0.05) == pytest.approx(speed.speedup(acceptance, length, 0.05))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: convert.conditional_from_survival([0.5, 0.6]), r"survival\[1\] is 0.6"),
        (lambda: convert.survival_from_conditional([1.1]), r"conditional\[0\] is 1.1"),
        (lambda: convert.rate_from_tokens(6.0, 4), "tokens is 6.0; allowed are numbers from 1 to 5"),
        (lambda: convert.without_bonus(0.5), "tokens is 0.5"),
        (lambda: metrics.mbsu(2.0, 4, -1), "size_ratio is -1"),
        (lambda: metrics.wilson(3, 2), "accepted is 3"),
        (lambda: metrics.wilson(0, 0), "tested is 0"),
        (lambda: metrics.wilson(1, 2, level=1.0), "level is 1.0"),
        (lambda: metrics.cluster_bootstrap([[1, 2]], lambda sums: sums[:, 0]), "R >= 2"),
        (lambda: metrics.cluster_bootstrap([[1.0], [math.nan]], lambda sums: sums[:, 0]), "not finite"),
        (lambda: metrics.cluster_bootstrap([[1.0], [0.0]], lambda sums: sums), "statistic gives"),
    ],
)
def test_bad_numbers(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize(("accepted", "tested"), [(0, 1), (1, 1), (0, 20), (7, 20), (20, 20), (800, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_wilson_against_scipy(accepted, tested, level):
    told = binomtest(accepted, tested).proportion_ci(confidence_level=level, method="wilson")
    found = metrics.wilson(accepted, tested, level=level)
    assert (found.low, found.high) == pytest.approx((told.low, told.high), abs=1e-12)


def test_wilson_covers_where_the_plain_interval_does_not():
    """Exact coverage: the binomial sum over all counts."""
    tested, truth = 50, 0.97

    def coverage(ends: Any) -> float:
        return math.fsum(
            binom.pmf(count, tested, truth) for count in range(tested + 1) if ends(count)[0] <= truth <= ends(count)[1]
        )

    def plain(count: int) -> tuple[float, float]:
        half = 1.96 * math.sqrt(count * (tested - count) / tested) / tested
        return count / tested - half, count / tested + half

    def by_wilson(count: int) -> tuple[float, float]:
        found = metrics.wilson(count, tested)
        return found.low, found.high

    assert coverage(by_wilson) > 0.93
    assert coverage(plain) < 0.8


def test_bootstrap_of_a_mean_and_of_a_ratio():
    """A mean has a known bootstrap spread. At 20,000 draws an end is off by 0.019 standard errors (one sigma); six of
    these are allowed, so a right bootstrap fails with probability 4e-9."""
    values = np.random.default_rng(3).normal(size=100)
    found = metrics.cluster_bootstrap(
        np.stack([values, np.ones(100)], axis=1), lambda sums: sums[:, 0] / sums[:, 1], replicates=20_000
    )
    error = values.std() / 10
    ends = values.mean() - 1.96 * error, values.mean() + 1.96 * error
    assert (found.low, found.high) == pytest.approx(ends, abs=(6 * 0.019 + 0.1) * error)  # 0.1: skewness of the values
    # Long requests accept little: the interval is about the ratio of sums, not about the mean of ratios.
    sums = np.array([[10, 100]] * 50 + [[9, 10]] * 50)
    ratio = metrics.cluster_bootstrap(sums, lambda total: total[:, 0] / total[:, 1])
    assert ratio.low < 950 / 5500 < ratio.high < 0.5


def test_the_law_of_in_proportion():
    """The judge of this file: probabilities of all outcomes by direct multiplication."""
    trace = in_proportion(RATES)
    for kept in range(4):
        mass = sum(
            math.prod(rate if hit else 1 - rate for rate, hit in zip(RATES, hits, strict=True))
            for hits in product([True, False], repeat=3)
            if (hits.index(False) if False in hits else 3) == kept
        )
        assert F(sum(each["accepted"] == kept for each in trace), len(trace)) == mass
