"""Coupled randomness: one text whatever drafts it, and the acceptance that the theory promises."""

from __future__ import annotations

import dataclasses
import math
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chi2

from proofs_tests.decode.harness import check_trace, depths, requests, table
from proofs_tests.decode.zoo import COUPLED
from reference import decode, pair
from reference.decode import judge, loop
from reference.decode.judge import Coupled, Kept
from reference.decode.text import Text
from reference.gumbel import AHEAD, Noise, best, gumbel, logarithm, scores
from reference.models.table import TableModel
from reference.random import Keyed, Stream, uniform_rows

FALSE_ALARM = 1e-6
WARM = st.sampled_from([0.0, 0.5, 1.0, 2.0])


def text(target, prompt, drafter, options, **more) -> decode.Decoded:
    return decode.collect(decode.stream(target, prompt, drafter=drafter, options=options, **more))


@pytest.mark.parametrize("kind", COUPLED)
@settings(max_examples=12)
@given(
    request=requests(),
    temperature=WARM,
    top_k=st.sampled_from([None, 1, 2]),
    top_p=st.sampled_from([None, 0.7]),
)
def test_the_text_does_not_depend_on_the_drafter(kind, request, temperature, top_k, top_p):
    """Tokens, their log-probabilities and why it ended; the draft is now and then the target itself."""
    target, draft, prompt, _, options = request
    options = dataclasses.replace(options, temperature=temperature, top_k=top_k, top_p=top_p)
    plain = decode.autoregressive(target, prompt, options=options)
    drafter = COUPLED[kind](draft)
    found = text(target, prompt, drafter, options)
    assert (found.tokens, found.stop_reason) == (plain.tokens, plain.stop_reason)
    assert found.logprobs == plain.logprobs
    check_trace(found, prompt, 6, options, chain=drafter.shape == "chain")
    check_trace(plain, prompt, 0, options)


@pytest.mark.parametrize("kind", COUPLED)
def test_drafts_are_kept_and_thrown_away(kind):
    """So that the equality above says something: both happen within one text."""
    options = decode.Options(max_tokens=60, seed=3)
    rounds = text(table(0, 5), [0, 1, 0], COUPLED[kind](table(1, 5)), options).rounds
    deepest = [(max(depths(one.parents), default=0), one.accepted) for one in rounds]
    assert any(accepted < depth for depth, accepted in deepest)
    assert any(accepted > 0 for depth, accepted in deepest)


def test_a_draft_that_is_the_target_is_always_kept():
    """It looks at the same noise, so it proposes the very token that the target chooses."""
    model, options = table(4, 5), decode.Options(max_tokens=40, seed=8)
    for kind in ("chain", "tree", "paths"):
        for one in text(model, [0], COUPLED[kind](model), options).rounds:
            assert one.accepted == min(max(depths(one.parents), default=0), len(one.emitted))


# --- planted defects -------------------------------------------------------------------------------------------------


class BySlot(Coupled):
    """Noise of the slot that a token has in the pass: its number in the tree, counted from the round's start."""

    def decide(self, position, logits, laws, proposal):
        node, path, emitted = -1, [], []
        while True:
            row = slice(node + 1, node + 2)
            chosen = best(self.scores(logits[row], laws[row], [position + node + 1])[0], 1)[0]
            emitted.append(chosen)
            below = judge.children(proposal).get(node, ())
            node = next((child for child in below if proposal.tokens[child] == chosen), -1)
            if node < 0:
                return Kept(tuple(path), emitted)
            path.append(node)


class ByRound(Coupled):
    """Noise of the position at which the round starts, for all its tokens."""

    def scores(self, logits, laws, positions):
        return super().scores(logits, laws, [self._start] * len(positions))

    def decide(self, position, logits, laws, proposal):
        self._start = position
        return super().decide(position, logits, laws, proposal)

    _start = 0


