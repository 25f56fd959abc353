"""The law of the decoders as they run, Philox and the real verify included: sampled, with stated error and power."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from proofs_tests.decode.bisection import first_round
from proofs_tests.decode.coins import accept_is_draft, bonus_is_draft
from proofs_tests.decode.exact_law import play
from proofs_tests.decode.harness import CHAIN_RULES, following, table
from reference import decode, drafters
from reference.random import Keyed, Stream
from specmath import exact, rules
from specmath.exact import Law

PROMPT, LENGTH = (1, 0), 3
TEXTS, FALSE_ALARM, POWER = 600, 1e-6, 0.999
TARGET, DRAFT = table(2, 2, floor=1), table(9, 2, floor=1)
LAW = rules.text_law(following(TARGET, PROMPT), LENGTH)
CRITICAL = float(stats.chi2.isf(FALSE_ALARM, len(LAW) - 1))

MAKE = {
    "autoregressive": lambda: None,
    "chain": lambda: drafters.chain(DRAFT, 2),
    "paths": lambda: drafters.paths(DRAFT, 2, 2, drafts="iid"),
    "level": lambda: drafters.tree(DRAFT, (2,), drafts="iid"),
    "distinct": lambda: drafters.tree(DRAFT, (2,), drafts="without_replacement"),
    "tree": lambda: drafters.tree(DRAFT, (2, 2), drafts="iid"),
    "best first": lambda: drafters.best_first(DRAFT, nodes=3, depth=2, width=2),
}
CASES = [
    ("autoregressive", None, "coupled"),
    ("autoregressive", None, "rejection"),
    ("chain", None, "coupled"),
    *(("chain", rule, "rejection") for rule in CHAIN_RULES),
    ("level", "optimal", "rejection"),
    ("tree", "recursive", "rejection"),
    ("best first", None, "rejection"),
    pytest.param("tree", "traversal", "rejection", marks=pytest.mark.slow),
    pytest.param("tree", None, "coupled", marks=pytest.mark.slow),
    pytest.param("distinct", "optimal", "rejection", marks=pytest.mark.slow),
    pytest.param("paths", "optimal_paths", "rejection", marks=pytest.mark.slow),
    pytest.param("paths", "conditional_transport", "rejection", marks=pytest.mark.slow),
    pytest.param("paths", "multipath_block", "rejection", marks=pytest.mark.slow),
    pytest.param("tree", "k_seq", "rejection", marks=pytest.mark.slow),
]


def g_statistic(texts: list[tuple[int, ...]]) -> float:
    """2 sum O log(O / E) over the outcomes of a law without zeros."""
    counts = dict.fromkeys(LAW, 0)
    for text in texts:
        counts[text] += 1
    return 2 * sum(seen * np.log(seen / (len(texts) * float(LAW[text]))) for text, seen in counts.items() if seen)


def sampled(kind, rule, randomness, source=Keyed, texts=TEXTS):
    found = []
    for request in range(texts):
        options = decode.Options(max_tokens=LENGTH, seed=20261120, request=request, randomness=randomness)
        stream = decode.stream(
            TARGET, PROMPT, drafter=MAKE[kind](), rule=rule, options=options, uniforms=source(20261120, request)
        )
        found.append(decode.collect(stream).tokens)
    return found


@pytest.mark.parametrize(("kind", "rule", "randomness"), CASES)
def test_sampled_texts_follow_the_targets_law(kind, rule, randomness):
    """G-test over the joint law of three tokens, 600 texts, critical value at a false-alarm rate of 1e-6."""
    assert g_statistic(sampled(kind, rule, randomness)) < CRITICAL


def rekeyed(key):
    """The real generator under the names of a defective key."""

    def make(seed, request):
        source = Keyed(seed, request)

        def numbers(position, stream, count):
            return np.array(
                [source(*(int(part) for part in key(position, stream, i)[:2]), i + 1)[i] for i in range(count)]
            )

        return numbers

    return make


def power(biased: Law, texts: int = TEXTS) -> float:
    shift = texts * sum((float(biased[text]) - float(p)) ** 2 / float(p) for text, p in LAW.items())
    return float(stats.ncx2.sf(CRITICAL, len(LAW) - 1, shift))


@pytest.mark.slow
@pytest.mark.parametrize("rule", CHAIN_RULES)
def test_one_stream_for_drafts_and_accept_tests_is_caught(rule):
    """Power: the exact law of the defective decoder's first round is computed; the test fails with P above 0.999."""
    law = first_round(TARGET, MAKE["chain"](), rule, PROMPT, LENGTH, key=accept_is_draft, grid=8)
    texts = 2 * TEXTS
    assert power(rules.completed(law, following(TARGET, PROMPT), LENGTH), texts) > POWER
    assert g_statistic(sampled("chain", rule, "rejection", rekeyed(accept_is_draft), texts)) > CRITICAL


def test_a_bonus_that_is_drawn_with_a_drafts_number_is_caught():
    """Power as above, from the exact law of the whole text over Fractions."""
    options = decode.Options(max_tokens=LENGTH)
    law = exact.law(play(TARGET, MAKE["level"](), PROMPT, "recursive", options, key=bonus_is_draft))
    assert power(law) > POWER
    assert g_statistic(sampled("level", "recursive", "rejection", rekeyed(bonus_is_draft))) > CRITICAL


def test_noise_that_drafts_do_not_share_with_the_target_biases_nothing():
    """The planted defect that is none: coupled text follows the target whatever the drafter takes for noise."""

    def other(seed, request):
        source, drafts = Keyed(seed, request), Keyed(seed + 1, request)
        return lambda position, stream, count: (drafts if stream == Stream.DRAFT else source)(position, stream, count)

    options = decode.Options(max_tokens=LENGTH)
    drafter = drafters.chain(DRAFT, 2, drafts="iid")
    for request in range(50):
        plain = decode.stream(TARGET, PROMPT, options=options, uniforms=other(1, request))
        drafted = decode.stream(TARGET, PROMPT, drafter=drafter, options=options, uniforms=other(1, request))
        assert decode.collect(plain).tokens == decode.collect(drafted).tokens
