"""The counter-based generator: known answers, the same bits in numpy, torch and plain integers, disjoint streams."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reference.random import MASK, Keyed, Stream, philox, uniform_rows, uniforms

# Random123, kat_vectors, lines "philox4x32 10".
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((MASK,) * 4, (MASK,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
WORD = st.integers(0, MASK)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_random123_known_answers(counter, key, answer):
    assert philox(counter, key) == answer
    for convert in (np.int64, torch.tensor):
        words = philox(tuple(convert(word) for word in counter), key)
        assert tuple(int(word) for word in words) == answer


@given(st.lists(st.tuples(WORD, WORD, WORD, WORD), min_size=1, max_size=8), st.tuples(WORD, WORD))
def test_numpy_torch_and_integers_have_the_same_bits(counters, key):
    columns = np.array(counters, dtype=np.int64).T
    with_numpy = np.stack(philox(tuple(columns), key))
    with_torch = torch.stack(philox(tuple(torch.from_numpy(columns)), key)).numpy()
    plain = np.array([philox(counter, key) for counter in counters]).T
    assert np.array_equal(with_numpy, with_torch)
    assert np.array_equal(with_numpy, plain)
    assert ((plain >= 0) & (plain <= MASK)).all()


@given(st.integers(0, 2**64 - 1), WORD, WORD, st.sampled_from(Stream), st.integers(0, 40))
def test_uniforms_are_multiples_of_a_power_of_two_below_one(seed, request, position, stream, count):
    found = uniforms(seed, request, position, stream, count)
    assert found.shape == (count,)
    assert found.dtype == np.float64
    assert ((found >= 0) & (found < 1)).all()
    assert all((Fraction(value) * 2**53).denominator == 1 for value in found.tolist())
    assert np.array_equal(found, uniforms(seed, request, position, stream, 64)[:count])  # integers against arrays
    assert np.array_equal(found, Keyed(seed, request)(position, stream, count))


@given(st.integers(0, 2**64 - 1), WORD, WORD, st.sampled_from(Stream), st.integers(0, 30))
def test_a_uniform_is_the_upper_53_bits_of_its_two_words(seed, request, position, stream, index):
    """Hence at most 1 - 2**-53; and the counter's words are in the documented order."""
    block, half = divmod(index, 2)
    words = philox((block, position, stream, request), (seed & MASK, seed >> 32))
    value = ((words[2 * half] << 32 | words[2 * half + 1]) >> 11) / 2**53
    assert uniforms(seed, request, position, stream, 31)[index] == value < 1


@given(st.integers(0, 2**64 - 1), WORD, st.integers(0, MASK - 40), st.sampled_from(Stream), st.integers(0, 30))
def test_rows_of_many_positions_are_those_of_each(seed, request, first, stream, count):
    found = uniform_rows(seed, request, first, 5, stream, count)
    assert np.array_equal(found, Keyed(seed, request).rows(first, 5, stream, count))
    for place, row in enumerate(found):
        assert np.array_equal(row, uniforms(seed, request, first + place, stream, count))


def test_streams_positions_requests_and_seeds_are_disjoint():
    """All counters of a small workload differ: 4 * 64 * 8 * 2 cells of 10 draws, no value twice.

    False alarm: 51,200 values of 53 bits, P(any two equal) < 2e-7.
    """
    cells = [(s, r, p, t) for s in (0, 2**63) for r in range(8) for p in range(64) for t in Stream]
    drawn = np.concatenate([uniforms(s, r, p, t, 10) for s, r, p, t in cells])
    assert len(np.unique(drawn)) == len(drawn) == 51_200


def test_draws_are_uniform_and_neighbouring_counters_unrelated():
    """Kolmogorov-Smirnov on 40,000 draws, and correlation between neighbours in each counter word.

    False alarm 1e-6 for each of the five tests. Power: an offset of 0.02 in the law is met with P > 0.99 (the critical
    distance of Kolmogorov-Smirnov is 0.0135), a correlation of 0.05 with P > 0.999 (critical value 0.0346).
    """
    cells = np.array([[uniforms(3, r, p, t, 2) for t in Stream] for r in range(50) for p in range(100)])
    draws = cells.reshape(50, 100, len(Stream), 2)  # request, position, stream, draw
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-6
    for axis in range(4):
        left = np.take(draws, range(draws.shape[axis] - 1), axis).ravel()
        right = np.take(draws, range(1, draws.shape[axis]), axis).ravel()
        assert abs(np.corrcoef(left, right)[0, 1]) < stats.norm.isf(0.5e-6) / np.sqrt(len(left))
    shifted = np.clip(draws.ravel() + 0.02, 0, 1)
    assert stats.kstest(shifted, "uniform").pvalue < 1e-6  # the test can fail


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("seed", (-1, 0, 0, 0, 1)),
        ("seed", (2**64, 0, 0, 0, 1)),
        ("seed", (0.5, 0, 0, 0, 1)),
        ("request", (0, 2**32, 0, 0, 1)),
        ("position", (0, 0, -1, 0, 1)),
        ("stream", (0, 0, 0, 2**32, 1)),
        ("count", (0, 0, 0, 0, -1)),
    ],
)
def test_arguments_out_of_range_are_named(name, arguments):
    with pytest.raises(ValueError, match=f"{name} is .*allowed are whole numbers"):
        uniforms(*arguments)
