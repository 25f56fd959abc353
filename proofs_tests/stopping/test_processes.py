"""Acceptance processes: what they state is what they do."""

from __future__ import annotations

import json
from fractions import Fraction as F
from math import comb

import pytest

from proofs_tests.decode.harness import table
from proofs_tests.stopping.instances import COSTS, MARKOV, REGIMES, TABLES
from reference import decode, drafters
from reference.decode import Options
from specmath.stopping import (
    Constant,
    Costs,
    Fixed,
    Markov,
    Observable,
    Position,
    RandomEffect,
    Replay,
    Tables,
    TwoRegime,
    best_fixed,
    blind,
    evaluate,
    solve,
)


def test_the_text_of_the_tables_is_the_target_s() -> None:
    """The next context, kept or corrected, has the target's law: the states of the process are those of a text."""
    for context in ((0,), (1,)):
        after = {state: F(0) for state in ((0,), (1,))}
        for token in TABLES.tokens(context):
            after[token.state] += token.probability * token.acceptance
            for weight, state in token.rejected or ():
                after[state] += token.probability * (1 - token.acceptance) * weight
        assert after == {state: weight for weight, state in TABLES.bonus(context)}
        overlap = sum(map(min, TABLES.target[context], TABLES.draft[context]))
        assert sum(token.probability * token.acceptance for token in TABLES.tokens(context)) == overlap


def test_an_automaton_with_one_context_is_a_constant() -> None:
    tables = Tables({(): [F(1, 2), F(1, 2)]}, {(): [F(1, 4), F(3, 4)]}, order=0)
    for length in range(4):
        found = evaluate(Fixed(length), tables, COSTS).rate
        assert found == evaluate(Fixed(length), Constant(F(3, 4)), COSTS).rate


def test_beta_moments() -> None:
    effect = RandomEffect.beta(5, 2, points=6)
    for power in range(12):
        moment = sum(p * a**power for p, a in zip(effect.probabilities, effect.acceptances, strict=True))
        exact = F(1)
        for place in range(power):
            exact *= F(5 + place, 7 + place)
        assert moment == pytest.approx(float(exact), rel=1e-12)


def test_one_acceptance_fitted_to_a_mixture_is_wrong() -> None:
    """Texts of different acceptance emit more per round than a text of the mean one (Jensen): here by the moments."""
    effect = RandomEffect((F(1, 2), F(1)), (F(1, 2), F(1, 2)))
    seen = blind(effect, 4)
    assert [seen.tokens(k)[0].acceptance for k in range(5)] == [F(3, 4), F(5, 6), F(9, 10), F(17, 18), 0]
    survival = F(1)
    for k in range(4):
        survival *= seen.tokens(k)[0].acceptance
        assert survival == (F(1, 2) ** (k + 1) + 1) / 2 >= F(3, 4) ** (k + 1)


def test_two_regimes_are_a_mixture() -> None:
    survival = F(1)
    for k in range(12):
        survival *= REGIMES.tokens(k)[0].acceptance
        assert survival == REGIMES.genuine * REGIMES.hit ** (k + 1) + (1 - REGIMES.genuine) * REGIMES.miss ** (k + 1)
    hazards = [REGIMES.tokens(k)[0].acceptance for k in range(8)]
    assert hazards == sorted(hazards)  # who has survived is likely genuine


def test_who_sees_nothing_has_a_best_fixed_length() -> None:
    renewal = Markov(MARKOV.acceptances, MARKOV.transition, MARKOV.beginning, renewal=True)
    seen = blind(renewal, 8)
    assert solve(seen, COSTS, horizon=8).rate == best_fixed(renewal, COSTS, horizon=8).found.rate
    tokens, mass = F(1), [MARKOV.beginning[0], MARKOV.beginning[1]]
    for length in range(1, 5):  # 1 + sum over k of beginning (D P)^(k-1) D 1
        kept = [m * a for m, a in zip(mass, MARKOV.acceptances, strict=True)]
        tokens += sum(kept)
        mass = [sum(kept[z] * MARKOV.transition[z][w] for z in range(2)) for w in range(2)]
        assert evaluate(Fixed(length), renewal, COSTS).rate == tokens / COSTS.round(length)


