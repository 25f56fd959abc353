"""Rooflines, experts, lines, memory, and the measuring of costs, with a scripted clock."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.planning.loops import SIGMAS
from specmath import speed
from specmath.speed import Curve, Device, Experts, Line, Model, Setting, from_samples, measure, memory, roofline

A100, H100, H200 = (
    Device(bandwidth, ops) for bandwidth, ops in ((2.0e12, 312e12), (3.35e12, 989e12), (4.8e12, 989e12))
)
LLAMA = Model(16.06e9, 8.03e9, 131_072, 524_288)


def test_ridges_and_balances() -> None:
    assert [round(device.ridge()) for device in (A100, H100, H200)] == [156, 295, 206]
    assert round(LLAMA.balance) == 122_528
    assert round(Model(13.5e9, 6.74e9, 524_288).balance) == 25_749
    one, other = (roofline(Model(16e9, 8e9), A100, tokens) for tokens in (156, 157))
    assert (one.bound, other.bound) == ("memory", "compute")


def test_roofline_by_hand() -> None:
    """One layer of arithmetic, by hand: 10 bytes of weights, 3 of cache per token, 4 parameters."""
    model, device = Model(10, 4, 3, 5), Device(2, 7, 0.5)
    found = roofline(model, device, 3, requests=2, context=11, devices=4)
    assert found.memory == pytest.approx((10 + 2 * 11 * 3) / (2 * 4))
    assert found.compute == pytest.approx(2 * 3 * (2 * 4 + 5 * 11) / (7 * 4))
    assert found.seconds == pytest.approx(max(found.memory, found.compute) + 0.5)


def test_long_contexts_make_large_batches_pay() -> None:
    """Self-drafts with a small cache: at a short context speed falls with the batch, at a long one it rises."""

    def rate(batch: int, context: int) -> float:
        def spent(tokens: int, length: int) -> float:
            return roofline(LLAMA, A100, tokens, requests=batch, context=length).seconds

        round_ = 4 * spent(1, min(context, 256)) + spent(5, context)
        return speed.expected_tokens(0.8, 4) * spent(1, context) / round_

    short, long = [rate(b, 500) for b in (32, 128, 256)], [rate(b, 64_000) for b in (1, 8, 32, 128)]
    assert short[0] > short[1] > short[2]
    assert long == sorted(long)
    assert long[0] < 1 < long[-1]


@pytest.mark.parametrize(("total", "active", "tokens"), [(8, 2, 3), (64, 8, 4), (16, 1, 16)])
def test_experts_against_routing(total: int, active: int, tokens: int) -> None:
    """Uniform independent routing, 4,000 passes; false alarms 2e-9. A model that adds up active experts is told."""
    generator = np.random.default_rng(20261120)
    found = [
        len({e for _ in range(tokens) for e in generator.permutation(total)[:active].tolist()}) for _ in range(4_000)
    ]
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - Experts(total, active).touched(tokens)) < SIGMAS * error
    assert abs(np.mean(found) - min(active * tokens, total)) > SIGMAS * error


def test_experts_published() -> None:
    """E = 64, k = 8: independent tokens; and trees whose tokens agree, 54 experts for 127 tokens."""
    one = [round(Experts(64, 8).touched(t), 1) for t in (1, 2, 4, 8, 16, 32)]
    assert one == [8.0, 15.0, 26.5, 42.0, 56.4, 63.1]
    assert Experts(64, 8).touched(127) == pytest.approx(64.0, abs=1e-5)
    assert Experts(64, 8, independent=0.1023).touched(127) == pytest.approx(54, abs=0.1)
    assert Experts(8, 8).touched(3) == 8
    dense, sparse = Model(4e9, 4e9), Model(1e9, 1.4e9, experts=Experts(8, 1, 8e9))
    ratios = [roofline(m, A100, 8).seconds / roofline(m, A100, 1).seconds for m in (dense, sparse)]
    assert ratios[0] == pytest.approx(1.0)
    assert ratios[1] > 2


def setting(**changes: Any) -> Setting:
    return Setting(
        **({"target_weights": 100, "draft_weights": 10, "target_cache": 5, "draft_cache": 2, "vocabulary": 7} | changes)
    )


def test_memory_by_hand() -> None:
    found = memory(setting(requests=3, context=11, workspace=4), 6)
    parts = (100, 10, 3 * 18 * 5, 3 * 17 * 2, 3 * 7 * 7 * 4, 3 * 6 * 7 * 4, 3 * 7 * 18, 4)
    assert found.total == sum(parts)
    assert memory(setting(), 6, draft_rows=0).draft_laws == 0


@given(st.integers(0, 5000), st.integers(1, 3), st.booleans())
def test_largest_tree_is_that_of_the_scan(extra: int, requests: int, laws: bool) -> None:
    one = setting(requests=requests)
    rows = None if laws else 0
    budget = memory(one, 0).total + extra
    fits = [n for n in range(300) if memory(one, n, draft_rows=rows).total <= budget]
    assert speed.largest_tree(one, budget, keep_laws=laws) == max(fits)


class Machine:
    """A clock that runs while a model is asked; times are scripted, so nothing is measured."""

    def __init__(self, law: Callable[[int], float], disturb: Callable[[int], float] = lambda call: 1.0) -> None:
        self.law, self.disturb = law, disturb
        self.now, self.calls = 0.0, [0]
        self.asked: list[int] = []

    def forward(self, tokens: int) -> None:
        self.asked.append(tokens)
        self.now += self.law(tokens) * self.disturb(len(self.asked))

    def clock(self) -> float:
        return self.now


def test_a_line_is_found() -> None:
    machine = Machine(lambda tokens: 3.0 + 0.25 * tokens)
    found = measure(machine.forward, 64, clock=machine.clock)
    assert found.tokens == (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    assert (found.line.fixed, found.line.per_token) == pytest.approx((3.0, 0.25))
    assert found.curve_residuals == pytest.approx(0, abs=1e-12)
    assert found.line_residuals == pytest.approx(0, abs=1e-9)
    assert found.ratio(64) == pytest.approx(19 / 3.25)
    assert found.spread == pytest.approx(0)
    assert len(machine.asked) == 12 * (9 + 2)


def test_spikes_and_drift_are_withstood() -> None:
    """One pass in five takes ten times as long: of 31 passes a size more than half would have to (P = 2e-5). A machine
    that slows down steadily meets all sizes alike, because they take turns both ways: ratios are kept. Controls:
    the mean is moved by the spikes, and sizes that are measured one after the other by the drift."""
    law = lambda tokens: 1.0 + 0.1 * tokens  # noqa: E731
    spiky = Machine(law, lambda call: 10.0 if random.Random(call).random() < 0.2 else 1.0)
    found = measure(spiky.forward, 32, clock=spiky.clock, repeats=31)
    assert found.seconds == pytest.approx([law(t) for t in found.tokens])
    means = found.samples.mean(axis=1) / [law(t) for t in found.tokens]
    assert means.max() / means.min() > 1.2
    slow = Machine(law, lambda call: 1.0 + 0.3 * call / 150)
    drifting = measure(slow.forward, 32, clock=slow.clock, repeats=12, warmup=0)
    ratios = drifting.seconds / [law(t) for t in drifting.tokens]
    assert ratios.max() / ratios.min() == pytest.approx(1)
    late = Machine(law, lambda call: 1.0 + 0.3 * call / 150)
    apart = [measure(late.forward, [1], clock=late.clock, repeats=12, warmup=0).seconds[0] for _ in drifting.tokens]
    assert max(apart) / min(apart) > 1.1


def test_a_quarter_of_wrong_points_does_not_move_the_line() -> None:
    """Intercept and slope; least squares and means are moved."""
    tokens, seconds = list(range(1, 13)), [2.0 + 0.5 * t for t in range(1, 13)]
    for place in (1, 5, 10):
        seconds[place] += 40.0
    line = speed.line_through(tokens, seconds)
    assert (line.fixed, line.per_token) == pytest.approx((2.0, 0.5))
    assert np.polyfit(tokens, seconds, 1)[1] > 4
    assert speed.line_through([1, 2, 3], [3.0, 2.0, 1.0]) == Line(2.0, 0.0)


def test_steps_stay_in_the_curve() -> None:
    """Tiles of 16 tokens: the curve has them, the line has not, and its residuals say so."""
    machine = Machine(lambda tokens: 1.0 + (tokens + 15) // 16)
    found = measure(machine.forward, list(range(1, 65)), clock=machine.clock, repeats=3)
    assert [found.curve(t) for t in (1, 16, 17, 64)] == pytest.approx([2, 2, 3, 5])
    assert np.abs(found.line_residuals).max() > 0.1
    assert np.abs(found.curve_residuals).max() < 1e-12
    with pytest.raises(ValueError, match="tokens is 65; measured were 1 to 64"):
        found.curve(65)


def test_devices_that_work_on_their_own_are_waited_for() -> None:
    """Without ``wait`` the pass is not in the time; with it, it is."""
    queued = [0.0]
    now = [0.0]

    def forward(tokens: int) -> None:
        now[0] += 0.001
        queued[0] += float(tokens)

    def wait() -> None:
        now[0] += queued[0]
        queued[0] = 0.0

    found = measure(forward, [1, 4], clock=lambda: now[0], wait=wait)
    assert found.seconds == pytest.approx([1.001, 4.001])
    assert measure(forward, [1, 4], clock=lambda: now[0]).seconds == pytest.approx([0.001, 0.001])


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=8))
def test_curves_never_fall_and_are_nearest(values: list[float]) -> None:
    """Against the minimax form of isotonic regression: max over i <= k of min over j >= k of mean(i..j)."""
    found = from_samples(range(1, len(values) + 1), [[value] for value in values]).curve.seconds
    for k in range(len(values)):
        judge = max(min(np.mean(values[i : j + 1]) for j in range(k, len(values))) for i in range(k + 1))
        assert found[k] == pytest.approx(judge)


def test_a_plan_from_measured_costs() -> None:
    """Measured curve in, best length out; a plan that takes the pass for free is another one."""
    machine = Machine(lambda tokens: 1.0 if tokens <= 4 else 0.25 * tokens)
    found = measure(machine.forward, 16, clock=machine.clock)
    curve = speed.survival.iid(0.9, 15)
    plan = speed.plan_chain(curve, draft_step=0.02, verify=found.curve)
    assert plan.draft_length == 3
    assert speed.plan_chain(curve, draft_step=0.02).draft_length == 15


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: measure(lambda t: None, 0), "tokens is 0"),
        (lambda: measure(lambda t: None, [2, 1]), "allowed are rising"),
        (lambda: measure(lambda t: None, [1, 0]), r"tokens\[1\] is 0"),
        (lambda: measure(lambda t: None, 2, repeats=0), "repeats is 0"),
        (lambda: measure(lambda t: None, 2, warmup=-1), "warmup is -1"),
        (lambda: measure(lambda t: None, 2, clock=lambda: 1.0), "is the clock too coarse"),
        (lambda: from_samples([1, 2], [[1.0]]), r"samples has shape \(1, 1\); allowed is \(2, repeats\)"),
        (lambda: Curve((1, 1), (1.0, 1.0)), "tokens is"),
        (lambda: Curve((1, 2), (1.0,)), "2 tokens and 1 seconds"),
        (lambda: Curve((1, 2), (1.0, 0.0)), r"seconds\[1\] is 0.0"),
        (lambda: Line(-1.0), "fixed is -1.0"),
        (lambda: Device(0, 1), "bandwidth is 0"),
        (lambda: Experts(4, 5), "active is 5; allowed are 1 to 4"),
        (lambda: Model(-1, 1), "weight_bytes is -1"),
        (lambda: roofline(LLAMA, A100, 0), "tokens is 0"),
        (lambda: roofline(LLAMA, A100, 1, context=-1), "context is -1"),
        (lambda: memory(setting(), -1), "nodes is -1"),
        (lambda: speed.largest_tree(setting(), 50), "budget is 50 bytes; allowed is at least"),
        (lambda: Setting(-1, 1, 1, 1, 1), "target_weights is -1"),
        (lambda: speed.line_through([1, 1], [1.0, 2.0]), "two different numbers"),
    ],
)
def test_bad_input(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
