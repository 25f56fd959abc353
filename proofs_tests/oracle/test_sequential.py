"""The sequential test: its error rates by enumeration, its power at the stated sample sizes, and planted defects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from specmath import rules
from specmath.oracle.sampled import evidence, sequential
from specmath.oracle.sampled.evidence import Evidence
from specmath.oracle.sampled.sequential import Sequential, samples_needed, sequential_test

LAWS = [
    {0: 0.5, 1: 0.5},
    {0: 0.9, 1: 0.1},
    {(0, 0): 0.2, (0, 1): 0.3, (1, 0): 0.45, (1, 1): 0.05},
    {(0,): 0.25, (1, 0): 0.5, (1, 1): 0.25},
]
SURE = 1 - 1e-9
"""Power that is asked for where a run must end as said: a correct test fails once in 10^9 runs."""


def sequences(law: dict[Any, float], length: int) -> Iterator[tuple[tuple[Hashable, ...], float]]:
    """All sequences of outcomes and their probabilities."""
    for outcomes in product(law, repeat=length):
        yield outcomes, math.prod(law[outcome] for outcome in outcomes)


def seen(law: dict[Any, float], outcomes: Iterable[Hashable], others: Any = None) -> Evidence:
    found = Evidence(law, others)
    found.update(outcomes)
    return found


def mean_of_e_value(law: dict[Any, float], length: int, others: Any = None) -> float:
    """E[M] under the reference, over all sequences."""
    return sum(mass * math.exp(seen(law, outcomes, others).log_e_value) for outcomes, mass in sequences(law, length))


@pytest.mark.parametrize("law", LAWS)
def test_e_value_is_a_martingale(law: dict[Any, float]) -> None:
    """Mean one at every length, and the mean over the next outcome is the value now: Ville's inequality follows."""
    others = {"flat": dict.fromkeys(law, 1 / len(law)), "first": {next(iter(law)): 1.0}}
    for length in (1, 4):
        assert mean_of_e_value(law, length) == pytest.approx(1, abs=1e-9)
        assert mean_of_e_value(law, length, others) == pytest.approx(1, abs=1e-9)
    for outcomes, _ in list(sequences(law, 3))[::5]:
        following = sum(p * math.exp(seen(law, (*outcomes, x), others).log_e_value) for x, p in law.items())
        assert following == pytest.approx(
            math.exp(seen(law, outcomes, others).log_e_value), rel=1e-9
        )  # lgamma of a million has 1e-10


def test_best_in_hindsight_is_no_martingale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: the largest of the ratios instead of their mean, an e-value that lies."""
    monkeypatch.setattr(evidence, "_log_mean", max)
    assert mean_of_e_value(LAWS[0], 4) > 1.05


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("missed", [0.5, 0.1])
def test_interval_misses_as_stated(law: dict[Any, float], missed: float) -> None:
    """For any law Q, the probability that the interval ever leaves out TV(Q, P), over all sequences up to a length."""
    generator = np.random.default_rng(0)
    others = [dict(zip(law, generator.dirichlet(np.full(len(law), 0.4)), strict=True)) for _ in range(3)]
    for other in [law, *others]:
        assert missed_mass(law, other, missed, 6 if len(law) == 4 else 12) <= missed


def missed_mass(law: dict[Any, float], other: dict[Any, float], missed: float, length: int) -> float:
    """P(the interval ever leaves out TV(Q, P)) within ``length`` outcomes of Q; it depends on the counts alone."""
    distance = sum(abs(law[x] - other[x]) for x in law) / 2
    cells, lost = list(law), 0.0
    alive = {(0,) * len(law): 1.0}  # counts -> mass of the sequences that were never missed
    for _ in range(length):
        grown: dict[tuple[int, ...], float] = {}
        for counts, mass in alive.items():
            for place, outcome in enumerate(cells):
                after = (*counts[:place], counts[place] + 1, *counts[place + 1 :])
                grown[after] = grown.get(after, 0.0) + mass * other[outcome]
        alive = {}
        for counts, mass in grown.items():
            low, high = seen(law, Counter(dict(zip(cells, counts, strict=True))).elements()).interval(missed)
            if low <= distance <= high:
                alive[counts] = mass
            else:
                lost += mass
    return lost


def test_interval_of_the_empirical_law_alone_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: a radius without the price of looking at the best law in hindsight."""
    wrong = lambda self, missed: (  # noqa: E731
        max(self.total_variation - math.sqrt(math.log(1 / missed) / (8 * self.samples)), 0.0),
        self.total_variation + math.sqrt(math.log(1 / missed) / (8 * self.samples)),
    )
    monkeypatch.setattr(Evidence, "interval", wrong)
    assert missed_mass(LAWS[0], LAWS[0], 0.1, 8) > 0.1


