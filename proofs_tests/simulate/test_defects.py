"""Planted defects of the simulator, and the checks that see them; bad input."""

from __future__ import annotations

import math

import pytest

from proofs_tests.simulate.judges import agrees, consistent, rounds_of
from specmath import speed
from specmath.simulate import Dsi, Overlapped, Pearl, Request, Timing, poisson, simulate
from specmath.simulate.schedules import Serial, chain_of, pass_over
from specmath.simulate.text import Text
from specmath.stopping import Constant, Costs, Hindsight, Markov, Replay, Survival
from specmath.trees import DraftTree

CYCLE = Markov((1.0, 0.0, 0.0), ((0, 1, 0), (0, 0, 1), (1, 0, 0)), (1, 0, 0))
TIMING = Timing(
    verify=speed.Line(1.0, 0.1), draft=speed.Line(0.0, 0.2), overhead=0.05, context=1e-3, prefill=speed.Line(0.0, 0.01)
)


def judged() -> None:
    """All checks of this file, on small runs."""
    ending = [Request(max_tokens=40, arrival=2.0 * number, prompt=5 + number) for number in range(6)]
    consistent(simulate(3, Constant(0.7), TIMING, ending, batch=3), TIMING)
    endless = [Request(max_tokens=10**9)]
    found = simulate(5, Constant(0.8), 0.1, endless, most_rounds=4_000)
    assert agrees(rounds_of(found), speed.speedup(0.8, 5, 0.1))
    # Places 0, 3, 6, .. are kept, the others corrected; a draft, then a bonus token: rounds begin at 0, 2, 3, 5, ..
    places = [one.accepted for one in simulate(1, CYCLE, 0.1, [Request(max_tokens=30)]).trace]
    assert places == [1, 0] * 10


def test_the_simulator_passes() -> None:
    judged()


def bonus_lost(patch) -> None:
    commit = Text.commit

    def without(self, drafts, path, **more):
        return commit(self, drafts, path, own=not drafts or len(path) < len(drafts), **more)

    patch.setattr(Text, "commit", without)


def cost_twice(patch) -> None:
    drafting = Timing.drafting
    patch.setattr(Timing, "drafting", lambda self, steps: 2 * drafting(self, steps))


def batch_paid_by_each(patch) -> None:
    commit = Text.commit
    patch.setattr(Text, "commit", lambda self, *a, seconds, **more: commit(self, *a, seconds=2 * seconds, **more))


def stale_state(patch) -> None:
    patch.setattr(Text, "begin", lambda self, law: None)


def verified_before_drafted(patch) -> None:
    def spans(self, texts, proposals, clock):
        drafting = chain_of(self.timing, max(one.depth for one in proposals), clock)
        return (*drafting, pass_over(self.timing, texts, proposals, clock))

    patch.setattr(Serial, "spans", spans)


def position_forgotten(patch) -> None:
    patch.setattr(Text, "context", property(lambda self: self.request.prompt))


@pytest.mark.parametrize(
    "defect", [bonus_lost, cost_twice, batch_paid_by_each, stale_state, verified_before_drafted, position_forgotten]
)
def test_defects_are_caught(defect, monkeypatch: pytest.MonkeyPatch) -> None:
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        judged()


def test_texts_do_not_depend_on_the_batch() -> None:
    """Batch, clock and arrivals change the times only; the seed changes the texts; equal arguments, equal results."""
    process = Markov((0.9, 0.4), ((0.8, 0.2), (0.3, 0.7)), (0.5, 0.5))

    def texts(seed: int = 0, batch: int = 1, timing: object = 0.1, rate: float = 0.1) -> list:
        requests = poisson(8, rate, max_tokens=50, mean_length=30, seed=7)
        found = simulate(Survival(0.6), process, timing, requests, batch=batch, seed=seed)  # type: ignore[arg-type]
        assert found == simulate(Survival(0.6), process, timing, requests, batch=batch, seed=seed)  # type: ignore[arg-type]
        return sorted((one.request, one.round, one.drafted, one.emitted) for one in found.trace)

    once = texts()
    assert once == texts(batch=4) == texts(timing=Costs(draft=0.3, slot=0.1)) == texts(rate=5.0, batch=8)
    assert once != texts(seed=1)


