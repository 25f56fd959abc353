"""Tables of `make bench-decode`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.decode_goals import goals


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
        yield from _players("one and two threads", found["threads"]["players"])
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
    wanted = list(goals(found))
    if wanted:
        yield f"\ngoals (medians, range over repetitions): {sum(goal.met for goal in wanted)} of {len(wanted)} met"
        yield from (f"  {goal}" for goal in wanted)


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