@pytest.mark.parametrize(("cells", "n"), [(2, 9), (3, 7), (5, 5)])
def test_regret_is_largest_where_all_outcomes_are_equal(cells: int, n: int) -> None:
    """log F - log Dirichlet(1/2) over all count vectors: at most R, and equal to it in a corner."""
    law = np.full(cells, 1 / cells)
    regrets = {}
    for outcomes in product(range(cells), repeat=n):
        counts = np.array([outcomes.count(x) for x in range(cells)])
        shares = counts[counts > 0] / n
        best = float(n * np.sum(shares * np.log(shares * cells)))
        regrets[tuple(counts)] = best - evidence._dirichlet(counts, law, np.full(cells, 0.5))
    stated = math.lgamma(n + cells / 2) + math.lgamma(0.5) - math.lgamma(n + 0.5) - math.lgamma(cells / 2)
    assert max(regrets.values()) == pytest.approx(stated, abs=1e-9)
    assert regrets[(n, *[0] * (cells - 1))] == pytest.approx(stated, abs=1e-9)


@pytest.mark.parametrize("law", [[0.5, 0.5], [0.01, 0.99], [0.6, 0.3, 0.1], [0.25] * 4])
def test_divergence_is_below_a_gamma_variable(law: list[float]) -> None:
    """E exp(t n KL(F, P)) <= (1 - t)^-(k - 1) by enumeration of count vectors, the bound that `accept` rests on."""
    for n in (1, 4, 9):
        vectors = Counter(tuple(row.count(x) for x in range(len(law))) for row in product(range(len(law)), repeat=n))
        for t in (0.2, 0.5, 0.9):
            total = 0.0
            for counts, ways in vectors.items():
                divergence = sum(c * math.log(c / n / p) for c, p in zip(counts, law, strict=True) if c)
                total += ways * math.prod(p**c for c, p in zip(counts, law, strict=True)) * math.exp(t * divergence)
            assert total <= (1 - t) ** -(len(law) - 1) * (1 + 1e-12)


def joint(size: int, length: int, seed: int) -> dict[tuple[int, ...], float]:
    """A law of ``length`` tokens."""
    weights = np.random.default_rng(seed).dirichlet(np.full(size**length, 0.7))
    return dict(zip(product(range(size), repeat=length), weights.tolist(), strict=True))


def draws(law: dict[Any, float], seed: int) -> Callable[[int], list[Any]]:
    generator, cells, weights = np.random.default_rng(seed), list(law), np.array(list(law.values()))
    return lambda count: [cells[i] for i in generator.choice(len(cells), size=count, p=weights / weights.sum())]


def moved(law: dict[Any, float], distance: float, cells: int) -> dict[Any, float]:
    """The law with mass ``distance`` moved from its likeliest outcomes to the ``cells`` next ones."""
    ranked = sorted(law, key=lambda x: -law[x])
    found, left = dict(law), distance
    for giver in ranked:
        taken = min(left, law[giver] * 0.6)
        found[giver], left = law[giver] - taken, left - taken
    for taker in ranked[-cells:]:
        found[taker] += distance / cells
    return found


@pytest.mark.parametrize(("size", "length", "tolerance"), [(2, 3, 0.1), (4, 2, 0.1), (4, 3, 0.15)])
def test_stops_by_the_stated_sample_sizes(size: int, length: int, tolerance: float) -> None:
    law = joint(size, length, seed=size + length)
    needed = samples_needed(law, tolerance=tolerance, power=SURE)
    found = sequential_test(draws(law, 1), law, tolerance=tolerance)
    assert (found.status, found.samples <= needed.accept) == ("lossless", True)
    assert found.high <= tolerance
    for cells in (1, 3):
        other = moved(law, tolerance, cells)
        found = sequential_test(draws(other, 2), law, tolerance=tolerance)
        assert (found.status, found.samples <= needed.reject) == ("biased", True)
        assert found.low <= sum(abs(law[x] - other[x]) for x in law) / 2 <= found.high


