"""The closed forms of `specmath.speed` against simulated servers: exact for certain acceptance, else see `agrees`."""

from __future__ import annotations

import pytest

from proofs_tests.simulate.judges import agrees, between_rejections, consistent, rounds_of
from specmath import speed
from specmath.simulate import Dsi, Overlapped, Pearl, Request, Result, Timing, simulate
from specmath.simulate.text import Text
from specmath.stopping import Constant, Costs, Fixed, Markov, Observable, Position, Survival, Tables, evaluate
from specmath.trees import DraftTree

ROUNDS = 6_000
ENDLESS = Request(max_tokens=10**9)


def run(plan, process, timing, **options) -> Result:
    return simulate(plan, process, timing, [ENDLESS], most_rounds=options.pop("most_rounds", ROUNDS), **options)


@pytest.mark.parametrize(("a", "length", "c"), [(0.8, 5, 0.1), (0.6, 2, 0.3)])
def test_leviathan(a: float, length: int, c: float) -> None:
    found = run(length, Constant(a), c)
    assert agrees(rounds_of(found), speed.speedup(a, length, c))
    assert not agrees(rounds_of(found), speed.speedup(a, length - 1, c) * 0.85)


@pytest.mark.parametrize("overlap", [None, Pearl(), Dsi(), Overlapped(0.5, 1.0)])
@pytest.mark.parametrize("a", [0.0, 1.0])
def test_certain_acceptance_is_exact(overlap, a: float) -> None:
    length, c = 5, 0.25
    expected = {
        None: speed.speedup(a, length, c),
        Pearl(): speed.pearl(a, length, c).speedup,
        Dsi(): speed.dsi(a, length, c).speedup,
        Overlapped(0.5, 1.0): speed.overlapped(a, length, c, early=0.5, hit=1.0).speedup,
    }[overlap]
    if isinstance(overlap, Dsi) and a == 1.0:  # one segment as long as the text: 4000 tokens in 800 blocks and a pass
        found = simulate(length, Constant(a), c, [Request(max_tokens=4_000)], overlap=overlap)
        assert found.tokens / (found.busy - 1) == pytest.approx(expected)
        return
    found = run(length, Constant(a), c, overlap=overlap, most_rounds=200)
    assert sum(t for t, _ in rounds_of(found)) / sum(s for _, s in rounds_of(found)) == pytest.approx(expected)


@pytest.mark.parametrize(("a", "length", "c"), [(0.8, 5, 0.2), (0.6, 4, 0.4), (0.9, 8, 0.05)])
def test_pearl(a: float, length: int, c: float) -> None:
    found = run(length, Constant(a), c, overlap=Pearl(), most_rounds=15_000)
    cycles = between_rejections(found)
    assert agrees(cycles, speed.pearl(a, length, c).speedup)
    assert not agrees(cycles, speed.expected_tokens(a, length) / max(length * c, 1.0))  # the bonus that it gives up


@pytest.mark.parametrize(("a", "length", "c"), [(0.8, 5, 0.1), (0.6, 4, 0.4), (0.5, 8, 0.7)])
def test_dsi(a: float, length: int, c: float) -> None:
    found = run(length, Constant(a), c, overlap=Dsi())
    assert agrees(rounds_of(found), speed.dsi(a, length, c).speedup)
    without = 1 / (1 - a) / (1 + length * c / (1 - a**length))  # control: the target that decodes alone is forgotten
    if without < 0.95 * speed.dsi(a, length, c).speedup:
        assert not agrees(rounds_of(found), without)


def test_dsi_needs_as_many_servers_as_the_closed_form_says() -> None:
    """With `targets` servers nothing waits: the same times as without a bound. With one fewer something does."""
    needed = speed.dsi(0.95, 2, 0.1).targets
    times = [
        run(2, Constant(0.95), 0.1, overlap=Dsi(targets), most_rounds=300).busy
        for targets in (None, needed, needed - 1)
    ]
    assert times[0] == pytest.approx(times[1])
    assert times[2] > times[0] * 1.001


