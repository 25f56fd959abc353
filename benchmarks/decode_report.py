"""Tables of `make bench-decode`, and each goal: measured, wanted, met or not, and what limits it if not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.decode_speed import PLAIN


@dataclass(frozen=True)
class Goal:
    """``measured`` must be at least (or at most) ``goal``; ``limit`` names the part of the results that says why not."""

    what: str
    measured: float
    spread: str
    goal: float
    at_least: bool
    limit: str

    @property
    def met(self) -> bool:
        return self.measured >= self.goal if self.at_least else self.measured <= self.goal

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "met": self.met}

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "met" if self.met else f"NOT MET; {self.limit}"
        return f"{self.what}: {self.measured:.2f} ({self.spread}), goal {sign} {self.goal}: {verdict}"


def _goal(what: str, ratio: dict[str, Any], goal: float, limit: str, *, at_least: bool = True) -> Goal:
    spread = f"{ratio['least']:.2f} to {ratio['most']:.2f}, by CPU time {ratio['cpu']:.2f}"
    return Goal(what, ratio["wall"], spread, goal, at_least, limit)


def goals(found: dict[str, Any]) -> Iterator[Goal]:
    """All goals of the sections that were measured."""
    if "compared" in found:
        yield from _drafted(found)
    if "batched" in found:
        yield from _batched(found)
    for label, name, goal in (
        ("pair", "exact64", 2.5),
        ("pair", "int8", 1.7),
        ("wide", "exact64", 2.0),
        ("wide", "int8", 1.2),
    ):
        for kind, ratio in found.get("exactness", {}).get(label, {}).get("cost", {}).get(name, {}).items():
            yield _goal(f"cost of exactness, {label}, {name}, {kind}", ratio, goal, "see the roofline", at_least=False)


def _drafted(found: dict[str, Any]) -> Iterator[Goal]:
    for mode, section in found["compared"].items():
        players = section["players"]
        for name in ("exact64", "int8", "native"):
            own = {k: row["ratio"] for k, row in players.items() if k.startswith(f"{name}, ") and "ratio" in row}
            best = max(own, key=lambda k: own[k]["wall"])
            yield _goal(f"{mode}: {best}, to {PLAIN}", own[best], 1.5, f"see the rounds of {name}, {mode}")
        for peer, rows in section["against transformers"].items():
            if "assisted" in peer:
                for name in ("exact64", "int8", "native"):
                    own = {k: row for k, row in rows.items() if k.startswith(f"{name}, ")}
                    best = max(own, key=lambda k: own[k]["wall"])
                    yield _goal(
                        f"{mode}: {best}, to {peer}", own[best], 1.5, "see the roofline and the cost of exactness"
                    )


def _batched(found: dict[str, Any]) -> Iterator[Goal]:
    section = found["batched"]
    for name in ("exact64", "int8", "native"):
        for kind in (PLAIN, section["chain"]):
            row = section["players"].get(f"{name}, {kind}, batch 8")
            if row is not None:
                yield _goal(f"{name}, {kind}, batch 8 to batch 1", row["ratio"], 3.0, "see the roofline: a call on 8")
    ratio = section["to one text at a time"].get(f"exact64, {section['chain']}, batch 8")
    if ratio is not None:
        yield _goal(
            f"exact64, {section['chain']}, batch 8 to {PLAIN} batch 1", ratio, 3.0, "see the roofline: a call on 8"
        )


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The whole report."""
    for mode, section in found.get("search", {}).items():
        best = ", ".join(section["best"].values())
        yield from _players(f"search in exact64, {mode} (taken on: {best})", section["players"])
    for mode, section in found.get("compared", {}).items():
        yield from _players(f"compared on other prompts, {mode}", section["players"])
        for peer, rows in section["against transformers"].items():
            yield f"  times {peer}: " + "; ".join(f"{name} {row['wall']:.2f}" for name, row in rows.items())
    if "batched" in found:
        yield from _players("side by side, coupled", found["batched"]["players"])
        rows = found["batched"]["against transformers"]
        yield "  times transformers in batches as large: " + "; ".join(f"{k} {r['wall']:.2f}" for k, r in rows.items())
    if "threads" in found:
        yield from _players("one and two threads, greedy", found["threads"]["players"])
    for label, section in found.get("exactness", {}).items():
        yield f"\ncost of exactness, {label}: time over that of native"
        for name, kinds in section["cost"].items():
            yield f"  {name:8}" + "".join(f"  {k} {r['wall']:.2f} (CPU {r['cpu']:.2f})" for k, r in kinds.items())
        yield "  against the float32 model:"
        for name, row in section["against float32"].items():
            yield f"  {name:8}" + "".join(f"  {key} {value:.2g}" for key, value in row.items())
    yield from _limits(found)
    if "equal" in found:
        yield "\nshare of texts that are the same as those of plain decoding"
        for family, paths in found["equal"].items():
            for path, row in paths.items():
                more = "" if "largest gap" not in row else f"  largest gap of the two logits {row['largest gap']:.2g}"
                yield f"  {family:30} {path:24} {row['same']:5} of {row['prompts']}  {row['share']:.4f}{more}"
    yield "\ngoals (medians, range over repetitions)"
    yield from (f"  {goal}" for goal in goals(found))


def _players(title: str, rows: dict[str, Any]) -> Iterator[str]:
    yield f"\n{title}"
    width = max(map(len, rows))
    yield f"  {'':{width}}  tokens/s  (CPU)  tokens/call  accepted  times the plain one (range; by CPU time)"
    for name, row in rows.items():
        accepted = "" if row["acceptance_rate"] is None else f"{row['acceptance_rate']:.2f}"
        ratio = row.get("ratio")
        times = (
            ""
            if ratio is None
            else f"{ratio['wall']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f}; {ratio['cpu']:.2f})"
        )
        speeds = f"{row['tokens_per_second']:8.0f} {row['tokens_per_cpu_second']:7.0f}"
        yield f"  {name:{width}}  {speeds}  {row['tokens_per_call']:11.2f}  {accepted:>8}  {times}"


def _limits(found: dict[str, Any]) -> Iterator[str]:
    for name, row in found.get("roofline", {}).items():
        if not isinstance(row, dict):
            yield f"\nroofline, one thread; the price of the smallest library call: {row} us"
            continue
        yield f"  {name}: " + ", ".join(f"{key} {value}" for key, value in row.items() if not isinstance(value, dict))
        for kind, parts in row.items():
            if isinstance(parts, dict):
                yield f"    {kind}: " + ", ".join(f"{key} {value}" for key, value in parts.items())
    if "rounds" in found:
        yield "\nwhere the time of a round goes"
        for name, parts in found["rounds"].items():
            yield f"  {name:52} " + "  ".join(f"{key} {value:.2f}" for key, value in parts.items())
