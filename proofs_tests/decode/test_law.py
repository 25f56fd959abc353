"""The law of the real decoders on table models: over Fractions, in float with the real verify, and sampled."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from proofs_tests.decode.harness import (
    CHAIN_RULES,
    bisected_law,
    by_round,
    by_token,
    exact_program,
    following,
    one_stream,
    table,
)
from reference import decode
from reference.models.table import TableModel, TableState
from reference.random import Stream, keyed
from specmath import exact, rules
from specmath.exact import Law

PROMPT = (1, 0)


def decoded_law(rule, target, draft, draft_length, max_tokens, *, key=by_round, truth=None) -> Law:
    """Exact law of the tokens that the real chain decoder emits."""
    play = exact_program(
        target, draft, PROMPT, rule, draft_length, max_tokens, truth=target if truth is None else truth, key=key
    )
    return exact.law(play, budget=20_000)


def distance(law: Law, target: TableModel, length: int):
    return law.total_variation(rules.text_law(following(target, PROMPT), length))


# --- exact, over Fractions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHAIN_RULES)
@settings(max_examples=15)
@given(
    seeds=st.tuples(st.integers(0, 2**20), st.integers(0, 2**20)),
    shape=st.sampled_from([(2, 1, 4), (2, 2, 4), (2, 3, 4), (3, 1, 3), (3, 2, 3), (4, 2, 3), (2, 9, 4)]),
    floor=st.integers(0, 1),
)
def test_text_law_is_the_targets(name, seeds, shape, floor):
    """Several rounds of the decoder itself, laws that change with every prefix, zeros and ties among them: TV = 0."""
    size, draft_length, max_tokens = shape
    target, draft = table(seeds[0], size, floor=floor), table(seeds[1], size, floor=floor)
    assert distance(decoded_law(rules.get(name), target, draft, draft_length, max_tokens), target, max_tokens) == 0


@pytest.mark.parametrize("name", CHAIN_RULES)
def test_text_law_of_equal_and_of_disjoint_models(name):
    target = table(5, 3, floor=0)
    zero, one = TableModel(lambda prefix: [1, 0], 2), TableModel(lambda prefix: [0, 1], 2)
    for goal, draft in ((target, target), (zero, one), (zero, zero)):
        assert distance(decoded_law(rules.get(name), goal, draft, 2, 3), goal, 3) == 0


def test_uniforms_keyed_by_the_tokens_own_position_bias_block_verification():
    """Why the counter names the round's start: exact law of the decoder with the other keying, same code otherwise.

    Token-wise verification survives it, because it never looks behind the first rejection. Block verification does
    look, so that a rejection tells something about the uniform that the next round would draft with.
    """
    target, draft = table(2, 2, floor=1), table(9, 2, floor=1)
    for name in CHAIN_RULES:
        assert distance(decoded_law(rules.get(name), target, draft, 2, 3), target, 3) == 0
    biased = distance(decoded_law(rules.get("block"), target, draft, 2, 3, key=by_token), target, 3)
    assert biased > 0
    assert float(biased) > 1e-3  # far above any rounding: this is no property of floats
    assert distance(decoded_law(rules.get("token_wise"), target, draft, 2, 3, key=by_token), target, 3) == 0


# --- planted defects of the bookkeeping ------------------------------------------------------------------------------


class Stale(TableModel):
    """A cache whose rewind lowers the length but leaves the last rejected token in the context."""

    def start(self):
        outer = self

        class State(TableState):
            def __init__(self):
                super().__init__(outer)
                self.stale = ()

            def rewind(self, length):
                dropped = tuple(self._tokens[length:])
                super().rewind(length)
                self.stale = dropped[-1:] if dropped else ()

            def extend(self, tokens):
                before = self.length
                super().extend(tokens)
                ends = range(before + 1, self.length + 1)
                return np.stack([outer.logits((*self.stale, *self._tokens[:end])) for end in ends])

        return State()


class Shifted(TableModel):
    """Rows one place early: the law before the last token is handed out as the law after it."""

    def start(self):
        outer = self

        class State(TableState):
            def extend(self, tokens):
                before = self.length
                super().extend(tokens)
                return np.stack([outer.logits(tuple(self._tokens[:end])) for end in range(before, self.length)])

        return State(outer)


@pytest.mark.parametrize("name", CHAIN_RULES)
@pytest.mark.parametrize("defect", [Stale, Shifted])
def test_a_defective_cache_is_caught(name, defect):
    truth, draft = table(2, 2, floor=1), table(9, 2, floor=1)
    wrong = defect(truth.law, 2)
    assert distance(decoded_law(rules.get(name), wrong, draft, 2, 3, truth=truth), truth, 3) > 0


def _resample_from_target(chance, target, draft, tokens):
    for i, token in enumerate(tokens):
        if not chance.flip(min(1, target[i][token] / draft[i][token])):
            return (*tokens[:i], chance.draw(target[i]))
    return (*tokens, chance.draw(target[len(tokens)]))


def _bonus_from_wrong_row(chance, target, draft, tokens):
    return rules.get("token_wise").program(chance, [*target[:-1], target[-2]], draft, tokens)


@pytest.mark.parametrize("program", [_resample_from_target, _bonus_from_wrong_row])
def test_a_defective_rule_is_caught(program):
    target, draft = table(2, 2, floor=1), table(9, 2, floor=1)
    wrong = dataclasses.replace(rules.get("token_wise"), program=program)
    assert distance(decoded_law(wrong, target, draft, 2, 3), target, 3) > 0


# --- exact in float: the decoder with the rule's real verify ---------------------------------------------------------


def record_of_round(target, draft, name, draft_length, key=by_round):
    """First round of the real decoder as a function of its uniforms, everything that it shows included."""

    def run(source):
        one = next(
            decode.chain_rounds(
                target,
                draft,
                PROMPT,
                draft_length=draft_length,
                rule=name,
                options=decode.Options(max_tokens=draft_length + 1),
                uniforms=source,
            )
        )
        return one.drafted, one.accepted, one.emitted

    return bisected_law(run, key=key).map(lambda record: record[2])


@pytest.mark.parametrize("name", CHAIN_RULES)
@pytest.mark.parametrize(("seeds", "draft_length"), [((2, 9), 2), ((3, 4), 1)])
def test_round_law_with_the_real_uniforms(name, seeds, draft_length):
    """Which uniform decides what: law over all uniforms of a round, completed by the target, within 1e-9."""
    target, draft = table(seeds[0], 2, floor=1), table(seeds[1], 2, floor=1)
    law = record_of_round(target, draft, name, draft_length)
    assert abs(law.mean(lambda emitted: 1) - 1) < 1e-9
    goal, length = following(target, PROMPT), draft_length + 1
    assert rules.completed(law, goal, length).total_variation(rules.text_law(goal, length)) < 1e-9
    exact_law = rules.round_law(rules.get(name), goal, following(draft, PROMPT), range(-1, draft_length - 1))
    assert law.total_variation(exact_law) < 1e-9  # not only lossless: the rule's own law


@pytest.mark.parametrize("name", CHAIN_RULES)
def test_drafting_and_accepting_with_one_stream_is_caught(name):
    target, draft = table(2, 2, floor=1), table(9, 2, floor=1)
    law = record_of_round(target, draft, name, 1, key=one_stream)
    goal = following(target, PROMPT)
    assert rules.completed(law, goal, 2).total_variation(rules.text_law(goal, 2)) > 0.01


# --- sampled: the decoder as it runs, Philox included ----------------------------------------------------------------

TEXTS, LENGTH, FALSE_ALARM = 1200, 3, 1e-6


def chi_square(texts: list[tuple[int, ...]], law: Law) -> float:
    counts = dict.fromkeys(law, 0)
    for text in texts:
        counts[text] += 1
    return sum((counts[o] - len(texts) * float(p)) ** 2 / (len(texts) * float(p)) for o, p in law.items())


def sampled(name, target, draft, source=keyed):
    found = []
    for request in range(TEXTS):
        options = decode.Options(max_tokens=LENGTH, seed=20261120, request=request)
        uniforms = source(options.seed, request)
        if name == "autoregressive":
            done = decode.autoregressive(target, PROMPT, options=options, uniforms=uniforms)
        else:
            done = decode.chain(target, draft, PROMPT, draft_length=2, rule=name, options=options, uniforms=uniforms)
        found.append(done.tokens)
    return found


def shared_stream(seed, request):
    """`one_stream` on the real generator."""
    source = keyed(seed, request)
    return lambda position, stream, count: source(position, Stream.DRAFT if stream == Stream.ACCEPT else stream, count)


@pytest.mark.parametrize("name", ["autoregressive", *CHAIN_RULES])
def test_sampled_texts_follow_the_targets_law(name):
    """Chi-square over the joint law of three tokens, 1,200 texts, critical value at a false-alarm rate of 1e-6.

    Power: against the planted defect of one shared stream (its exact law is computed on the spot) the test must fail
    with probability above 0.999, and it does.
    """
    target, draft = table(2, 2, floor=1), table(9, 2, floor=1)
    goal = following(target, PROMPT)
    law = rules.text_law(goal, LENGTH)
    critical = stats.chi2.isf(FALSE_ALARM, len(law) - 1)
    assert chi_square(sampled(name, target, draft), law) < critical
    if name != "autoregressive":
        biased = rules.completed(record_of_round(target, draft, name, 2, key=one_stream), goal, LENGTH)
        shift = TEXTS * sum((float(biased[o]) - float(p)) ** 2 / float(p) for o, p in law.items())
        assert stats.ncx2.sf(critical, len(law) - 1, shift) > 0.999
        assert chi_square(sampled(name, target, draft, shared_stream), law) > critical
