"""Draft laws sampled: ordered tuples against the exact law, frequencies of lying inside a set against ``inside``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from proofs_tests.laws import Instance
from proofs_tests.statistical import simulate
from proofs_tests.statistical.cases import NODE
from specmath import draft_laws

ROUNDS = 100_000


def case(name: str) -> Instance:
    return Instance(5, name, (-1,) * (2 if name == "hub" else 3), NODE)


def turned(instance: Instance) -> Instance:
    """The defect: the draft's tokens are moved by one place."""
    return replace(instance, pairs=tuple((target, (*draft[1:], draft[0])) for target, draft in instance.pairs))


def tuples(instance: Instance, seed: int) -> np.ndarray:
    return simulate.drafted(instance, ROUNDS, np.random.default_rng(seed))[0]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.claim(f"sample/{name}", "statistical")) for name in draft_laws.names()],
)
def test_law_of_the_ordered_tuple(name: str) -> None:
    """125 (25) cells, 1e-6; the defect's total variation from the claimed law is above 0.1."""
    instance, wrong = case(name), turned(case(name))
    n, law = len(instance.parents), draft_laws.get(name)
    claimed, truth = (simulate.vector(law.law(x.draft(()), n), 5, n) for x in (instance, wrong))
    weights = 5 ** np.arange(n)[::-1]

    def counts(shown: Instance) -> np.ndarray:
        return np.bincount(tuples(shown, 0) @ weights, minlength=5**n)

    assert not simulate.alarm(counts(instance), claimed)
    assert np.abs(truth - claimed).sum() / 2 > 0.1
    assert simulate.power(truth, claimed, ROUNDS) > simulate.POWER
    assert simulate.alarm(counts(wrong), claimed)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.claim(f"inside/{name}", "statistical")) for name in draft_laws.names()],
)
def test_probability_of_lying_inside(name: str) -> None:
    """Every set of tokens; 1e-6 in all, shared among the 32 sets."""
    instance, wrong = case(name), turned(case(name))
    n, law = len(instance.parents), draft_laws.get(name)
    sets = [np.array([number >> token & 1 for token in range(5)], dtype=bool) for number in range(32)]

    def alarms(shown: Instance) -> list[bool]:
        drawn = tuples(shown, 1)
        draft = np.array(instance.draft(()), dtype=float)
        found = []
        for members in sets:
            inside = float(law.inside(draft, n, members))
            hits = int(np.sum(np.all(members[drawn], axis=-1)))
            counts = np.array([ROUNDS - hits, hits])
            found.append(simulate.alarm(counts, np.array([1 - inside, inside]), false_alarm=simulate.FALSE_ALARM / 32))
        return found

    assert not any(alarms(instance))
    assert any(alarms(wrong))
