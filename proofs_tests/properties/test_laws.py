"""The check of laws at the edge, and laws from logits against a slow version written token by token."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specmath.arrays import check_law, check_pair
from specmath.draws import categorical, normalise_or, residual
from specmath.logits import law_from_logits

HALF = np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("dtype", "off", "allowed"),
    [
        (np.float64, 5e-10, True),
        (np.float64, 9.9e-10, True),
        (np.float64, 1.01e-9, False),
        (np.float32, 5e-5, True),
        (np.float32, 9.9e-5, True),
        (np.float32, 1.01e-4, False),
    ],
)
def test_tolerance_of_the_sum(dtype: Any, off: float, allowed: bool) -> None:
    law = (HALF * (1 + off)).astype(dtype)
    if not allowed:
        with pytest.raises(ValueError, match=r"target: sums to 1\.0.*; allowed is 1 within"):
            check_law("target", law)
        return
    checked = check_law("target", law)
    assert checked.values.dtype == np.float64
    assert checked.values.sum() == pytest.approx(1, abs=1e-15)
    assert checked.correction == pytest.approx(off, rel=0.01)


@pytest.mark.parametrize(
    ("law", "message"),
    [
        ([0.5, float("nan")], r"draft: entry \[1\] is nan"),
        ([1.5, -0.5], r"draft: entry \[1\] is -0.5"),
        ([1 + 1e-12, -1e-12], r"draft: entry \[1\] is -1e-12"),
        ([float("inf"), 0.0], r"draft: entry \[0\] is inf"),
        ([0.0, 0.0], "draft: sums to 0"),
        ([[0.5, 0.5], [0.5, 0.4]], r"draft: row \[1\] sums to 0.9"),
        ([], "the last axis must hold at least one token"),
        (1.0, "the last axis must hold at least one token"),
        (["a", "b"], "not numeric"),
        ([[0.5, 0.5], [1.0]], "draft: list is not an array"),
    ],
)
def test_what_is_no_law_is_refused(law: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_law("draft", law)


def test_the_correction_is_the_largest_of_all_rows() -> None:
    assert check_law("target", [[0.5, 0.5], [0.5, 0.5 + 8e-10]]).correction == pytest.approx(8e-10, rel=1e-3)
    assert check_pair([0.5, 0.5 + 8e-10], [0.5, 0.5]).correction == pytest.approx(8e-10, rel=1e-3)
    assert check_pair([0.5, 0.5], [0.5, 0.5 + 8e-10]).correction == pytest.approx(8e-10, rel=1e-3)


def test_leading_axes_must_broadcast() -> None:
    with pytest.raises(ValueError, match=r"target has leading axes \(2,\) and draft \(3,\)"):
        check_pair([[0.5, 0.5]] * 2, [[0.5, 0.5]] * 3)


def test_a_draw_scales_with_the_weights() -> None:
    """Weights need not sum to one; the last possible token is returned where rounding leaves none."""
    assert categorical(np.array([1.0, 3.0]), np.array(0.3)) == 1
    assert categorical(np.array([1.0, 3.0]), np.array(0.2)) == 0
    assert categorical(np.array([0.0, 5e-324, 0.0]), np.array(np.nextafter(1.0, 0.0))) == 1


def test_half_precision_is_refused() -> None:
    torch = pytest.importorskip("torch")
    for law in (HALF.astype(np.float16), torch.tensor([0.5, 0.5], dtype=torch.bfloat16)):
        with pytest.raises(ValueError, match="hand in logits"):
            check_law("target", law)


def test_vocabularies_must_agree() -> None:
    with pytest.raises(ValueError, match="target has 2 tokens and draft 3"):
        check_pair(HALF, [0.5, 0.25, 0.25])


def test_tracers_pass_unchecked() -> None:
    jax = pytest.importorskip("jax")

    def scaled(law: Any) -> Any:
        checked = check_law("target", law)
        assert checked.correction is None
        return checked.values

    np.testing.assert_allclose(jax.jit(scaled)(jax.numpy.asarray([0.5, 0.25])), [2 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(scaled)(jax.numpy.asarray([[0.5, 0.5]])), [[0.5, 0.5]], rtol=1e-6)


def slow_law(logits: list[float], temperature: float, top_k: int | None, top_p: float | None) -> list[float]:
    """`law_from_logits` for one row, token by token."""
    order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    if temperature == 0:
        return [float(token == order[0]) for token in range(len(logits))]
    weights = [math.exp((logit - max(logits)) / temperature) for logit in logits]
    kept = order[: len(order) if top_k is None else top_k]
    total = math.fsum(weights[token] for token in kept)
    if top_p is not None:
        nucleus: list[int] = []
        for token in kept:
            if math.fsum(weights[x] for x in nucleus) / total >= top_p:
                break
            nucleus.append(token)
        kept = nucleus
    total = math.fsum(weights[token] for token in kept)
    return [weights[token] / total if token in kept else 0.0 for token in range(len(logits))]


LOGITS = st.lists(st.sampled_from([-math.inf, -3.0, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=7).filter(
    lambda row: max(row) > -math.inf
)


@given(
    LOGITS,
    st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    st.none() | st.integers(1, 8),
    st.none() | st.sampled_from([0.013, 0.27, 0.611, 0.93, 1.0]),
)
def test_law_from_logits_is_the_slow_one(
    logits: list[float], temperature: float, top_k: int | None, top_p: float | None
) -> None:
    want = slow_law(logits, temperature, top_k, top_p)
    found = law_from_logits(np.array(logits), temperature=temperature, top_k=top_k, top_p=top_p)
    np.testing.assert_allclose(found, want, atol=1e-12)
    batch = law_from_logits(np.array([logits, logits]), temperature=temperature, top_k=top_k, top_p=top_p)
    np.testing.assert_array_equal(batch, [found, found])


def test_ties_are_cut_by_index() -> None:
    np.testing.assert_array_equal(law_from_logits(np.zeros(4), top_k=2), [0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(law_from_logits(np.array([0.0, 1.0, 1.0]), temperature=0), [0, 1, 0])
    np.testing.assert_array_equal(law_from_logits(np.zeros(4), top_p=0.5), [0.5, 0.5, 0, 0])


def test_half_precision_logits_are_widened() -> None:
    torch = pytest.importorskip("torch")
    logits = torch.tensor([1.0, 0.5, -2.0], dtype=torch.bfloat16)
    found = law_from_logits(logits)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, law_from_logits(np.array([1.0, 0.5, -2.0])), atol=1e-15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": "1"}, "temperature is '1'; allowed are finite numbers"),
        ({"temperature": None}, "temperature is None"),
        ({"temperature": 10**400}, "temperature is 1000"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": "all"}, "top_p is 'all'; allowed are numbers above 0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        law_from_logits(np.zeros(3), **options)


@pytest.mark.parametrize("logits", [[0.0, math.nan], [0.0, math.inf], [-math.inf, -math.inf]])
def test_logits_without_a_law(logits: list[float]) -> None:
    with pytest.raises(ValueError, match="NaN or \\+inf, or is masked"):
        law_from_logits(np.array(logits))


def test_whole_numbers_are_not_logits() -> None:
    with pytest.raises(ValueError, match="allowed are floating-point"):
        law_from_logits(np.array([1, 2]))


WEIGHTS = st.lists(st.sampled_from([0.0, 1e-300, 1e-12, 0.1, 1.0, 3.0]), min_size=1, max_size=6).filter(any)


@given(WEIGHTS, st.sampled_from([0.0, 1e-17, 0.3, 0.5, 1 - 2**-53]))
def test_a_draw_never_returns_weight_zero(weights: list[float], uniform: float) -> None:
    assert weights[int(categorical(np.array(weights), np.array(uniform)))] > 0


@given(WEIGHTS)
def test_an_empty_residual_is_the_target_and_never_nan(weights: list[float]) -> None:
    law = np.array(weights) / sum(weights)
    np.testing.assert_array_equal(residual(law, law), law)
    np.testing.assert_array_equal(normalise_or(np.zeros_like(law), law), law)
