"""Coupled randomness: one text whatever drafts it, the target's law, and the acceptance that the theory promises."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chi2

from reference import decode, pair
from reference.decode.coupled import choice
from reference.models.table import TableModel
from reference.numerics import PreparedModel
from reference.random import Stream, keyed, uniforms

FALSE_ALARM = 1e-6
SIZE = 5


def table(seed: int) -> TableModel:
    """A law for every context of up to two tokens."""

    def law(prefix: Sequence[int]) -> list[float]:
        generator = np.random.default_rng([seed, *prefix[-2:]])
        return generator.dirichlet(np.full(SIZE, 0.7)).tolist()

    return TableModel(law, SIZE)


def text(draft: TableModel | None, length: int, seed: int, *, stop: Sequence[int] = ()) -> decode.Decoded:
    options = decode.Options(max_tokens=30, seed=seed, stop=frozenset(stop))
    return decode.coupled(table(0), [0, 1], draft=draft, draft_length=length, options=options)


@settings(max_examples=40)
@given(st.integers(0, 50), st.integers(1, 9), st.integers(0, 2**64 - 1), st.booleans())
def test_the_text_does_not_depend_on_the_draft(other: int, length: int, seed: int, stops: bool) -> None:
    """Draft 0 is the target itself: all its drafts are kept. Stop tokens may fall into an accepted path."""
    stop = [4] if stops else []
    plain, found = text(None, 1, seed, stop=stop), text(table(other), length, seed, stop=stop)
    assert found.tokens == plain.tokens
    assert found.stop_reason == plain.stop_reason
    if other == 0:
        assert all(one.accepted == min(len(one.drafted), len(one.emitted)) for one in found.rounds)


def test_drafts_are_kept_and_thrown_away() -> None:
    """So that the equality above says something: both happen within one text."""
    rounds = text(table(1), 4, 3).rounds
    assert any(0 < one.accepted < len(one.drafted) for one in rounds)
    assert any(one.accepted == 0 for one in rounds)


def test_noise_of_the_round_instead_of_the_place_is_seen() -> None:
    """Planted defect: noise keyed by where the round starts. Then the draft length changes the text."""

    def broken(position: int, stream: int, count: int) -> np.ndarray:
        return keyed(5, 0)(position // 4, stream, count)

    def of(draft: TableModel | None, source: object) -> tuple[int, ...]:
        return decode.coupled(table(0), [0], draft=draft, options=decode.Options(max_tokens=30), uniforms=source).tokens  # type: ignore[arg-type]

    assert of(None, keyed(5, 0)) == of(table(1), keyed(5, 0))
    calls = iter(range(10**6))  # a source that does not look at the position at all
    assert of(None, broken) == of(table(1), broken)  # any function of the position is coupled
    assert of(None, lambda *a: keyed(5, 0)(next(calls), a[1], a[2])) != of(
        table(1), lambda *a: keyed(5, 0)(next(calls), a[1], a[2])
    )


def test_exact_arithmetic_couples_the_pair() -> None:
    """Sampled text of the shipped pair, bit for bit, with and without its draft."""
    models = pair.load()
    target, draft = PreparedModel(models.target.network), PreparedModel(models.draft.network)
    options = decode.Options(max_tokens=32, seed=11)
    plain = decode.coupled(target, pair.encode("class A"), options=options)
    found = decode.coupled(target, pair.encode("class A"), draft=draft, draft_length=5, options=options)
    assert found.tokens == plain.tokens
    assert 0 < sum(one.accepted for one in found.rounds) < sum(len(one.drafted) for one in found.rounds)


ROUNDS = 60_000


def choices(law: np.ndarray, *, transform: object = None) -> np.ndarray:
    noise = np.stack([uniforms(9, 0, position, Stream.COUPLED, len(law)) for position in range(ROUNDS)])
    if transform is not None:
        noise = transform(noise)  # type: ignore[operator]
    return np.argmax(law / -np.log(np.maximum(noise, 2.0**-54)), axis=1)


def p_value(counts: np.ndarray, law: np.ndarray) -> float:
    expected = law * counts.sum()
    statistic = 2 * (counts * np.log(np.maximum(counts, 1e-300) / expected)).sum()
    return float(chi2.sf(statistic, len(law) - 1))


def test_choices_follow_the_law() -> None:
    """G-test of 60,000 places, false alarm 1e-6; squared uniforms (planted) are seen with the same test."""
    law = np.array([0.4, 0.3, 0.2, 0.1])
    assert p_value(np.bincount(choices(law), minlength=4), law) > FALSE_ALARM
    assert p_value(np.bincount(choices(law, transform=lambda u: np.sort(u, axis=1)), minlength=4), law) < FALSE_ALARM


def test_acceptance_is_as_promised() -> None:
    """P(draft and target choose alike) >= (1 - TV) / (1 + TV), binomial bound at 1e-6; other noise falls below."""
    target, draft = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.4, 0.2, 0.3])
    distance = np.abs(target - draft).sum() / 2
    promised = (1 - distance) / (1 + distance)
    least = binom.ppf(FALSE_ALARM, ROUNDS, promised)
    assert (choices(target) == choices(draft)).sum() >= least
    assert (choices(target) == np.roll(choices(draft), 1)).sum() < least


@pytest.mark.parametrize("uniform", [0.0, float(np.nextafter(1.0, 0.0))])
def test_impossible_tokens_are_never_chosen(uniform: float) -> None:
    assert choice(np.array([0.0, 0.5, 0.5]), np.array([uniform, 0.5, 0.4])) == 1
    assert choice(np.array([0.0, 1.0, 0.0]), np.array([0.9, uniform, 0.9])) == 1
