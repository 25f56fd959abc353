"""Passes of every size at which libraries change kernels: trees of so many nodes, batches of so many rows."""

from __future__ import annotations

import functools
import random
from dataclasses import replace

import pytest

from proofs_tests.equivalence.cases import Case, Text
from proofs_tests.equivalence.ladder import Report, compare
from proofs_tests.equivalence.runs import Models, World, alone, together
from proofs_tests.equivalence.scripted import Node, Script
from proofs_tests.numerics.helpers import ROWS
from reference.decode import Batch, Options, Request

NETWORK = "long"


def bushy(size: int, rng: random.Random) -> Script:
    """One tree of ``size`` nodes, below earlier nodes at random: at most a few tokens deep."""
    return (tuple(Node(rng.randint(0, place), rng.random() < 0.7, rng.randint(0, 2)) for place in range(size)),)


@functools.cache
def pool(arithmetic: str, device: str) -> World:
    """Sixty-five texts: a few tokens each, every second at temperature 0, one in five with a tree."""
    rng = random.Random(0)
    texts = []
    for number in range(65):
        options = Options(
            max_tokens=2,
            temperature=0.0 if number % 2 else 0.9,
            seed=rng.getrandbits(64),
            request=number,
            stop=frozenset({number % 19}),
        )
        prompt = tuple(rng.randrange(19) for _ in range(1 + number % 5))
        texts.append(Text(prompt, options, bushy(4, rng) if number % 5 == 0 else ("none",)))
    return World(Case(NETWORK, arithmetic, tuple(texts)), device)


@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_batches_of_every_size(arithmetic: str, device: str) -> None:
    """The first k texts in one batch of k rows, for every k; the first tick reads all of them."""
    world, report = pool(arithmetic, device), Report()
    for rows in ROWS if device == "cpu" else ROWS[::4]:
        some = replace(world.case, texts=world.case.texts[:rows], rows=rows)
        part = object.__new__(World)
        part.__dict__ |= world.__dict__ | {"case": some}
        run = together(part)
        for index in range(rows):
            compare(report, part, index, run, f"{rows} rows, text {index}")
    assert report.failed == {}
    assert report.seen["bits"] >= sum(ROWS if device == "cpu" else ROWS[::4])
    assert report.seen["greedy"] > 100 or device != "cpu"


@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_trees_of_every_size(arithmetic: str, device: str) -> None:
    """A first pass of k tokens: the prompt's one and k - 1 nodes."""
    rng, report = random.Random(1), Report()
    for size in ROWS if device == "cpu" else ROWS[::4]:
        options = Options(max_tokens=16, temperature=rng.choice([0.0, 0.9]), seed=rng.getrandbits(64))
        drafter = bushy(size - 1, rng) if size > 1 else ("none",)
        world = World(Case(NETWORK, arithmetic, (Text((rng.randrange(19),), options, drafter),)), device)
        run = alone(world)
        reads = [read for read, _ in run.targets[0][0].reads]
        assert len(reads[0].tokens) + len(reads[0].tree) == size
        compare(report, world, 0, run, f"{size} tokens")
        report.count(run.rounds[0])
    assert report.failed == {}
    assert 2 * report.seen["accepting rounds"] > report.seen["drafting rounds"]
    assert report.seen["mixed rounds"] > 40 or device != "cpu"


def test_what_a_batch_reads_is_one_pass() -> None:
    """Seventeen rows of one token are seventeen reads in one call of the cache."""
    world = pool("exact64", "cpu")
    some = replace(world.case, texts=tuple(t for t in world.case.texts if not t.scripted)[:17], rows=17)
    models = Models(World(some))
    batch = Batch(models.target, rows=17)
    for text in some.texts:
        batch.submit(Request(prompt=text.prompt, options=text.options))
    batch.step()
    batch.step()
    first, second = models.target.passes
    assert len(first) == 17
    assert second == [1] * len(second)