def test_fixed_lengths_over_random_texts() -> None:
    effect = RandomEffect((F(1, 2), F(9, 10)), (F(1, 4), F(3, 4)))
    for length in range(5):
        each = [evaluate(Fixed(length), Constant(a), COSTS).rate for a in effect.acceptances]
        assert evaluate(Fixed(length), effect, COSTS).rate == 1 / (F(1, 4) / each[0] + F(3, 4) / each[1])


def test_replay_of_a_decoded_text() -> None:
    """The acceptances are min(1, p / q) of the two models; the record's JSON gives the same."""
    target, draft = table(1, 4), table(2, 4)
    drafter = drafters.chain(draft, 3, drafts="iid")
    options = Options(max_tokens=25, seed=3)
    found = decode.collect(decode.stream(target, [0], drafter=drafter, rule="token_wise", options=options))
    replay = Replay.of_trace(found.rounds)
    kept = [one for one in found.rounds if one.drafted]
    text, place = [0], 0
    for one in found.rounds:
        if one.drafted:
            for depth, token in enumerate(one.drafted):
                prefix = (*text, *one.drafted[:depth])
                ratio = target.law(prefix)[token] / draft.law(prefix)[token]
                assert replay.acceptances[place][depth] == pytest.approx(min(1, float(ratio)), rel=1e-9)
            place += 1
        text += one.emitted
    assert place == len(kept) == len(replay.acceptances)
    records = [{name: getattr(one, name) for name in _FIELDS} for one in found.rounds]
    assert Replay.of_trace(json.loads(json.dumps(records))) == replay
    tokens = sum(1 + row[0] for row in replay.acceptances) / len(kept)
    assert evaluate(Fixed(1), replay, Costs(0.2)).rate == pytest.approx(tokens / 1.2, rel=1e-12)


_FIELDS = ("drafted", "parents", "draft_logprobs", "target_logprobs")


def test_replay_stops_where_the_record_does() -> None:
    replay = Replay([[1.0, 1.0], [1.0], []])
    assert replay.longest == 2
    assert evaluate(Fixed(9), replay, Costs(0.5)).drafted == pytest.approx(3 / 6)  # 3 drafts, 6 tokens in 3 rounds


def test_position_decay_in_closed_form() -> None:
    process = Position((F(9, 10), F(1, 2)), tail=F(1, 5))
    tokens = 1 + F(9, 10) + F(9, 20) + F(9, 100)
    assert evaluate(Fixed(3), process, COSTS).rate == tokens / COSTS.round(3)


def test_long_runs_are_binomial() -> None:
    """P(a given number of the first four tokens is easy) for a chain without memory, through `Observable`."""
    process = Observable((F(1, 2), F(1)), (F(1, 4), F(3, 4)))
    survival = sum(comb(4, n) * F(1, 4) ** n * F(3, 4) ** (4 - n) * F(1, 2) ** n for n in range(5))
    seen = blind(process, 4)
    product = F(1)
    for k in range(4):
        product *= seen.tokens(k)[0].acceptance
    assert product == survival == process.mean**4


def test_regimes_of_published_lengths() -> None:
    """n-gram drafts on gsm8k, conditional acceptance by place: two regimes are near it, no single rate is."""
    published = (0.157, 0.612, 0.648, 0.679, 0.705, 0.701)
    process = TwoRegime(0.19, 0.71, 0.0273)
    for place, acceptance in enumerate(published):
        assert process.tokens(place)[0].acceptance == pytest.approx(acceptance, abs=0.06)
    assert max(published) - min(published) > 0.5  # a constant misses one of them by more than 0.25
