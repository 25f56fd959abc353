"""The exponential race: prefix masses against enumeration and a slow direct integral; the premise of the chords."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specmath import draft_laws, optimum
from specmath.draft_laws import race
from specmath.draft_laws.race import ERROR, best_prefix, prefix_masses
from specmath.transport import prefix


def direct(ordered: np.ndarray, n: int) -> np.ndarray:
    """The judge: one polynomial, extended token by token, twice as fine nodes up to the very last arrival.

    Here the integral runs over the first arrival outside, Q(H) = int l e^{-l t} P(at least n of H by t) dt.
    """
    size = len(ordered)
    outside = np.append(np.cumsum(ordered[::-1])[::-1], 0.0)
    smallest = max(1e-300, float(np.min(outside[outside > 0])))
    log_time = np.arange(np.log(1e-18) / (n + 1), np.log(42.0 / smallest) + 0.06, 0.06)
    time = np.exp(log_time)
    arrived = np.zeros((n, len(time)))
    arrived[0] = 1.0
    result = np.ones(size + 1)
    for m in range(size + 1):
        enough = np.clip(1.0 - arrived.sum(axis=0), 0.0, 1.0)
        if outside[m] > 0:
            density = 0.06 * outside[m] * time * np.exp(-outside[m] * time)
            result[m] = np.sum(density * enough) + np.exp(-outside[m] * time[-1]) * enough[-1]
        if m < size:
            late, early = np.exp(-ordered[m] * time), -np.expm1(-ordered[m] * time)
            arrived[1:] = late * arrived[1:] + early * arrived[:-1]
            arrived[0] *= late
    result[:n] = 0.0
    return result


def softmax(size: int, slope: float, seed: int = 0) -> np.ndarray:
    law = np.exp(slope * np.random.default_rng([size, seed]).gumbel(size=size))
    return law / law.sum()


def error_at(n: int, size: int, slope: float) -> float:
    law = softmax(size, slope)
    return float(np.max(np.abs(prefix_masses(law[None], n)[0] - direct(law, n))))


CASES = [(n, size, slope) for n in (1, 2, 3, 4, 8, 16) for size, slope in ((17, 1.0), (300, 0.3), (300, 2.5))]


@pytest.mark.parametrize(("n", "size", "slope"), CASES)
def test_prefixes_against_the_direct_integral(n: int, size: int, slope: float) -> None:
    assert error_at(n, size, slope) < ERROR


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_large_vocabulary_against_the_direct_integral(n: int) -> None:
    assert error_at(n, 20_000, 1.0) < ERROR


@pytest.mark.parametrize(
    ("name", "value"), [("step_of", lambda n: 0.6), ("_TAIL", 100.0), ("leftover", lambda laws, n: laws.sum(axis=1))]
)
def test_coarse_choices_are_seen(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    """Control: nodes too far apart, a tail whose series does not converge, nodes that end with the likeliest tokens."""
    monkeypatch.setattr(race, name, value)
    assert max(error_at(n, 300, slope) for n in (3, 8) for slope in (1.0, 4.0)) > 10 * ERROR


def test_masses_below_every_scale() -> None:
    """The third draft is one of two tokens of the smallest mass that a float can hold."""
    ordered = np.array([[1.0, 1e-300, 5e-324, 5e-324]])
    assert prefix_masses(ordered, 3)[0] == pytest.approx([0, 0, 0, 0.5, 1], abs=ERROR)
    assert prefix_masses(ordered[:, ::-1], 2)[0] == pytest.approx([0, 0, 0, 0, 1], abs=ERROR)


@st.composite
def laws(draw: st.DrawFn, most: int = 6) -> tuple[list[Fraction], int]:
    size = draw(st.integers(2, most))
    exponents = draw(st.lists(st.sampled_from([0, 0, 1, 2, 5, 20, 60, 200]), min_size=size, max_size=size))
    masses = [Fraction(draw(st.integers(1, 9)), 2**e) for e in exponents]
    return [mass / sum(masses) for mass in masses], draw(st.integers(1, min(size, 4)))


def held(law: list[Fraction], n: int) -> dict[frozenset[int], Any]:
    """Q of every set, by enumeration."""
    tuples = draft_laws.get("without_replacement").law(law, n)
    sets = [frozenset(s) for k in range(len(law) + 1) for s in combinations(range(len(law)), k)]
    return {s: sum((m for t, m in tuples.items() if s.issuperset(t)), Fraction(0)) for s in sets}


@settings(max_examples=80)
@given(laws())
def test_prefixes_against_enumeration(problem: tuple[list[Fraction], int]) -> None:
    """Masses over sixty decades of binary exponents; the relative error of the floats' own scaling is below 1e-15."""
    law, n = problem
    want = held(law, n)
    found = prefix_masses(np.array([law], dtype=float), n)[0]
    assert np.allclose(found, [float(want[frozenset(range(m))]) for m in range(len(law) + 1)], rtol=0, atol=ERROR)
    if n == 2:
        pairs = prefix.pair_masses(np.array(law, dtype=float))
        assert np.allclose(pairs, found[1:], rtol=0, atol=1e-13)


@settings(max_examples=60)
@given(laws(5), st.randoms(use_true_random=False))
def test_masses_grow_ever_faster_per_unit_of_draft(problem: tuple[list[Fraction], int], random: Random) -> None:
    """q-convexity, exactly: what the chords of the search, and the optimality of prefixes, rest on."""
    law, n = problem
    want = held(law, n)
    order = random.sample(range(len(law)), len(law))
    chain = [want[frozenset(order[:m])] for m in range(len(law) + 1)]
    slopes = [(chain[m + 1] - chain[m]) / law[x] for m, x in enumerate(order)]
    assert slopes == sorted(slopes)


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("size", [33, 200, 900])
def test_search_finds_the_best_prefix(n: int, size: int) -> None:
    for slope in (0.5, 1.5):
        draft = softmax(size, slope)
        target = draft * softmax(size, 1.0, seed=1)
        target /= target.sum()
        order = prefix.rising(target, draft)
        target, draft = target[order], draft[order]
        gains = prefix_masses(draft[None], n)[0] - np.append(0.0, np.cumsum(target))
        gain, count = best_prefix(target[None], draft[None], n)
        assert gain[0] == pytest.approx(gains.max(), abs=2e-15)
        assert gains[count[0]] == pytest.approx(gains.max(), abs=2e-15)


def test_closed_form_of_pairs_is_the_race() -> None:
    target, draft = np.random.default_rng(3).dirichlet(np.full(50, 0.2), (2, 20))
    found = optimum(target, draft, 2, "without_replacement").acceptance
    order = np.argsort(target / draft, axis=-1)
    rows = [np.take_along_axis(law, order, axis=-1) for law in (target, draft)]
    gain, _ = best_prefix(rows[0], rows[1], 2)
    assert np.allclose(found, 1 - gain, rtol=0, atol=1e-13)
