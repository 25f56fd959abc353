"""Stacks of drafts and drafting beside the target: closed forms against loops of the published methods."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from proofs_tests.planning import loops
from specmath import speed

PEARL = [(0.6, 4, 0.2), (0.8, 5, 0.2), (0.9, 8, 0.2), (0.5, 3, 0.5), (0.0, 3, 0.1)]


@pytest.mark.parametrize(("a", "length", "c"), PEARL)
def test_pearl(a: float, length: int, c: float) -> None:
    found = speed.pearl(a, length, c)
    cycle = lambda generator: loops.pearl(generator, a, length, c)  # noqa: E731
    if a == 0.0:
        assert found.speedup == pytest.approx(1.0)
        return
    assert loops.agrees(cycle, found.speedup, cycles=30_000)
    assert found.tokens / found.seconds == pytest.approx(found.speedup)
    assert not loops.agrees(cycle, speed.expected_tokens(a, length) / max(length * c, 1.0), cycles=30_000)


@pytest.mark.parametrize(
    ("a", "length", "c"), [(0.8, 5, 0.1), (0.8, 1, 0.1), (0.6, 4, 0.4), (0.9, 10, 0.3), (0.5, 8, 0.7)]
)
def test_dsi(a: float, length: int, c: float) -> None:
    found = speed.dsi(a, length, c)
    cycle = lambda generator: loops.dsi(generator, a, length, c)  # noqa: E731
    assert loops.agrees(cycle, found.speedup, cycles=20_000)
    assert found.tokens / found.seconds == pytest.approx(found.speedup)
    assert found.speedup >= 1
    without = 1 / (1 - a) / (1 + length * c / (1 - a**length))  # control: the target alone is forgotten
    assert without < found.speedup
    if without < found.speedup * 0.95:
        assert not loops.agrees(cycle, without, cycles=20_000)


def test_dsi_is_never_slower_than_plain_or_chains() -> None:
    """With a cost below one half, as far as the grid goes: the published claim, in this model."""
    for a, length, c in product((0.1, 0.5, 0.8, 0.95), (1, 2, 5, 10), (0.01, 0.1, 0.3, 0.5)):
        found = speed.dsi(a, length, c).speedup
        assert found >= 1
        assert found >= speed.speedup(a, length, c) - 1e-12


@pytest.mark.parametrize("setting", [(0.8, 5, 0.1, 0.5, 0.9, 0.02), (0.6, 4, 0.4, 0.2, 0.5, 0.0)])
def test_overlapped(setting: tuple[float, int, float, float, float, float]) -> None:
    a, length, c, early, hit, transfer = setting
    found = speed.overlapped(a, length, c, early=early, hit=hit, transfer=transfer)
    cycle = lambda generator: loops.overlapped(generator, *setting)  # noqa: E731
    assert loops.agrees(cycle, found.speedup)
    perfect = speed.overlapped(a, length, c, early=early, hit=1.0, transfer=transfer).speedup
    assert not loops.agrees(cycle, perfect)


def test_overlap_without_overlap_is_a_chain() -> None:
    assert speed.overlapped(0.8, 5, 0.1, early=1.0, hit=1.0).speedup == pytest.approx(speed.speedup(0.8, 5, 0.1))
    best = speed.overlapped(0.8, 5, 0.1, early=0.0, hit=1.0).speedup
    assert best == pytest.approx(speed.expected_tokens(0.8, 5))


def test_ahead() -> None:
    """Rounds that hit take max(1, d), the others 1 + f."""
    h, hit, miss, d, f = 0.7, 3.5, 2.0, 1.2, 0.1

    def cycle(generator: np.random.Generator) -> tuple[float, float]:
        return (hit, max(1.0, d)) if generator.random() < h else (miss, 1 + f)

    found = speed.ahead(h, hit, miss, draft_ahead=d, draft_after=f)
    assert loops.agrees(cycle, found.speedup)
    assert not loops.agrees(cycle, h * hit + (1 - h) * miss)


def test_fan_out_loses_least() -> None:
    """No transfer between two places is better; and the optimum of Lagrange's condition, all slopes equal."""
    a, length, budget, r = 0.7, 5, 40.0, 0.8
    fan = speed.fan_out(a, length, budget, exponent=r)
    assert fan.sum() == pytest.approx(budget)
    chances = np.append(a ** np.arange(length) * (1 - a), a**length)
    loss = lambda f: float(np.sum(chances * f**-r))  # noqa: E731
    for i, j in product(range(length + 1), repeat=2):
        for step in (0.01, 0.3):
            moved = fan.copy()
            moved[i] += step
            moved[j] -= step
            assert loss(moved) >= loss(fan) - 1e-12
    even, geometric = np.full(length + 1, budget / (length + 1)), a ** np.arange(length + 1)  # controls
    assert loss(even) > loss(fan) * 1.001
    assert loss(budget * geometric / geometric.sum()) > loss(fan) * 1.001


