"""Bounds for whole texts against the exact distance of their laws, over all texts of a small model."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from specmath import relax

LENGTH = 3
Context = tuple[int, ...]


def model(seed: int) -> Callable[[Context], np.ndarray]:
    """A law on two tokens for every context."""
    table = {
        context: np.random.default_rng([seed, len(context), *context]).dirichlet([1.0, 1.0])
        for length in range(LENGTH)
        for context in product(range(2), repeat=length)
    }
    return lambda context: table[context]


def texts(seed: int, name: str, parameters: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Law of all texts of the target and of the relaxed model, and TV and KL along each text (texts, T)."""
    all_texts = list(product(range(2), repeat=LENGTH))
    target, draft = (
        np.array([[one(text[:place]) for place in range(LENGTH)] for text in all_texts])
        for one in (model(seed), model(seed + 1000))
    )
    found = relax.get(name).relax(target, draft, **parameters)
    drawn = np.array(all_texts)[..., None]
    before, after = (np.take_along_axis(laws, drawn, axis=-1)[..., 0].prod(axis=-1) for laws in (target, found.law))
    return before, after, found.total_variation, found.kl


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("total_variation", {"budget": 0.1}), ("mentored", {"budget": 0.05}), ("lenience", {"factor": 0.6})],
)
def test_bounds_hold_and_the_divergence_is_exact(name: str, parameters: dict[str, Any]) -> None:
    for seed in range(25):
        before, after, distance, spent = texts(seed, name, parameters)
        apart = np.abs(before - after).sum() / 2
        divergence = float((before * np.log(before / after)).sum())
        found = relax.sequence_bound(distance, spent, weights=before)
        assert found.kl == pytest.approx(divergence, abs=1e-12)
        assert apart <= found.total_variation + 1e-12
        worst = relax.sequence_bound(distance.max(axis=0), spent.max(axis=0), worst_case=True)
        assert apart <= worst.total_variation + 1e-12
        assert divergence <= worst.kl + 1e-12
        assert found.length == worst.length == LENGTH


def test_the_worst_case_is_attained() -> None:
    """Every context moved by e: with disjoint moves the texts are 1 - (1 - e)^T apart, so that bound is sharp."""
    e = 0.3
    before = np.array([1.0, 0.0])
    after = np.array([1 - e, e])
    laws = [np.array([math.prod(one[token] for token in text) for text in product(range(2), repeat=4)])
            for one in (before, after)]  # fmt: skip
    apart = np.abs(laws[0] - laws[1]).sum() / 2
    found = relax.sequence_bound(np.full(4, e), np.full(4, math.inf), worst_case=True)
    assert found.total_variation == pytest.approx(apart) == pytest.approx(1 - 0.7**4)


def test_a_product_over_random_contexts_would_be_no_bound() -> None:
    """Control: 1 - prod (1 - TV_t) is a bound for worst cases only; averaged over the target's texts it can fail."""
    first, relaxed = np.array([0.5, 0.5]), np.array([0.0, 1.0])
    # After token 0 the second law is unchanged, after token 1 it is moved completely.
    distance = np.array([[0.5, 0.0], [0.5, 1.0]])
    before = np.array([0.5, 0.0, 0.5, 0.0])  # texts 00, 01, 10, 11; the second token is always 0
    after = np.array([relaxed[0], 0.0, 0.0, relaxed[1]])  # after token 1, always 1
    apart = np.abs(before - after).sum() / 2
    product_rule = float((first * (1 - (1 - distance).prod(axis=1))).sum())
    assert apart == 1.0 > product_rule
    assert relax.sequence_bound(distance, np.zeros((2, 2)) + math.inf, weights=first).total_variation == 1.0


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0.1], [0.1, 0.2]), {}, r"total_variation has shape \(1,\) and kl \(2,\)"),
        (([[[0.1]]], [[[0.1]]]), {}, "allowed is one shape"),
        (([], []), {}, r"has shape \(0,\) .* at least one text and one token"),
        ((np.zeros((0, 3)), np.zeros((0, 3))), {}, r"has shape \(0, 3\) .* at least one text"),
        ((np.zeros((3, 0)), np.zeros((3, 0))), {}, r"has shape \(3, 0\) .* at least one text"),
        (([], []), {"worst_case": True}, r"has shape \(0,\)"),
        (([1.5], [0.1]), {}, "total_variation: a value lies outside"),
        (([0.1], [-0.1]), {}, "kl: a value is negative or NaN"),
        (([0.1], [math.nan]), {}, "kl: a value is negative or NaN"),
        (([[0.1]], [[0.1]]), {"worst_case": True}, "worst_case: allowed are one bound per position"),
        (([[0.1]], [[0.1]]), {"weights": [0.5]}, "weights: allowed are 1 numbers"),
        (([[0.1]], [[0.1]]), {"weights": [0.5, 0.5]}, "weights: allowed are 1 numbers"),
    ],
)
def test_bad_input_is_named(arguments: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        relax.sequence_bound(*arguments, **options)
