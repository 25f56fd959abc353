"""Speculative decoding is plain decoding, on every rung, for whatever hypothesis thinks of."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.equivalence import cases, defects_state
from proofs_tests.equivalence.cases import Case, Text
from proofs_tests.equivalence.ladder import RUNGS, Report, climb, compare
from proofs_tests.equivalence.runs import World, alone
from proofs_tests.equivalence.scripted import Node, Script
from proofs_tests.numerics.helpers import threads
from reference.decode import Options
from specmath.logits import law_from_logits

COUNTED = {"bits", "logits", "greedy", "sampled", "logprobs", "rounds", "draft"}


def weigh(seen: Counter[str]) -> list[str]:
    """What is wrong with a set of examples: rungs that were not climbed, rounds that accept or reject too little.

    A quarter of the rounds must accept. Examples are chosen anew in every run: seen were shares from 0.47 to 0.8.
    """
    found = [f"rung {rung} was not looked at" for rung in sorted(COUNTED) if not seen[rung]]
    if not seen["accepted nodes"] or not seen["rejected nodes"]:
        found.append(f"{seen['accepted nodes']} nodes accepted, {seen['rejected nodes']} rejected")
    if 4 * seen["accepting rounds"] < seen["drafting rounds"]:
        found.append(f"only {seen['accepting rounds']} of {seen['drafting rounds']} rounds accept a token")
    if not seen["mixed rounds"]:
        found.append("no round accepts one node and rejects another")
    return found


@pytest.mark.claim("equivalence/coupled", "exact")
@pytest.mark.parametrize(("arithmetic", "examples"), [("exact64", 100), ("int8", 60)])
def test_decoding_is_plain_decoding(arithmetic: str, examples: int, device: str) -> None:
    seen = explore(arithmetic, examples if device == "cpu" else 25, device)
    assert weigh(seen) == []


@pytest.mark.slow
@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_decoding_is_plain_decoding_more_often(arithmetic: str) -> None:
    assert weigh(explore(arithmetic, 600, "cpu")) == []


def explore(arithmetic: str, examples: int, device: str) -> Counter[str]:
    """Climb with so many examples; what was seen, over all of them."""
    seen: Counter[str] = Counter()

    @settings(max_examples=examples)
    @given(cases.cases(arithmetic=st.just(arithmetic)))
    def check(case: Case) -> None:
        report = climb(World(case, device))
        seen.update(report.seen)
        assert report.failed == {}

    check()
    return seen


@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_cases_in_which_much_happens(arithmetic: str, device: str) -> None:
    """Long texts, drafters of every kind beside each other, joins, preemption, resumption."""
    seen = many((cases.at_random(random.Random(seed), arithmetic) for seed in range(8)), device)
    assert weigh(seen) == []


@pytest.mark.slow
@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_more_cases_in_which_much_happens(arithmetic: str) -> None:
    assert weigh(many((cases.at_random(random.Random(seed), arithmetic) for seed in range(8, 150)), "cpu")) == []


def many(chosen: Iterable[Case], device: str) -> Counter[str]:
    seen: Counter[str] = Counter()
    for case in chosen:
        report = climb(World(case, device))
        assert report.failed == {}, case
        seen.update(report.seen)
    return seen


@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_two_threads(arithmetic: str, device: str) -> None:
    """Matrices large enough to be shared among threads; the judge's runs have one."""
    script: Script = (tuple(Node(up, up != 1, up) for up in (0, 0, 1, 0, 2, 3, 0, 1) * 4),)
    texts = tuple(
        Text((seed, 5, 0), Options(max_tokens=5, seed=seed, temperature=temperature), script)
        for seed, temperature in [(0, 0.0), (1, 1.0)]
    )
    report = climb(World(Case("broad", arithmetic, texts, rows=2, threads=2), device))
    assert report.failed == {}
    assert report.seen["mixed rounds"]


def test_laws_of_large_vocabularies() -> None:
    """A row's law has the same bits alone and among others, with two threads; a sum that torch shares out has not."""
    logits = torch.randn(9, 70_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    options = Options(temperature=0.8, top_p=0.9)

    def differ(laws: Callable[[torch.Tensor], Any]) -> int:
        together = laws(logits)
        return sum(not bool((laws(logits[row : row + 1])[0] == together[row]).all()) for row in range(9))

    with threads(2):
        assert differ(lambda rows: options.laws("target", rows.numpy())) == 0
        assert differ(lambda rows: law_from_logits(rows, temperature=0.8, top_p=0.9)) > 0


def test_native_arithmetic_fails() -> None:
    """The control: with the library's own kernels the same cases fail, on the rungs of bits, in nearly every case."""
    failed = Counter(
        rung for seed in range(6) for rung in climb(World(cases.at_random(random.Random(seed), "native"))).failed
    )
    assert failed["bits"] == 6
    assert failed["logits"] == 6
    assert failed["error"] == 0
    assert failed["rounds"] < 6, "tokens hardly ever differ: a suite that compares tokens would not have noticed"


def test_one_sided_examples_are_reported() -> None:
    """The conditions on the examples themselves."""
    good = Counter(dict.fromkeys(COUNTED, 1)) | Counter(
        {"accepted nodes": 5, "rejected nodes": 5, "drafting rounds": 4, "accepting rounds": 2, "mixed rounds": 1}
    )
    assert weigh(good) == []
    for name, value, said in [
        ("accepting rounds", 0, "only 0 of 4 rounds accept a token"),
        ("mixed rounds", 0, "no round accepts one node and rejects another"),
        ("rejected nodes", 0, "5 nodes accepted, 0 rejected"),
        ("draft", 0, "rung draft was not looked at"),
    ]:
        assert weigh(Counter({**good, name: value})) == [said]


def test_acceptance_patterns_shrink() -> None:
    """With a mask that leaks a sibling, the smallest script that fails: two siblings, of which one is kept."""
    options = Options(max_tokens=4, temperature=0.0)

    def fails(script: Script) -> bool:
        world = World(Case("full", "exact64", (Text((1,), options, script),)))
        with defects_state.sibling_is_seen():
            run = alone(world)
        report = Report()
        compare(report, world, 0, run, "")
        return "bits" in report.failed

    smallest = hypothesis.find(cases.scripts, fails, settings=settings(max_examples=60))
    assert [len(nodes) for nodes in smallest if nodes] == [2]
    (nodes,) = (nodes for nodes in smallest if nodes)
    assert nodes[1].up == 1, "the second node hangs beside the first"
    assert nodes[1].agrees
    in_a_row = tuple(tuple(node._replace(up=0) for node in nodes) for nodes in smallest)
    assert not fails(in_a_row), "a chain has no siblings"


def test_a_report_keeps_the_first_detail() -> None:
    report = Report()
    report.expect(RUNGS[0], True, "fine")
    report.expect(RUNGS[0], False, "first")
    report.expect(RUNGS[0], False, "second")
    assert report.failed == {"bits": "first"}
    assert report.seen["bits"] == 3
