"""What `benchmarks/gpu.py` prints: goals with what was measured, and a table of every section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

AGREEMENT, SPEED_UP, COST = 0.8, 2.0, 1.2


def goals(sections: dict[str, Any]) -> list[dict[str, Any]]:
    """Name, what was measured (None: not measured), the goal, and whether it is met."""
    made = []

    def note(name: str, measured: float | None, goal: float, met: bool) -> None:
        made.append({"name": name, "measured": measured, "goal": goal, "met": met})

    if "tests" in sections:
        failed = result(sections, "tests").get("failed")
        whole = sections["tests"]["status"] == "ok" and result(sections, "tests").get("passed", 0) > 0
        note("failed tests", failed, 0, failed == 0 and whole)
    if "logits" in sections:
        rows = {name: row for name, row in result(sections, "logits").items() if not name.endswith("native")}
        different = sum(not row["equal"] for row in rows.values())
        note("hashes of logits that differ", different if rows else None, 0, bool(rows) and not different)
    if "speed" in sections:
        found = result(sections, "speed")
        for name, row in found.items():
            model, label = name.split()[0], name.partition(" ")[2]
            if label != "native batch 1" or "error" in row:
                continue
            for arithmetic in ("int8", "exact64"):
                own = found.get(f"{model} {arithmetic} batch 1")
                own = None if own is None or "error" in own else own
                best = (
                    max((c["speed-up"] for c in own["chains"] if c["agreement"] == AGREEMENT), default=None)
                    if own
                    else None
                )
                note(
                    f"{model} {arithmetic}: speed-up at agreement {AGREEMENT}", best, SPEED_UP, (best or 0) >= SPEED_UP
                )
                ratio = own["autoregressive"]["ms a token"] / row["autoregressive"]["ms a token"] if own else None
                note(f"{model} {arithmetic}: time in native's", ratio, COST, ratio is not None and ratio <= COST)
    return made


def result(sections: dict[str, Any], name: str) -> dict[str, Any]:
    return sections.get(name, {}).get("result", {})


def table(made: dict[str, Any]) -> Iterator[str]:
    """Lines."""
    sections = made["sections"]
    yield ""
    kind = "rehearsal on the CPU: the numbers mean nothing" if made["rehearsal"] else made["device"]["name"]
    yield f"{kind}; torch {made['versions']['torch']}, commit {made['commit']}"
    for name, own in sections.items():
        yield f"{name}: {own['status']}, {own['seconds']} of {own['budget']:.0f} s {own.get('error', '')}".rstrip()
    tests = result(sections, "tests")
    if "passed" in tests:
        yield f"\ntests on the device: {tests['passed']} passed, {tests['failed']} failed, {tests['skipped']} skipped"
        for failure in tests["failures"]:
            yield f"  failed: {failure['test']}"
    for name, row in result(sections, "logits").items():
        different = len(set(row["hashes"].values()))
        yield (
            f"  logits, {name}: {different} hash{'es' * (different > 1)} of CPU, device, chunks and batch; "
            f"{row['equal rows']} of {row['rows']} rows as on the CPU, "
            f"difference at most {row['largest difference']:.1e}"
        )
    yield from _speed(result(sections, "speed"))
    for name, rows in result(sections, "pair").items():
        if name == "left out":
            continue
        yield f"  shipped pair, {name}: " + "; ".join(
            f"{kind} {row['tokens a second']:.0f}/s x{row['speed-up']:.2f}" for kind, row in rows.items()
        )
    for line in result(sections, "transport").get("printed", []):
        yield f"  transport: {line}"
    yield "\ngoals"
    for goal in made["goals"]:
        measured = "not measured" if goal["measured"] is None else f"{goal['measured']:.2f}"
        yield f"  {goal['name']}: {measured}, goal {goal['goal']:g}: {'met' if goal['met'] else 'not met'}"


def _speed(found: dict[str, Any]) -> Iterator[str]:
    if "bytes per second" in found:
        yield f"\nspeed with CUDA graphs; a copy moves {found['bytes per second'] / 1e9:.0f} GB/s"
        yield f"  {'':24}{'ms/token':>9}{'no graphs':>10}{'roofline':>9}{'GB':>6}"
        yield "  and below: agreement: speed-up (tokens a round)"
    for name, row in found.items():
        if not isinstance(row, dict):
            continue
        if "error" in row:
            yield f"  {name:24}failed: {row['error']}"
            continue
        eager, memory = row.get("without graphs, ms a token"), row.get("peak memory")
        yield (
            f"  {name:24}{row['autoregressive']['ms a token']:9.3f}{'' if eager is None else f'{eager:.2f}':>10}"
            f"{row['roofline']['share']:9.0%}{'' if memory is None else f'{memory / 1e9:.1f}':>6}"
        )
        for length in dict.fromkeys(chain["draft length"] for chain in row["chains"]):
            own = [chain for chain in row["chains"] if chain["draft length"] == length]
            yield f"      chain of {length}: " + "  ".join(
                f"{chain['agreement']:g}: x{chain['speed-up']:.2f} ({chain['tokens a round']:.2f})" for chain in own
            )
        if "sampled" in row:
            own = row["sampled"]
            ups = ", ".join(f"x{chain['speed-up']:.2f} at {chain['agreement']:g}" for chain in own["chains"])
            yield f"      sampled: {own['autoregressive']['ms a token']:.3f} ms/token, {ups}"
        if "kernels" in row.get("profile", {}):
            yield f"      one round: {row['profile']['kernels']} kernels, {row['profile']['ms']:.2f} ms in them"
    if found.get("left out"):
        yield f"  left out for want of time: {', '.join(found['left out'])}"