@pytest.mark.parametrize("wrong", [BySlot, ByRound])
@pytest.mark.parametrize("kind", ["chain", "tree"])
def test_noise_of_another_place_changes_the_text(wrong, kind):
    """The slot in a tree is no position, and a chain's rounds start anywhere. In a chain the slot is the position."""
    target, draft, options = table(0, 4), table(1, 4), decode.Options(max_tokens=40, seed=5)
    plain = decode.autoregressive(target, [0], options=options)
    with mock.patch.object(judge, "Coupled", wrong):
        same = text(target, [0], COUPLED[kind](draft), options).tokens == plain.tokens
    assert same == (wrong is BySlot and kind == "chain")


class Doubled(Text):
    """The bonus token gets into the text twice."""

    def commit(self, path, emitted, laws, proposal):
        committed = super().commit(path, emitted, laws, proposal)
        self.tokens.append(self.tokens[-1])
        return committed


class Dropped(Text):
    """The bonus token of a round that kept drafts never gets into the text."""

    def commit(self, path, emitted, laws, proposal):
        committed = super().commit(path, emitted, laws, proposal)
        if len(path):
            self.tokens.pop()
        return committed


class Unseen(Text):
    """The bonus token of a round that kept drafts is not emitted, and drawn again in the next round."""

    def commit(self, path, emitted, laws, proposal):
        return super().commit(path, emitted[: max(1, len(path))], laws, proposal)


@pytest.mark.parametrize("wrong", [Doubled, Dropped, Unseen])
def test_a_bonus_doubled_or_dropped_changes_the_text_or_stops_it(wrong):
    target, draft, options = table(0, 4), table(1, 4), decode.Options(max_tokens=40, seed=5)
    plain = decode.autoregressive(target, [0], options=options)
    with mock.patch.object(loop, "Text", wrong):
        try:
            found = text(target, [0], COUPLED["chain"](draft), options).tokens
        except (ValueError, IndexError):  # cache and text no longer fit together
            found = ()
    assert found != plain.tokens


def test_exact_arithmetic_couples_the_pair():
    """Sampled text of the shipped pair, bit for bit, with and without its draft."""
    models, options = pair.load(), decode.Options(max_tokens=24, seed=11)
    prompt = pair.encode("class A")
    plain = decode.autoregressive(models.target, prompt, options=options)
    found = decode.chain(models.target, models.draft, prompt, draft_length=5, options=options)
    assert (found.tokens, found.logprobs) == (plain.tokens, plain.logprobs)
    assert 0 < sum(one.accepted for one in found.rounds) < sum(len(one.drafted) for one in found.rounds)


# --- the noise -------------------------------------------------------------------------------------------------------

ROUNDS = 60_000


def choices(law: np.ndarray, *, transform=None) -> np.ndarray:
    """The token of highest score at each of many positions, all after the same context."""
    numbers = uniform_rows(9, 0, 0, ROUNDS, Stream.COUPLED, len(law))
    noise = gumbel(numbers if transform is None else transform(numbers))
    return np.argmax(np.log(law) + noise, axis=1)


def p_value(counts: np.ndarray, law: np.ndarray) -> float:
    expected = law * counts.sum()
    statistic = 2 * (counts * np.log(np.maximum(counts, 1e-300) / expected)).sum()
    return float(chi2.sf(statistic, len(law) - 1))


def test_choices_follow_the_law():
    """G-test of 60,000 places, false alarm 1e-6; sorted uniforms (planted) are seen with the same test."""
    law = np.array([0.4, 0.3, 0.2, 0.1])
    assert p_value(np.bincount(choices(law), minlength=4), law) > FALSE_ALARM
    assert p_value(np.bincount(choices(law, transform=lambda u: np.sort(u, axis=1)), minlength=4), law) < FALSE_ALARM


def test_acceptance_is_as_promised():
    """P(draft and target choose alike) >= (1 - TV) / (1 + TV), binomial bound at 1e-6; other noise falls below."""
    target, draft = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.4, 0.2, 0.3])
    total = np.abs(target - draft).sum() / 2
    promised = (1 - total) / (1 + total)
    least = binom.ppf(FALSE_ALARM, ROUNDS, promised)
    assert (choices(target) == choices(draft)).sum() >= least
    assert (choices(target) == np.roll(choices(draft), 1)).sum() < least


