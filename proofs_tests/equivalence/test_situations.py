"""Situations that went wrong elsewhere, one by one: each test first shows that the situation occurs."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from proofs_tests.equivalence.cases import Case, Text
from proofs_tests.equivalence.ladder import Report, bare, climb
from proofs_tests.equivalence.runs import World, alone, together
from proofs_tests.equivalence.scripted import Node, Script
from reference.decode import Options

ARITHMETICS = pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
CHAIN: Script = ((Node(),) * 5,)
SIBLINGS: Script = ((Node(), Node(1), Node(0, False), Node(1), Node(0, False, 1), Node(3, False, 1)),)
"""Twice the true token, one below the other's sibling, and twice the same wrong one."""


def good(case: Case, device: str) -> tuple[World, Report]:
    world = World(case, device)
    report = climb(world)
    assert report.failed == {}
    return world, report


def continuation(network: str, arithmetic: str, text: Text, device: str) -> tuple[int, ...]:
    """What follows when nothing stops it."""
    world = World(Case(network, arithmetic, (replace(text, drafter=CHAIN),)), device)
    return world.truths[0][len(text.prompt) :]


@ARITHMETICS
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_stop_token_inside_an_accepted_path(arithmetic: str, temperature: float, device: str) -> None:
    text = Text((2, 0, 5), Options(max_tokens=12, temperature=temperature, seed=9), CHAIN)
    following = continuation("full", arithmetic, text, device)
    stop = next(token for place, token in enumerate(following[:5]) if place and token not in following[:place])
    text = replace(text, options=replace(text.options, stop=frozenset({stop})))
    world, _ = good(Case("full", arithmetic, (text, text)), device)
    last = alone(world).rounds[0][-1]
    assert last.stop_reason == "stop"
    assert last.accepted == len(last.emitted) < len(last.drafted), "the rest of the path was true as well"
    assert last.emitted[-1] == stop


@ARITHMETICS
def test_the_padding_token_is_a_token(arithmetic: str, device: str) -> None:
    """0 pads, ends texts, stands in the prompt and is drafted; beside a text for which it does not end anything."""
    options = Options(max_tokens=10, temperature=1.0, stop=frozenset({0}))
    texts = [Text((0, 0, 3, 0), replace(options, seed=seed), SIBLINGS) for seed in range(12)]
    texts += [Text((0,), Options(max_tokens=10, seed=1), SIBLINGS), Text((0, 0), Options(max_tokens=10), ("lookup", 3))]
    world, _ = good(Case("one", arithmetic, tuple(texts), rows=5), device)
    reasons = [truth.reason for truth in world.judged]
    assert reasons.count("stop") >= 2
    assert "length" in reasons


@ARITHMETICS
def test_the_budget_ends_inside_a_block(arithmetic: str, device: str) -> None:
    """Budgets of 1 to 7 tokens, and paths of five true tokens."""
    texts = tuple(Text((4, 1), Options(max_tokens=most, temperature=0.0), CHAIN) for most in range(1, 8))
    world, _ = good(Case("full", arithmetic, texts, rows=7), device)
    rounds = alone(world).rounds
    assert [sum(len(one.emitted) for one in own) for own in rounds] == list(range(1, 8))
    assert [len(own[0].drafted) for own in rounds] == [0, 1, 2, 3, 4, 5, 5], "as deep as may be emitted, less one"
    assert {own[-1].stop_reason for own in rounds} == {"length"}


@ARITHMETICS
def test_the_context_ends_inside_a_block(arithmetic: str, device: str) -> None:
    """A context of 24 tokens and prompts of 12 to 23."""
    texts = tuple(Text((3,) * length, Options(max_tokens=30, seed=length), CHAIN) for length in range(12, 24))
    world, _ = good(Case("one", arithmetic, texts, rows=4), device)
    rounds = alone(world).rounds
    assert [12 + place + sum(len(one.emitted) for one in own) for place, own in enumerate(rounds)] == [24] * 12
    assert {own[-1].stop_reason for own in rounds} == {"context"}


