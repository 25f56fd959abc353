"""The goals of `make bench-decode`: measured, wanted, met or not; and where one is not met, what takes the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.decode_speed import PLAIN

COSTS = {("pair", "exact64"): 2.5, ("pair", "int8"): 1.7, ("wide", "exact64"): 2.0, ("wide", "int8"): 1.2}
"""Most that exactness may cost, in times of native."""

DRAFTED, BATCHED, ASSISTED = 1.5, 3.0, 1.5
"""Least that drafting, eight texts at a time and we against transformers' assistant should gain."""

ARITHMETICS = ("exact64", "int8", "native")


@dataclass(frozen=True)
class Goal:
    """``measured`` (median wall clock, with its ``least`` and ``most`` over repetitions, and by processor time) should
    be at least, or at most, ``goal``. ``limits`` says where the time goes."""

    what: str
    measured: float
    least: float
    most: float
    cpu: float
    goal: float
    at_least: bool
    limits: str

    @property
    def met(self) -> bool:
        return self.measured >= self.goal if self.at_least else self.measured <= self.goal

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "met": self.met}

    def __str__(self) -> str:
        measured = f"{self.measured:.2f} ({self.least:.2f} to {self.most:.2f}, by CPU time {self.cpu:.2f})"
        wanted = f"goal {'>=' if self.at_least else '<='} {self.goal}"
        verdict = "met" if self.met else f"NOT MET{': ' if self.limits else ''}{self.limits}"
        return f"{self.what}: {measured}, {wanted}: {verdict}"


def _goal(what: str, ratio: dict[str, Any], goal: float, limits: str, *, at_least: bool = True) -> Goal:
    return Goal(what, ratio["wall"], ratio["least"], ratio["most"], ratio["cpu"], goal, at_least, limits)


def goals(found: dict[str, Any]) -> Iterator[Goal]:
    """The goals of all sections that were measured."""
    if "compared" in found:
        yield from _drafted(found)
        yield from _assisted(found)
    if "batched" in found:
        yield from _batched(found)
    for (label, name), goal in COSTS.items():
        for kind, ratio in found.get("exactness", {}).get(label, {}).get("cost", {}).get(name, {}).items():
            limits = _call(found, name, kind) if label == "pair" else ""
            yield _goal(f"cost of exactness, {label}, {name}, {kind}", ratio, goal, limits, at_least=False)


def _best(rows: dict[str, Any], name: str) -> str:
    """The fastest of one arithmetic by wall clock."""
    return max((key for key in rows if key.startswith(f"{name}, ")), key=lambda key: rows[key]["wall"])


def _drafted(found: dict[str, Any]) -> Iterator[Goal]:
    for mode, section in found["compared"].items():
        rows = {key: row["ratio"] for key, row in section["players"].items() if "ratio" in row}
        for name in ARITHMETICS:
            best = _best(rows, name)
            kind = best.removeprefix(f"{name}, ")
            tokens = section["players"][best]["tokens_per_call"]
            limits = _round(found, name, mode, kind, tokens)
            yield _goal(f"{mode}, {name}: {kind} to {PLAIN}", rows[best], DRAFTED, limits)


def _assisted(found: dict[str, Any]) -> Iterator[Goal]:
    """Against the faster of the two settings of the assistant."""
    for mode, section in found["compared"].items():
        peers = [key for key in section["against transformers"] if "assisted" in key]
        if not peers:
            continue
        peer = max(peers, key=lambda key: section["players"][key]["tokens_per_second"])
        rows = section["against transformers"][peer]
        for name in ARITHMETICS:
            best = _best(rows, name)
            limits = ""
            if name != "native":
                cost = section["cost of exactness"][best]
                limits = f"exactness takes {cost['wall']:.2f} times native, and transformers promises no bits"
            yield _goal(f"{mode}: {best} to {peer}", rows[best], ASSISTED, limits)


def _batched(found: dict[str, Any]) -> Iterator[Goal]:
    section = found["batched"]
    kinds = (PLAIN, section["chain"])
    for group in (f"{name}, {kind}" for name in ARITHMETICS for kind in kinds):
        row = section["players"].get(f"{group}, batch 8")
        if row is not None:
            yield _goal(f"{group}: batch 8 to batch 1", row["ratio"], BATCHED, _eight(found, group.split(",")[0]))
    ratio = section["to one text at a time"].get(f"exact64, {section['chain']}, batch 8")
    if ratio is not None:
        limits = _eight(found, "exact64")
        yield _goal(f"exact64: {section['chain']} in batches of 8 to {PLAIN}, batch 1", ratio, BATCHED, limits)


def _round(found: dict[str, Any], name: str, mode: str, kind: str, tokens: float) -> str:
    """A round in units of a plain one."""
    rounds = found.get("rounds", {})
    plain, own = (rounds.get(f"{name}, {mode}, {one}") for one in (PLAIN, kind))
    if plain is None or own is None:
        return ""
    unit = plain["round (ms)"]
    parts = ", ".join(f"{part} {own[f'{part} (ms)'] / unit:.2f}" for part in ("target", "draft", "host"))
    return f"{tokens:.2f} tokens a round, which takes {own['round (ms)'] / unit:.2f} plain ones ({parts})"


def _eight(found: dict[str, Any], name: str) -> str:
    """How much eight rows in one call could gain."""
    row = found.get("roofline", {}).get(name)
    if row is None:
        return ""
    one, eight = (row[f"call on {rows}"]["whole call (ms)"] for rows in (1, 8))
    return f"a call on 8 tokens takes {eight / one:.2f} calls on 1, so that {8 * one / eight:.1f} is the most"


def _call(found: dict[str, Any], name: str, kind: str) -> str:
    row = found.get("roofline", {}).get(name, {}).get(kind)
    if row is None:
        return ""
    return (
        f"products alone {row['products alone (ms)']} of {row['whole call (ms)']} ms, "
        f"{row['library calls']} library calls"
    )