STACKS = [
    ((0.6, 0.95), (0.03, 0.4, 1.0), (3, 10)),
    ((0.8, 0.8), (0.05, 0.2, 1.0), (2, 4)),
    ((0.5, 0.7, 0.9), (0.01, 0.05, 0.2, 1.0), (2, 3, 5)),
    ((0.8,), (0.1, 1.0), (5,)),
]


@pytest.mark.parametrize(("rates", "costs", "lengths"), STACKS)
def test_stacks(rates: Any, costs: Any, lengths: Any) -> None:
    """The block recursion is the mean of the loop; the usual recursion is a bound, and equal for two models."""
    blocks, usual = (f(rates, costs, lengths) for f in (speed.cascade_in_blocks, speed.cascade))
    cycle = lambda generator: loops.stack(generator, rates, costs, lengths)  # noqa: E731
    assert loops.agrees(cycle, blocks.speedup, cycles=6_000)
    assert usual.speedup >= blocks.speedup - 1e-12
    if len(costs) == 2:
        assert usual == blocks
        assert usual.speedup == pytest.approx(speed.speedup(rates[0], lengths[0], costs[0]))
    else:
        flat = speed.speedup(rates[-1], lengths[-1], costs[-2])  # control: the smaller models are forgotten
        assert not loops.agrees(cycle, flat, cycles=6_000)


def test_best_stack_is_that_of_all_lengths() -> None:
    for rates, costs in (
        ((0.6, 0.95), (0.03, 0.4, 1.0)),
        ((0.9, 0.5), (0.3, 0.35, 1.0)),
        ((0.1, 0.8), (0.2, 0.25, 1.0)),
    ):
        best = speed.best_cascade(rates, costs)
        found = max(speed.cascade(rates, costs, pair).speedup for pair in product(range(25), repeat=2))
        assert best.speedup == pytest.approx(found, rel=1e-12)
    assert speed.best_cascade((0.1, 0.8), (0.2, 0.25, 1.0)).draft_lengths[0] == 0


def test_limits() -> None:
    assert speed.pearl(1.0, 5, 0.1).speedup == pytest.approx(5.0)
    assert speed.pearl(1 - 1e-12, 5, 0.1).speedup == pytest.approx(5.0)
    assert speed.dsi(1.0, 5, 0.1).speedup == pytest.approx(10.0)
    assert speed.dsi(1 - 1e-12, 5, 0.1).speedup == pytest.approx(10.0)
    assert speed.dsi(0.0, 5, 0.1).speedup == 1.0
    assert speed.dsi(0.5, 5, 2.0).speedup == 1.0
    assert math.isinf(speed.dsi(1.0, 5, 0.1).tokens)
    assert speed.dsi(0.8, 1, 0.1).targets == 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: speed.pearl(0.5, 0, 0.1), "draft_length is 0"),
        (lambda: speed.pearl(2, 1, 0.1), "acceptance is 2"),
        (lambda: speed.dsi(0.5, 2, 0.0), "number of targets would be unbounded"),
        (lambda: speed.dsi(1.0, 10**6, 0.9999), "so close to 1"),
        (lambda: speed.overlapped(0.5, 2, 0.1, early=2, hit=1), "early is 2"),
        (lambda: speed.overlapped(0.5, 2, 0.1, early=0.5, hit=1, transfer=-1), "transfer is -1"),
        (lambda: speed.ahead(0.5, 0.5, 2, draft_ahead=1, draft_after=1), "tokens_hit is 0.5; allowed are numbers >= 1"),
        (lambda: speed.fan_out(0.5, 2, 0, exponent=1), "budget is 0"),
        (lambda: speed.cascade([0.5], [0.1], [1]), "1 acceptances, 1 costs and 1 draft_lengths"),
        (lambda: speed.cascade([0.5], [0.1, 0.0], [1]), r"costs\[1\] is 0.0"),
        (lambda: speed.cascade([], [1.0], []), "0 acceptances"),
        (lambda: speed.best_cascade([1.5], [0.1, 1.0]), r"acceptances\[0\] is 1.5"),
    ],
)
def test_bad_input(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