@ARITHMETICS
def test_repeated_siblings(arithmetic: str, device: str) -> None:
    texts = tuple(Text((1,), Options(max_tokens=9, seed=seed, temperature=0.6), SIBLINGS) for seed in range(4))
    world, report = good(Case("wide", arithmetic, texts, rows=3), device)
    first = alone(world).rounds[0][0]
    below = [(parent, token) for parent, token in zip(first.parents, first.drafted, strict=True)]
    assert len(below) > len(set(below)), "a parent has two children with one token"
    assert report.seen["mixed rounds"]


@ARITHMETICS
def test_ties_go_to_the_lower_token(arithmetic: str, device: str) -> None:
    """Tokens 2i and 2i + 1 have equal logits always, and each of them is drafted."""
    twin: Script = ((Node(), Node(1, False, 0), Node(0, True), Node(2, True)),)
    texts = tuple(Text((token, 2), Options(max_tokens=8, temperature=0.0), twin) for token in (1, 6))
    world, _ = good(Case("ties", arithmetic, texts), device)
    for truth in world.judged:
        assert all(token % 2 == 0 for token in truth.tokens)
        assert all(row[token] == row[token + 1] for row, token in zip(truth.logits, truth.tokens, strict=True))


@ARITHMETICS
def test_rows_with_nothing_in_common(arithmetic: str, device: str) -> None:
    """Temperature 0 beside sampled rows, every drafter, other budgets, stop tokens and seeds; rows join and leave."""
    drafters = [SIBLINGS, ("none",), ("chain", 4), ("tree", (-1, -1, 0, 1, 3)), ("paths", 2, 3), ("lookup", 4)]
    drafters += [("best_first", 7, 3, 2), ("early", 3), ("mapped", 3), ("confident", 5)]
    texts = tuple(
        Text(
            tuple((7 * place + step) % 23 for step in range(1 + place % 4)),
            Options(
                max_tokens=2 + 3 * (place % 4),
                temperature=(0.0, 0.5, 1.0)[place % 3],
                seed=2**64 - 1 - place,
                stop=frozenset({place}),
            ),
            drafter,  # type: ignore[arg-type]
        )
        for place, drafter in enumerate(drafters)
    )
    case = Case("full", arithmetic, texts, rows=4, joins=(0, 0, 1, 1, 2, 3), preempts=((0, 0), (1, 2), (2, 3)))
    _, report = good(replace(case, pauses=(1, 0, 2)), device)
    assert report.seen["greedy"]
    assert report.seen["sampled"]


@ARITHMETICS
def test_order_of_the_batch(arithmetic: str, device: str) -> None:
    """Every order of four texts on one to four rows: the same rounds, token for token and bit for bit."""
    drafters = (SIBLINGS, ("tree", (-1, -1, 0, 1)), ("none",), ("chain", 3))
    texts = tuple(
        Text((place, 3), Options(max_tokens=4 + place, temperature=float(place % 2), seed=place), drafter)  # type: ignore[arg-type]
        for place, drafter in enumerate(drafters)
    )
    expected = dict(zip(texts, map(bare, alone(World(Case("full", arithmetic, texts), device)).rounds), strict=True))
    for number, order in enumerate(permutations(texts)):
        run = together(World(Case("full", arithmetic, order, rows=1 + number % 4), device))
        for text, rounds in zip(order, run.rounds, strict=True):
            assert bare(rounds) == expected[text]


@ARITHMETICS
def test_preempted_at_every_round(arithmetic: str, device: str) -> None:
    """A text taken out of the batch, and saved and resumed alone, after each of its rounds."""
    text = Text((3, 0), Options(max_tokens=9, temperature=0.9, seed=5), SIBLINGS + CHAIN[:1])
    other = Text((8,), Options(max_tokens=12, temperature=0.0), ("chain", 2))
    length = len(alone(World(Case("wide", arithmetic, (text,)), device)).rounds[0])
    assert length > 2
    for step in range(length):
        case = Case("wide", arithmetic, (text, other), preempts=((step, 0),), pauses=(step,))
        good(case, device)


def test_a_single_token_prompt_of_every_token(device: str) -> None:
    texts = tuple(Text((token,), Options(max_tokens=3, seed=token), CHAIN) for token in range(11))
    good(Case("one", "exact64", texts, rows=11), device)