def test_the_stated_sample_size_is_not_idle() -> None:
    """A tenth of the samples is too few, for the reference and for a law whose difference is spread over all cells."""
    law = dict.fromkeys(range(16), 1 / 16)
    hard = {x: (1.2 if x % 2 else 0.8) / 16 for x in law}
    needed = samples_needed(law, tolerance=0.1, power=SURE)
    for sampled, enough in ((law, needed.accept // 10), (hard, needed.reject // 10)):
        found = sequential_test(draws(sampled, 3), law, tolerance=0.1, limit=enough)
        assert found.status == "undecided"


TARGET = np.array([0.45, 0.3, 0.15, 0.1])
DRAFT = np.array([0.15, 0.2, 0.25, 0.4])
PAIRS = {pair: float(TARGET[pair[0]] * TARGET[pair[1]]) for pair in product(range(4), repeat=2)}


def decoder(shared: bool, seed: int) -> Callable[[int], list[tuple[int, ...]]]:
    """Two tokens by a chain of one draft and a bonus; ``shared``: the residual takes the draft's uniform again."""
    generator, verify = np.random.default_rng(seed), rules.get("token_wise").verify

    def run(count: int) -> list[tuple[int, ...]]:
        coins = generator.random((count, 4))
        tokens = np.minimum(np.searchsorted(np.cumsum(DRAFT), coins[:, 0], side="right"), 3)
        if shared:
            coins[:, 2] = coins[:, 0]
        target, draft = (np.broadcast_to(law, (count, rows, 4)) for law, rows in ((TARGET, 2), (DRAFT, 1)))
        emitted = verify(target, draft, tokens[:, None], coins[:, 1:3], check=False).tokens
        completion = np.minimum(np.searchsorted(np.cumsum(TARGET), coins[:, 3], side="right"), 3)
        second: NDArray[Any] = np.where(emitted[:, 1] < 0, completion, emitted[:, 1])
        return [(int(a), int(b)) for a, b in zip(emitted[:, 0], second, strict=True)]

    return run


def test_a_shared_stream_is_seen_with_the_draft_inside() -> None:
    """Each function is right; only the joint law of draft draw and verification shows the defect."""
    assert sequential_test(decoder(shared=False, seed=4), PAIRS).status == "lossless"
    found = sequential_test(decoder(shared=True, seed=4), PAIRS)
    assert found.status == "biased"
    assert found.samples < 5000


def test_a_known_defect_is_named() -> None:
    kept = np.minimum(TARGET, DRAFT)
    wrong = kept + (1 - kept.sum()) * TARGET
    law, others = ({x: float(p) for x, p in enumerate(one)} for one in (TARGET, wrong))
    far = {"residual taken from the target": others, "no test at all": {x: float(p) for x, p in enumerate(DRAFT)}}
    found = sequential_test(draws(others, 5), law, alternatives=far)
    assert (found.status, found.cause) == ("biased", "residual taken from the target")
    assert str(found).endswith("matches: residual taken from the target")
    assert found.samples <= sequential_test(draws(others, 5), law).samples
    assert sequential_test(draws({0: 1.0}, 5), law, alternatives=far).cause is None


def test_one_impossible_outcome_is_enough() -> None:
    found = sequential_test(lambda count: [7] * count, {0: 1.0, 7: 0.0})
    assert (found.status, found.impossible, found.samples) == ("biased", 7, 64)
    assert str(found).startswith("biased: 7 has probability 0")


def test_looks_after_every_batch_and_reports_progress() -> None:
    told: list[tuple[int, float]] = []
    found = sequential_test(
        draws({0: 0.5, 1: 0.5}, 6), {0: 0.5, 1: 0.5}, limit=1000, progress=lambda *now: told.append(now)
    )
    assert [samples for samples, _ in told] == list(sequential.ends(1000))
    assert told[-1] == (1000, found.high)
    assert isinstance(found, Sequential)
    assert found.status == "undecided"
    assert str(found).startswith("undecided: neither refuted nor within 0.05 (1000 samples")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reference": {0: 0.5}}, "reference sums to 0.5"),
        ({"reference": {0: 1.5, 1: -0.5}}, "reference: probability -0.5 of 1"),
        ({"reference": [0.5, 0.5]}, "reference is list; allowed is a mapping"),
        ({"tolerance": 0.0}, "tolerance is 0.0; allowed"),
        ({"false_alarm": 1.0}, "false_alarm is 1.0; allowed"),
        ({"missed": -1.0}, "missed is -1.0; allowed"),
        ({"alternatives": {"wrong": {0: 2}}}, r"alternatives\['wrong'\] sums to 2"),
        ({"sample": lambda count: [0]}, r"sample\(64\) returned 1 outcomes"),
        ({"limit": 0}, "limit"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"sample": lambda count: [0] * count, "reference": {0: 1.0}} | arguments
    with pytest.raises(ValueError, match=message):
        sequential_test(**given)
    if "power" not in arguments and "sample" not in arguments:
        with pytest.raises(ValueError, match="power is 1"):
            samples_needed({0: 1.0}, power=1)
