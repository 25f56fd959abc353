"""`make bench-decode` at tiny sizes: every part runs, and it calls nothing equal that is not. Speeds decide nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks import decode, decode_equal, decode_goals, decode_turns  # noqa: E402
from benchmarks.decode_players import Job, Play, Played  # noqa: E402


@pytest.fixture(autouse=True)
def as_before() -> Any:
    """The program sets these for its own process."""
    threads, gradients = torch.get_num_threads(), torch.is_grad_enabled()
    yield
    torch.set_num_threads(threads)
    torch.set_grad_enabled(gradients)


@pytest.mark.parametrize(
    "sections",
    [
        pytest.param(["compared", "equal"], id="some"),
        pytest.param(list(decode.SECTIONS), id="all", marks=pytest.mark.slow),
    ],
)
def test_quick_run(sections: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    if len(sections) < len(decode.SECTIONS):  # one family of each kind
        names = ("exact64, coupled", "native, greedy", "transformers bfloat16, greedy")
        few = tuple(family for family in decode_equal.FAMILIES if family.label in names)
        monkeypatch.setattr(decode_equal, "FAMILIES", few)
    decode.main(["--quick", "--write", str(tmp_path), "--sections", *sections])
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "decode.txt").read_text()
    record = json.loads((tmp_path / "decode.json").read_text())
    assert set(record) == {"made", "goals", "search", *sections}
    assert set(record["made"]) >= {"date", "processor", "versions", "commit", "command", "threads"}
    assert f"--sections {' '.join(sections)}" in record["made"]["command"]
    for mode, section in record["compared"].items():
        kinds = {name.split(", ")[0] for name in section["players"]}
        assert (mode, kinds) == ("coupled", {"exact64", "int8", "native", "transformers"})
        assert all(row["tokens"] == 2 for row in section["players"].values())
    shares = record["equal"]["exact64, coupled"]
    assert len(shares) == 3
    assert all(row["share"] == 1.0 for row in shares.values())
    assert all(goal["what"] in printed for goal in record["goals"])
    if len(sections) == len(decode.SECTIONS):
        assert {goal["goal"] for goal in record["goals"]} >= {1.5, 2.5, 1.7}


def players(wrong: bool) -> Any:
    """`ours` with a decoder that changes the last token of every drafted text, or does not."""
    real = decode_equal.ours

    def ours(target: Any, drafter: Any, mode: str, tokens: int) -> Play:
        inner = real(target, drafter, mode, tokens)

        def play(jobs: Sequence[Job]) -> Played:
            played = inner(jobs)
            if drafter is None or not wrong:
                return played
            return Played(tuple((*text[:-1], (text[-1] + 1) % 256) for text in played.texts), played.calls)

        return play

    return ours


@pytest.mark.parametrize("wrong", [False, True])
def test_a_different_text_is_seen(monkeypatch: pytest.MonkeyPatch, wrong: bool) -> None:
    """Planted: one token of each text. Where equality is promised it is an error, elsewhere it is counted."""
    monkeypatch.setattr(decode_equal, "ours", players(wrong))
    size = decode_equal.Size.quick()
    promised, other = decode_equal.Family("exact64", "greedy"), decode_equal.Family("native", "greedy")
    outcomes = {family: decode_equal.work((family, 0, 2, size))[1] for family in (promised, other)}
    rows = decode_equal._joined(other, [outcomes[other]])
    assert [row["same"] for row in rows.values()] == ([0, 0, 2] if wrong else [2, 2, 2])
    if wrong:
        assert rows["chain 4"]["first different token, median"] == size.tokens - 1
        assert rows["chain 4"]["largest gap"] > 0
        with pytest.raises(AssertionError, match="exact64, greedy, chain 4: 2 of 2 texts differ"):
            decode_equal._joined(promised, [outcomes[promised]])
    else:
        assert decode_equal._joined(promised, [outcomes[promised]])["chain 4"]["share"] == 1.0


def test_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units in the file are not decoded again; one that was cut off while it was written is."""
    done: list[str] = []

    def work(unit: Any) -> tuple[str, dict[str, Any]]:
        done.append(decode_equal._key(unit))
        return done[-1], {"prompts": unit[2] - unit[1], "paths": {"some": []}}

    monkeypatch.setattr(decode_equal, "work", work)
    size, kept = decode_equal.Size(4, 1, 2), tmp_path / "equal.jsonl"
    first = decode_equal.measure(size, 1, kept)
    units = list(done)
    assert len(units) == 2 * len(decode_equal.FAMILIES)
    kept.write_text(kept.read_text()[:-5])
    done.clear()
    assert decode_equal.measure(size, 1, kept) == first
    assert done == units[-1:]


def turns(walls: dict[str, list[float]]) -> list[decode_turns.Turn]:
    """One block of 10 tokens in 5 calls, played with these times; CPU time is half."""
    return [
        decode_turns.Turn(name, repetition, 0, wall, wall / 2, 10, 5, 20, 5)
        for name, own in walls.items()
        for repetition, wall in enumerate(own)
    ]


def test_ratios_are_medians_of_one_run() -> None:
    """One repetition in which everything stalls moves neither the median nor the ratio."""
    found = turns({"plain": [2.0, 2.0, 60.0], "drafted": [1.0, 1.0, 20.0]})
    ratio = decode_turns.ratio(found, "drafted", "plain")
    assert (ratio.wall, ratio.least, ratio.most, ratio.cpu) == (2.0, 2.0, 3.0, 2.0)
    speed = decode_turns.speed(found, "drafted")
    assert (speed.tokens_per_second, speed.tokens_per_cpu_second, speed.tokens_per_call) == (10.0, 20.0, 2.0)
    assert speed.acceptance_rate == 0.25


@pytest.mark.parametrize(("measured", "at_least", "met"), [(1.5, True, True), (1.4, True, False), (1.6, False, False)])
def test_goals_can_be_missed(measured: float, at_least: bool, met: bool) -> None:
    goal = decode_goals.Goal("speed", measured, measured, measured, measured, 1.5, at_least, "reads all weights")
    assert goal.met == goal.as_json()["met"] == met
    assert ("NOT MET: reads all weights" in str(goal)) == (not met)


def test_players_take_turns() -> None:
    """Every player plays every block once a repetition, and nobody is always first."""
    order: list[tuple[str, int]] = []

    def player(name: str) -> Play:
        def play(jobs: Sequence[Job]) -> Played:
            order.append((name, jobs[0].number))
            return Played(((1,),), 1)

        return play

    blocks = [[Job((0,), 0)], [Job((0,), 1)]]
    found = decode_turns.take_turns("test", {n: player(n) for n in "ab"}, dict.fromkeys("ab", blocks), 2)
    assert order[:2] == [("a", 0), ("b", 0)], "once to get warm"
    assert order[2:] == [("a", 0), ("b", 0), ("b", 1), ("a", 1)] * 2
    assert [(t.player, t.repetition, t.block) for t in found[:4]] == [
        ("a", 0, 0),
        ("b", 0, 0),
        ("b", 0, 1),
        ("a", 0, 1),
    ]
