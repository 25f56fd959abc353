"""Rounding is called numerics and wrong tokens bugs: on a model computed in two orders, with planted wrong tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from specmath.oracle.logs.replay import measured_spread, outside_support, replay_greedy

ROWS, WIDTH, VOCABULARY = 400, 64, 50


def passes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of one linear layer in float16, summed in two orders: as two kernels would. Many near ties."""
    generator = np.random.default_rng(seed)
    states = generator.normal(size=(ROWS, WIDTH)).astype(np.float16)
    head = generator.normal(size=(WIDTH, VOCABULARY)).astype(np.float16)
    found = []
    for order in (np.arange(WIDTH), np.arange(WIDTH)[::-1]):
        total = np.zeros((ROWS, VOCABULARY), dtype=np.float16)
        for k in order:
            total += states[:, k, None] * head[k]
        found.append(total)
    return found[0], found[1]


def test_rounding_is_never_a_bug() -> None:
    plain, verified = passes(1)
    spread = measured_spread(plain, verified)
    found = replay_greedy(verified.argmax(axis=-1), plain, spread=spread)
    assert found.passed
    assert found.words.count("numerics") > 0, "no near tie: the test says nothing"
    assert all(gap <= 2 * spread for gap in found.gaps)
    assert str(found).endswith("0 bug")


def test_without_a_spread_rounding_looks_like_bugs() -> None:
    """Control: what comparing texts does."""
    plain, verified = passes(1)
    assert not replay_greedy(verified.argmax(axis=-1), plain, spread=0.0).passed


@pytest.mark.parametrize("planted", ["second", "shifted", "stale"])
def test_wrong_tokens_are_bugs(planted: str) -> None:
    plain, verified = passes(2)
    spread = measured_spread(plain, verified)
    tokens = verified.argmax(axis=-1)
    if planted == "second":  # the second best token where the margin is wide
        wide = replay_greedy(tokens, plain, spread=spread).margins > 2 * spread
        place = int(np.flatnonzero(wide)[7])
        tokens[place] = plain[place].argsort()[-2]
        assert replay_greedy(tokens, plain, spread=spread).bugs == (place,)
    elif planted == "shifted":  # logits of the row before: an off-by-one in the cache
        found = replay_greedy(np.roll(tokens, 1), plain, spread=spread)
        assert len(found.bugs) > ROWS // 2
    else:  # one state of a row was stale
        rows = plain.copy()
        rows[9] = plain[8]
        found = replay_greedy(rows.argmax(axis=-1), plain, spread=spread)
        assert found.bugs == (9,)
        assert "first bug at token 9" in str(found)


def test_ties_and_banned_tokens() -> None:
    logits = [[1.0, 1.0, -np.inf], [0.0, -np.inf, -np.inf]]
    assert replay_greedy([1, 0], logits, spread=0.0).words == ("same", "same")
    assert replay_greedy([2, 1], logits, spread=100.0).words == ("bug", "bug")


def test_torch_and_a_spread_per_token() -> None:
    logits = torch.tensor([[2.0, 2.125], [2.0, 2.125]], dtype=torch.bfloat16)
    assert replay_greedy([0, 0], logits, spread=[0.0625, 0.03]).words == ("numerics", "bug")
    assert measured_spread(logits, logits + 0.125) == 0.125


def test_outside_support() -> None:
    assert outside_support([0, 2, 1], np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0, 1, 0]])) == (1,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: replay_greedy([0], [[1.0], [2.0]], spread=0.0), "tokens: .* for each of 2 rows"),
        (lambda: replay_greedy([3], [[1.0, 2.0]], spread=0.0), "allowed are 0 to 1"),
        (lambda: replay_greedy([0.5], [[1.0, 2.0]], spread=0.0), "tokens: float64"),
        (lambda: replay_greedy([0], [[np.nan, 2.0]], spread=0.0), "logits: NaN"),
        (lambda: replay_greedy([0], [1.0], spread=0.0), "logits: shape"),
        (lambda: replay_greedy([0], [[1.0, 2.0]], spread=-1.0), "spread: .* >= 0"),
        (lambda: measured_spread([[1.0]]), "passes: 1; needed are at least two"),
        (lambda: measured_spread([[1.0]], [[1.0, 2.0]]), r"passes\[1\]: shape"),
    ],
)
def test_bad_input_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