def test_overlapped() -> None:
    found = run(5, Constant(0.8), 0.1, overlap=Overlapped(0.5, 0.7, 0.02))
    setting = {"early": 0.5, "transfer": 0.02}
    assert agrees(rounds_of(found), speed.overlapped(0.8, 5, 0.1, hit=0.7, **setting).speedup)
    assert not agrees(rounds_of(found), speed.overlapped(0.8, 5, 0.1, hit=1.0, **setting).speedup)


def test_survival_curves() -> None:
    """Markov rounds that begin anew, and acceptance by position."""
    rates, moves, start = (0.95, 0.4), ((0.8, 0.2), (0.3, 0.7)), (0.5, 0.5)
    curve = speed.survival.markov(rates, moves, start, 5)
    found = run(5, Markov(rates, moves, start, renewal=True), 0.1)
    assert agrees(rounds_of(found), float(speed.plan_chain(curve, draft_step=0.1).speedups[5]))
    assert not agrees(rounds_of(found), speed.speedup(0.9, 5, 0.1))
    curve = speed.survival.by_position([0.9, 0.7, 0.5])
    assert agrees(
        rounds_of(run(3, Position((0.9, 0.7, 0.5)), 0.1)), speed.plan_chain(curve, draft_step=0.1).speedups[3]
    )


def test_goodput_of_a_batch() -> None:
    rates = (0.9, 0.5, 0.1)
    verify, draft = speed.Line(1.0, 0.06), speed.Line(0.0, 0.08)
    plan = speed.allocate([speed.survival.iid(a, 8) for a in rates], verify=verify, draft=draft)
    requests = [
        Request(max_tokens=10**9, process=Constant(a), policy=Fixed(length))
        for a, length in zip(rates, plan.draft_lengths, strict=True)
    ]
    timing = Timing(verify=verify, draft=draft)
    found = simulate(0, Constant(0.0), timing, requests, batch=3, most_rounds=4_000)
    consistent(found, timing)
    assert agrees(rounds_of(found), plan.goodput)
    assert not agrees(rounds_of(found), (plan.tokens - 3) / plan.seconds)


@pytest.mark.parametrize("lag", [0, 1])
def test_policies(lag: int) -> None:
    """Rounds of a renewal process under a threshold against the exact evaluation, slot costs included."""
    process, costs = Observable((0.3, 0.95), (0.3, 0.7)), Costs(draft=0.1, slot=0.02)
    policy = Survival(0.6)
    found = run(policy, process, costs, lag=lag, horizon=12)
    expected = evaluate(policy, process, costs, horizon=12, lag=lag).speedup
    assert agrees(rounds_of(found), float(expected))
    assert not agrees(rounds_of(found), float(evaluate(Fixed(1), process, costs).speedup))


def test_texts_that_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two language models as tables: the next round begins in the context that was emitted.

    Cycles are 40 rounds, whose dependence dies out within a few; the control is a simulation that always begins anew.
    """
    target = {(): [0.5, 0.5], (0,): [0.9, 0.1], (1,): [0.2, 0.8]}
    draft = {(): [0.5, 0.5], (0,): [0.85, 0.15], (1,): [0.9, 0.1]}
    process, costs = Tables(target, draft), Costs(draft=0.1)

    def blocks() -> list[tuple[float, float]]:
        rounds = rounds_of(run(4, process, costs, most_rounds=16_000))
        parts = [rounds[at : at + 40] for at in range(0, len(rounds) - 40, 40)]
        return [(sum(tokens for tokens, _ in part), sum(time for _, time in part)) for part in parts]

    expected = float(evaluate(Fixed(4), process, costs).speedup)
    assert agrees(blocks(), expected)
    monkeypatch.setattr(Text, "begin", lambda self, law: None)
    assert not agrees(blocks(), expected)


def test_trees() -> None:
    tree = DraftTree((-1, -1, 0, 0, 1), (0.6, 0.25, 0.4, 0.15, 0.1), (0, 1, 0, 1, 0))
    found = run(tree, None, 0.1)
    assert agrees(rounds_of(found), float(tree.expected_tokens) / 1.2)
    assert not agrees(rounds_of(found), (float(tree.expected_tokens) - 0.25) / 1.2)
