"""The law of the decoder with n paths on table models: exact over Fractions, and sampled as it runs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from proofs_tests.decode.harness import by_round, following, table
from proofs_tests.decode.paths_harness import exact_paths_program, paths_rules
from reference import decode
from reference.models.table import TableModel, TableState
from reference.random import Stream, keyed
from specmath import exact, rules
from specmath.exact import Law

PROMPT = (1, 0)
CASES = [(*one, drafts) for drafts in ("iid", "without_replacement") for one in paths_rules(drafts)]


def paths_law(rule, target, draft, draft_length, max_tokens, *, n=2, drafts="iid", key=by_round, truth=None) -> Law:
    """Exact law of the tokens that the real decoder emits."""
    play = exact_paths_program(
        target, draft, PROMPT, rule, n, draft_length, max_tokens, drafts=drafts, truth=truth or target, key=key
    )
    return exact.law(play, budget=100_000)


def distance(law: Law, target: TableModel, length: int):
    return law.total_variation(rules.text_law(following(target, PROMPT), length))


# --- exact, over Fractions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "length", "drafts"), CASES)
def test_text_law_is_the_targets(name, length, drafts):
    """Two rounds at least, laws that change with every prefix: TV = 0. Drafts with one possible token are in it."""
    target, draft = table(2, 2, floor=1), table(9, 2)
    assert distance(paths_law(rules.get(name), target, draft, length, 3, drafts=drafts), target, 3) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "length", "drafts"), CASES)
@settings(max_examples=25)
@given(
    seeds=st.tuples(st.integers(0, 2**20), st.integers(0, 2**20)),
    shape=st.sampled_from([(2, 2, 3), (2, 3, 2), (3, 2, 2)]),
    floor=st.integers(0, 1),
)
def test_text_law_is_the_targets_widely(name, length, drafts, seeds, shape, floor):
    size, n, max_tokens = shape
    rule = rules.get(name)
    n = min(n, rule.at_most or n) if rule.layout == "node" else 2
    target, draft = table(seeds[0], size, floor=floor), table(seeds[1], size, floor=floor)
    law = paths_law(rule, target, draft, length, max_tokens, n=n, drafts=drafts)
    assert distance(law, target, max_tokens) == 0


class Linear(TableModel):
    """A model that reads a tree as one chain: each node sees all that stand before it."""

    def start(self):
        return _Linear(self)


class _Linear(TableState):
    def extend(self, tokens, tree=(), parents=()):
        return super().extend(tokens, tree, list(range(-1, len(tree) - 1)))


class Early(TableModel):
    """Tree rows one node early: the law before a candidate is handed out as the law after it."""

    def start(self):
        return _Early(self)


class _Early(TableState):
    def extend(self, tokens, tree=(), parents=()):
        rows = super().extend(tokens, tree, parents)
        above = [len(tokens) + parent for parent in parents]
        return np.concatenate([rows[: len(tokens)], rows[above]]) if len(tree) else rows


@pytest.mark.parametrize(("name", "length"), [("traversal", 2), ("optimal_paths", 2), ("recursive", 1), ("optimal", 1)])
@pytest.mark.parametrize("defect", [Linear, Early])
def test_a_model_that_misreads_trees_is_caught(defect, name, length):
    """Paths of two tokens: what comes after the first one is judged by the wrong law. Paths of one: the bonus token is
    drawn from the wrong law."""
    truth, draft = table(2, 2, floor=1), table(9, 2, floor=1)
    wrong = defect(truth.law, 2)
    assert distance(paths_law(rules.get(name), wrong, draft, length, 3, truth=truth), truth, 3) > 0


def _accepts_the_first(chance, target, draft, tokens):
    return tokens[0]


def _redraws(chance, target, draft, tokens):
    for token in tokens:
        if chance.flip(min(1, target[token] / draft[token])):
            return token
    return chance.draw(target)


@pytest.mark.parametrize("program", [_accepts_the_first, _redraws])
def test_a_defective_rule_is_caught(program):
    target, draft = table(2, 2, floor=1), table(9, 2, floor=1)
    wrong = dataclasses.replace(rules.get("recursive"), program=program)
    assert distance(paths_law(wrong, target, draft, 1, 2), target, 2) > 0


# --- sampled: the decoder as it runs, Philox and the real verify included --------------------------------------------

TEXTS, LENGTH, FALSE_ALARM, POWER = 600, 3, 1e-6, 0.999


def g_statistic(texts: list[tuple[int, ...]], law: Law) -> float:
    """2 sum O log(O / E) over the outcomes of a law without zeros."""
    counts = dict.fromkeys(law, 0)
    for text in texts:
        counts[text] += 1
    return 2 * sum(seen * np.log(seen / (len(texts) * float(law[text]))) for text, seen in counts.items() if seen)


def sampled(rule, target, draft, length, drafts, source=keyed):
    found = []
    for request in range(TEXTS):
        options = decode.Options(max_tokens=LENGTH, seed=20261120, request=request)
        done = decode.paths(
            target,
            draft,
            PROMPT,
            n=2,
            draft_length=length,
            drafts=drafts,
            rule=rule,
            options=options,
            uniforms=source(options.seed, request),
        )
        found.append(done.tokens)
    return found


def bonus_by_the_same_number(seed, request):
    """The planted defect: the bonus token is drawn with the number that drew the first candidate."""
    source = keyed(seed, request)
    return lambda position, stream, count: source(position, Stream.DRAFT if stream == Stream.TARGET else stream, count)


def same_number(position, stream, index):
    return (position, Stream.DRAFT if stream == Stream.TARGET else stream, index)


SAMPLED = [
    ("optimal", 1, "iid"),
    pytest.param("optimal", 1, "without_replacement", marks=pytest.mark.slow),
    pytest.param("optimal_paths", 2, "iid", marks=pytest.mark.slow),
    pytest.param("conditional_transport", 2, "iid", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "length", "drafts"), SAMPLED)
def test_sampled_texts_follow_the_targets_law(name, length, drafts):
    """G-test over the joint law of three tokens, 600 texts, critical value at a false-alarm rate of 1e-6."""
    target, draft = table(2, 2, floor=1), table(9, 2, floor=1)
    law = rules.text_law(following(target, PROMPT), LENGTH)
    critical = stats.chi2.isf(FALSE_ALARM, len(law) - 1)
    assert g_statistic(sampled(name, target, draft, length, drafts), law) < critical


def test_a_bonus_that_is_drawn_with_a_drafts_number_is_caught():
    """Power: the exact law of the defective decoder is computed, and the test fails with probability above 0.999."""
    target, draft = table(2, 2, floor=1), table(9, 2, floor=1)
    law = rules.text_law(following(target, PROMPT), LENGTH)
    critical = stats.chi2.isf(FALSE_ALARM, len(law) - 1)
    biased = paths_law(rules.get("recursive"), target, draft, 1, LENGTH, key=same_number)
    shift = TEXTS * sum((float(biased[text]) - float(p)) ** 2 / float(p) for text, p in law.items())
    assert stats.ncx2.sf(critical, len(law) - 1, shift) > POWER
    texts = sampled("recursive", target, draft, 1, "iid", bonus_by_the_same_number)
    assert g_statistic(texts, law) > critical