def test_queue() -> None:
    """One at a time, a text of 10 tokens in 10 steps: arrivals at 0, 4 and 30 wait 0, 6 and 0."""
    requests = [Request(max_tokens=10, arrival=at) for at in (0.0, 4.0, 30.0)]
    found = simulate(0, Constant(0.5), 0.1, requests)
    assert [one.waiting for one in found.requests] == [0, 6, 0]
    assert [one.latency for one in found.requests] == [10, 16, 10]
    assert [one.first_token for one in found.requests] == [1, 7, 1]
    assert (found.busy, found.span, found.throughput, found.speedup) == (30, 40, 0.75, 1)
    assert found.percentiles("latency", (0, 50, 100)) == (10, 10, 16)
    both = simulate(0, Constant(0.5), 0.1, requests, batch=2)
    assert [one.latency for one in both.requests] == [10, 10, 10]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: simulate(-1, Constant(0.5), 0.1), "plan is -1"),
        (lambda: simulate(2, Constant(0.5), -0.1), "timing is -0.1"),
        (lambda: simulate(2, None, 0.1), "process of request 0"),
        (lambda: simulate(2, Constant(0.5), 0.1, []), "requests is empty"),
        (lambda: simulate(2, Constant(0.5), 0.1, [None]), "requests"),  # type: ignore[list-item]
        (lambda: simulate(2, Constant(0.5), 0.1, batch=0), "batch is 0"),
        (lambda: simulate(2, Constant(0.5), 0.1, most_rounds=0), "most_rounds is 0"),
        (lambda: simulate(2, Constant(0.5), 0.1, batch=2, overlap=Pearl()), "batch is 2"),
        (lambda: simulate(Survival(0.5), Constant(0.5), 0.1, overlap=Pearl()), "plan"),
        (lambda: simulate(0, Constant(0.5), 0.1, overlap=Dsi()), "plan"),
        (lambda: simulate(2, Constant(0.5), 0.1, overlap="pearl"), "overlap is 'pearl'"),  # type: ignore[arg-type]
        (lambda: simulate(Hindsight(), Constant(0.5), 0.1), "hindsight"),
        (lambda: simulate(DraftTree((-1,), (0.5,), (0,)), Constant(0.5), 0.1), "process of request 0"),
        (lambda: simulate(DraftTree((-1, -1), (0.6, 0.6), (0, 1)), None, 0.1), "children of node -1"),
        (lambda: simulate(3, Replay([[0.5, 0.5]]), 0.1, overlap=Pearl()), "process ends"),
        (lambda: simulate(2, Constant(0.5), Timing(lambda t: 0.0, lambda k: 0.1)), "verify"),
        (lambda: simulate(2, Constant(0.5), Timing(lambda t: 1.0, lambda k: math.nan)), "draft"),
        (lambda: simulate(2, Constant(0.5), Timing(lambda t: 1.0, lambda k: 0.1, 1.0), overlap=Dsi()), "overhead"),
        (lambda: Timing(1.0, lambda k: 0.1), "verify is 1.0"),  # type: ignore[arg-type]
        (lambda: Request(max_tokens=0), "max_tokens is 0"),
        (lambda: Request(stop=0), "stop is 0"),
        (lambda: Request(arrival=-1.0), "arrival is -1.0"),
        (lambda: poisson(3, 0.0), "rate is 0.0"),
        (lambda: poisson(3, 1.0, mean_length=0.5), "mean_length is 0.5"),
        (lambda: Overlapped(0.5, 1.5), "hit is 1.5"),
        (lambda: Dsi(0), "targets is 0"),
        (lambda: simulate(1, Constant(0.5), 0.1).percentiles("speed"), "what is 'speed'"),  # type: ignore[arg-type]
        (lambda: simulate(1, Constant(0.5), 0.1, most_rounds=1).percentiles(), "no request has a latency"),
    ],
)
def test_bad_input(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