@pytest.mark.parametrize("drafter", [None, "chain", "tree"])
def test_tokens_that_the_law_leaves_out_are_never_chosen(drafter):
    """Masked by the model or by top-k, and whatever the noise: uniforms of 0 and just below 1."""
    model = TableModel(lambda prefix: [0, 0.5, 0.3, 0.2], 4)
    options = decode.Options(max_tokens=12, top_k=2)
    for high in range(4):
        for low, top in ((0.0, float(np.nextafter(1, 0))), (0.5, float(np.nextafter(1, 0))), (0.0, 0.0)):
            numbers = np.full(4, low)
            numbers[high] = top
            found = text(
                model,
                [0],
                drafter and COUPLED[drafter](model),
                options,
                uniforms=lambda position, stream, count, numbers=numbers: np.resize(numbers, count),
            )
            assert set(found.tokens) <= {1, 2}


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 4 * AHEAD), min_size=1, max_size=12), st.integers(1, 9))
def test_noise_is_that_of_its_place_in_whatever_order_it_is_asked_for(seed, places, size):
    """It is made for several places at once, and forgotten behind the text's end."""
    source = Keyed(seed, 3)
    noise, plain = Noise(source, size), Noise(lambda *asked: source(*asked), size)
    for place in places:
        alone = gumbel(source(place, Stream.COUPLED, size))
        assert np.array_equal(noise.row(place), alone)
        assert np.array_equal(plain.row(place), alone)


@given(st.lists(st.floats(2.0**-54, 2.0**60), min_size=1, max_size=40))
def test_the_logarithm_is_right_to_two_units_and_has_the_same_bits_in_torch(values):
    found = logarithm(np.array(values))
    for value, ours in zip(values, found.tolist(), strict=True):
        assert abs(ours - math.log(value)) <= 2 * math.ulp(math.log(value)) or (value == 1.0 and ours == 0.0)
    assert np.array_equal(logarithm(torch.tensor(values, dtype=torch.float64), torch).numpy(), found)


def test_noise_is_finite_at_both_ends():
    ends = gumbel(np.array([0.0, 2.0**-53, 1 - 2.0**-53]))
    assert np.isfinite(ends).all()
    assert ends[0] < ends[1] < -3.5 < 36 < ends[2]


@pytest.mark.parametrize("temperature", [5e-324, 1e-308, 1e-30])
def test_tiny_temperatures_choose_the_likeliest(temperature):
    for seed in range(8):
        options = decode.Options(max_tokens=6, temperature=temperature, seed=seed)
        coupled = decode.autoregressive(table(0, 4), [0], options=options)
        greedy = decode.autoregressive(table(0, 4), [0], options=dataclasses.replace(options, temperature=0.0))
        assert coupled.tokens == greedy.tokens
        assert coupled.logprobs == (0.0,) * 6


def test_scores_are_logits_over_temperature_plus_noise():
    logits, laws = np.array([[1.0, -2.0, 0.5]] * 2), np.array([[0.6, 0.0, 0.4]] * 2)
    noise = Noise(Keyed(1, 2), 3)
    found = scores(logits, laws, 0.5, noise, [7, 8])
    want = (logits - 1.0) / 0.5 + np.stack([noise.row(7), noise.row(8)])
    assert np.array_equal(found[:, [0, 2]], want[:, [0, 2]])
    assert (found[:, 1] == -np.inf).all()
    assert np.array_equal(scores(logits, laws, 0, noise, [7, 8]), logits)


@given(st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=8), st.integers(1, 9))
def test_best_is_the_stable_order_of_what_is_possible(row, count):
    if max(row) == -np.inf:
        row[0] = 0.0
    order = sorted((token for token in range(len(row)) if row[token] > -np.inf), key=lambda token: (-row[token], token))
    assert best(np.array(row), count) == order[:count]
