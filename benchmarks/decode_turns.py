"""Players take turns on every prompt, so that what else the machine does hits all of them."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.decode_players import Job, Play, Played


@dataclass(frozen=True)
class Turn:
    """One player on one block of jobs."""

    player: str
    repetition: int
    block: int
    wall: float
    cpu: float
    tokens: int
    calls: int
    drafted: int | None
    accepted: int | None


@dataclass(frozen=True)
class Speed:
    """A player's turns, summed over blocks.

    ``tokens_per_second`` and ``tokens_per_cpu_second`` use each block's median time; ``least`` and ``most`` are the
    slowest and fastest repetition by wall clock.
    """

    tokens_per_second: float
    least: float
    most: float
    tokens_per_cpu_second: float
    tokens: int
    calls: int
    tokens_per_call: float
    acceptance_rate: float | None

    def as_json(self) -> dict[str, Any]:
        return {key: _short(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Ratio:
    """How many times faster than another player: by medians of the wall clock, the range over repetitions, by CPU time.

    A repetition's ratio compares turns on the same blocks that lie next to each other in time.
    """

    wall: float
    least: float
    most: float
    cpu: float

    def as_json(self) -> dict[str, Any]:
        return {key: _short(value) for key, value in asdict(self).items()}

    def __str__(self) -> str:
        return f"{self.wall:.2f} ({self.least:.2f} to {self.most:.2f}; by CPU time {self.cpu:.2f})"


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def say(text: str) -> None:
    """Progress, on stderr: results go to stdout."""
    print(text, file=sys.stderr, flush=True)


def timed(play: Play, jobs: Sequence[Job]) -> tuple[Played, float, float]:
    """What was played, wall-clock seconds, seconds of processor time of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    played = play(jobs)
    return played, time.perf_counter() - wall, time.process_time() - cpu


def take_turns(
    label: str, players: Mapping[str, Play], blocks: Mapping[str, Sequence[Sequence[Job]]], repetitions: int
) -> list[Turn]:
    """Every player on every block of its own, ``repetitions`` times; the order rotates. ``blocks`` is by player."""
    turns: list[Turn] = []
    names = list(players)
    for name, play in players.items():  # lazy set-up and cold caches are nobody's time
        play(blocks[name][0][:1])
    count = max(len(own) for own in blocks.values())
    collecting = gc.isenabled()
    gc.disable()
    try:
        for repetition in range(repetitions):
            begun = time.perf_counter()
            for block in range(count):
                first = (repetition * count + block) % len(names)
                for name in names[first:] + names[:first]:
                    if block < len(blocks[name]):
                        played, wall, cpu = timed(players[name], blocks[name][block])
                        counts = played.tokens, played.calls, played.drafted, played.accepted
                        turns.append(Turn(name, repetition, block, wall, cpu, *counts))
                gc.collect(0)
            say(f"  {label}: repetition {repetition + 1} of {repetitions}, {time.perf_counter() - begun:.0f} s")
    finally:
        if collecting:
            gc.enable()
    return turns


def speed(turns: Sequence[Turn], player: str) -> Speed:
    own = [turn for turn in turns if turn.player == player]
    first = [turn for turn in own if turn.repetition == 0]
    tokens, calls = sum(t.tokens for t in first), sum(t.calls for t in first)
    rates = [_rate([t for t in own if t.repetition == r]) for r in sorted({t.repetition for t in own})]
    drafted, accepted = (_total(first, name) for name in ("drafted", "accepted"))
    return Speed(
        tokens_per_second=tokens / _medians(own, "wall"),
        least=min(rates),
        most=max(rates),
        tokens_per_cpu_second=tokens / _medians(own, "cpu"),
        tokens=tokens,
        calls=calls,
        tokens_per_call=tokens / calls,
        acceptance_rate=accepted / drafted if drafted and accepted is not None else None,
    )


def ratio(turns: Sequence[Turn], player: str, base: str) -> Ratio:
    """Tokens per second of ``player`` over those of ``base``."""
    one, other = speed(turns, player), speed(turns, base)
    found = []
    for repetition in sorted({turn.repetition for turn in turns}):
        rates = [
            _rate([t for t in turns if t.repetition == repetition and t.player == name]) for name in (player, base)
        ]
        found.append(rates[0] / rates[1])
    return Ratio(
        wall=one.tokens_per_second / other.tokens_per_second,
        least=min(found),
        most=max(found),
        cpu=one.tokens_per_cpu_second / other.tokens_per_cpu_second,
    )


def _rate(turns: Sequence[Turn]) -> float:
    return sum(turn.tokens for turn in turns) / sum(turn.wall for turn in turns)


def _medians(turns: Sequence[Turn], clock: str) -> float:
    """Sum over blocks of the median time."""
    blocks = sorted({turn.block for turn in turns})
    return sum(statistics.median(getattr(t, clock) for t in turns if t.block == block) for block in blocks)


def _total(turns: Sequence[Turn], name: str) -> int | None:
    values = [getattr(turn, name) for turn in turns]
    return None if any(value is None for value in values) else sum(values)
