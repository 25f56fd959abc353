"""The law of the chain decoder on table models: over Fractions, and in float with the real verify."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.bisection import first_round
from proofs_tests.decode.coins import accept_is_draft, by_token, residual_is_draft
from proofs_tests.decode.defects import (
    Changed,
    Doubled,
    Dropped,
    Shifted,
    Stale,
    defective,
    of_another_temperature,
    takes_back,
)
from proofs_tests.decode.exact_law import bias
from proofs_tests.decode.harness import CHAIN_RULES, SEEDS, distance, following, table
from reference import decode, drafters
from reference.models.table import TableModel
from specmath import rules

PROMPT = (1, 0)
UNLIKE = table(2, 2, floor=1), table(9, 2, floor=1)
THREE = table(2, 3, floor=1), table(9, 3, floor=1)


# --- over Fractions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHAIN_RULES)
@settings(max_examples=12)
@given(
    seeds=st.tuples(SEEDS, SEEDS),
    shape=st.sampled_from([(2, 1, 4), (2, 2, 4), (2, 3, 4), (3, 1, 3), (3, 2, 3), (4, 2, 3), (2, 9, 4)]),
    floor=st.integers(0, 1),
)
def test_text_law_is_the_targets(name, seeds, shape, floor):
    """Several rounds of the decoder itself, laws that change with every prefix, zeros and ties among them: TV = 0."""
    size, draft_length, length = shape
    target, draft = table(seeds[0], size, floor=floor), table(seeds[1], size, floor=floor)
    assert bias(target, drafters.chain(draft, draft_length), name, length=length) == 0


@pytest.mark.parametrize("name", CHAIN_RULES)
def test_text_law_of_equal_and_of_disjoint_models(name):
    target = table(5, 3, floor=0)
    zero, one = TableModel(lambda prefix: [1, 0], 2), TableModel(lambda prefix: [0, 1], 2)
    for goal, draft in ((target, target), (zero, one), (zero, zero)):
        assert bias(goal, drafters.chain(draft, 2), name) == 0


@pytest.mark.parametrize("name", CHAIN_RULES)
def test_stop_tokens_and_filters_change_no_law(name):
    """Stop token 0, top-k 2 of three tokens, temperature 1/2: the text follows the filtered target up to the stop."""
    target, draft = THREE
    options = decode.Options(max_tokens=3, stop=frozenset([0]), top_k=2, temperature=0.5, randomness="rejection")

    def filtered(prefix):
        law = list(target.law(prefix))
        kept = sorted(range(3), key=lambda token: (-law[token], token))[:2]
        squares = [law[token] ** 2 if token in kept else 0 for token in range(3)]
        return [square / sum(squares) for square in squares]

    assert bias(target, drafters.chain(draft, 2), name, options=options, truth=TableModel(filtered, 3)) == 0
    assert bias(target, drafters.chain(draft, 2), name, options=options) > 0  # the filter does something


def test_autoregressive_text_has_the_targets_law():
    assert bias(THREE[0], None, None) == 0
    assert bias(defective(THREE[0], Shifted), None, None, truth=THREE[0]) > 0


def test_uniforms_keyed_by_the_tokens_own_position_bias_block_verification():
    """Why the counter names the round's start: exact law of the decoder with the other keying, same code otherwise.

    Token-wise verification survives it, because it never looks behind the first rejection. Block verification does
    look, so that a rejection tells something about the uniform that the next round would draft with.
    """
    target, drafter = UNLIKE[0], drafters.chain(UNLIKE[1], 2)
    assert float(bias(target, drafter, "block", key=by_token)) > 1e-3  # far above any rounding
    assert bias(target, drafter, "token_wise", key=by_token) == 0
    assert bias(target, drafter, "block") == 0


@pytest.mark.parametrize("name", CHAIN_RULES)
@pytest.mark.parametrize("state", [Stale, Shifted, Dropped, Doubled])
def test_a_defective_cache_is_caught(name, state):
    truth, draft = UNLIKE
    assert bias(defective(truth, state), drafters.chain(draft, 2), name, truth=truth, length=4) > 0


@pytest.mark.parametrize("name", CHAIN_RULES)
@pytest.mark.parametrize("state", [Stale, Dropped, Doubled])
def test_a_defective_cache_of_the_draft_biases_nothing(name, state):
    """It drafts from a law that it reports as it is: lossless all the same. Only acceptance suffers."""
    target, draft = UNLIKE
    assert bias(target, drafters.chain(defective(draft, state), 2), name, length=4) == 0


def _resample_from_target(chance, target, draft, tokens):
    for i, token in enumerate(tokens):
        if not chance.flip(min(1, target[i][token] / draft[i][token])):
            return (*tokens[:i], chance.draw(target[i]))
    return (*tokens, chance.draw(target[len(tokens)]))


def _bonus_from_wrong_row(chance, target, draft, tokens):
    return rules.get("token_wise").program(chance, [*target[:-1], target[-2]], draft, tokens)


@pytest.mark.parametrize("program", [_resample_from_target, _bonus_from_wrong_row])
def test_a_defective_rule_is_caught(program):
    wrong = dataclasses.replace(rules.get("token_wise"), program=program)
    assert bias(UNLIKE[0], drafters.chain(UNLIKE[1], 2), wrong) > 0


@pytest.mark.parametrize("name", CHAIN_RULES)
@pytest.mark.parametrize("change", [takes_back, of_another_temperature])
def test_a_drafter_that_breaks_the_rules_is_caught(name, change):
    """A token taken back because of what it is, and a law that is not the one that was drawn from."""
    target, draft = THREE
    assert bias(target, Changed(drafters.chain(draft, 2), change), name) > 0
    assert bias(target, Changed(drafters.chain(draft, 2), lambda proposal: proposal), name) == 0


# --- in float: the decoder with the rule's real verify ---------------------------------------------------------------


def real(models, name, draft_length, *, grid=8, **more):
    """Law of the first round over the uniforms that the decoder is handed."""
    return first_round(
        models[0], drafters.chain(models[1], draft_length), name, PROMPT, draft_length + 1, grid=grid, **more
    )


@pytest.mark.parametrize("name", CHAIN_RULES)
@pytest.mark.parametrize(("seeds", "draft_length"), [((2, 9), 2), ((3, 4), 1)])
def test_round_law_with_the_real_uniforms(name, seeds, draft_length):
    """Which uniform decides what: law over all uniforms of a round, completed by the target, within 1e-9."""
    target, draft = (table(seed, 2, floor=1) for seed in seeds)
    law = real((target, draft), name, draft_length)
    assert abs(law.mean(lambda emitted: 1) - 1) < 1e-9
    goal, length = following(target, PROMPT), draft_length + 1
    assert rules.completed(law, goal, length).total_variation(rules.text_law(goal, length)) < 1e-9
    exact_law = rules.round_law(rules.get(name), goal, following(draft, PROMPT), range(-1, draft_length - 1))
    assert law.total_variation(exact_law) < 1e-9  # not only lossless: the rule's own law


def test_streams_that_share_numbers_are_caught():
    """Draft and accept test, and draft and replacement, from one stream: three tokens, so that the residual has two.

    One draft: there both chain rules are one and the same.
    """
    name = "block"
    goal = following(THREE[0], PROMPT)
    assert distance(rules.completed(real(THREE, name, 1, grid=12), goal, 2), THREE[0], PROMPT, 2) < 1e-9
    for key in (accept_is_draft, residual_is_draft):
        assert distance(rules.completed(real(THREE, name, 1, key=key, grid=12), goal, 2), THREE[0], PROMPT, 2) > 0.01
