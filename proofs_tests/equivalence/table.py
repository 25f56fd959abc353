"""Which rung of the ladder sees which planted defect: `python -m proofs_tests.equivalence.table` prints the table.

Every defect is planted in the decoder's own code, at one place, and the same cases are decoded with it. A number is the
share of cases in which a rung fails, and under "law" a total variation; a case is three texts, each decoded alone,
interrupted and in a batch.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from proofs_tests.equivalence import cases, defects_loop, defects_state, laws
from proofs_tests.equivalence.ladder import RUNGS, Report, climb
from proofs_tests.equivalence.runs import World

LADDER: Mapping[str, Callable[[], defects_state.Planted]] = {**defects_state.DEFECTS, **defects_loop.DEFECTS}
"""Defects that the ladder must see, by name."""

COLUMNS = (*RUNGS[:2], "off by 1e-3", *RUNGS[2:], "law")

NOTED = {
    "mask leaks one sibling": "mask shows a rejected sibling",
    "one empty slot attended": "empty slot attended",
    "compaction off by one": "compaction off by one",
    "compaction not done": "compaction not done",
    "position id = slot": "position is the slot",
    "position id off on one leaf": "position is the slot",
    "all positions shifted after prefill": "positions shifted after the prompt",
    "stale K/V kept after rejection": "stale keys and values after rejection",
    "cached V zeroed": "one cached value zeroed",
    "V row rounded to bf16": "one cached value rounded to bfloat16",
    "bonus not appended": "bonus token missing",
    "bonus doubled": "bonus token doubled",
    "accept < vs <=": "accept test with <=",
    "residual un-renormalised": "residual not normalised",
    "q from another temperature": "draft law of another temperature",
    "q from another dtype": "draft law of another precision",
    "shared noise": "draft and residual share noise",
    "noise consumed by rejected drafts": "noise consumed by rejected drafts",
    "noise keyed by slot": "noise keyed by slot",
    "pad detection by token id": "padding recognised by token id",
    "rows of a batch mixed": "batch mates mixed",
    "row state desynchronised when a row leaves": "row moved without its last slot",
    "draft state keeps a rejected node": "draft keeps a rejected sibling",
    "logits row off by one": "logits row off by one",
    "end of text inside a block": "stop token ignored inside a path",
    "length reached inside a block": "draft goes beyond max_tokens",
    "resume forgets rounds": "resume forgets the round's number",
    "resume forgets memory": "resume forgets the drafter's memory",
}
"""Bugs that decoders were seen to have, or that a list of mutations demands, and the defect that stands for each."""


def worlds(count: int) -> Iterator[World]:
    """The cases, exact64 and int8 by turns."""
    for number in range(count):
        yield World(cases.at_random(random.Random(number), ("exact64", "int8")[number % 2]))


def planted(defect: Callable[[], defects_state.Planted], world: World) -> Report:
    """The ladder with the defect in place. What the judge said was said before."""
    world.__dict__.pop("plain", None)  # plain decoding runs the defective code as well
    try:
        with defect():
            return climb(world)
    finally:
        world.__dict__.pop("plain", None)


def uncaught(defects: Mapping[str, Callable[[], defects_state.Planted]], most: int) -> tuple[list[str], dict[str, str]]:
    """Names of the defects that no rung sees in any of ``most`` cases; of the others the case and the rungs."""
    made, seen = list(worlds(most)), {}
    for name, defect in defects.items():
        for number, world in enumerate(made):
            failed = planted(defect, world).failed
            if failed:
                seen[name] = f"case {number}: {', '.join(rung for rung in RUNGS if rung in failed)}"
                break
    return [name for name in defects if name not in seen], seen


def shares(count: int) -> dict[str, dict[str, float | None]]:
    """The table: by defect and column the share of cases that fail, None for a column that was not tried."""
    made = list(worlds(count))
    rows: dict[str, dict[str, float | None]] = {}
    for name, defect in {"none": None, **LADDER}.items():
        found: Counter[str] = Counter()
        for world in made:
            report = climb(world) if defect is None else planted(defect, world)
            found.update(report.failed.keys())
            found["off by 1e-3"] += report.seen["off by 1e-3"] > 0
        rows[name] = {column: found[column] / count if column != "law" else None for column in COLUMNS}
    rows["none"]["law"] = laws.farthest()
    for name, defect in laws.DEFECTS.items():
        with defect():
            rows[name] = {column: laws.farthest() if column == "law" else None for column in COLUMNS}
    return rows


def markdown(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """The table as it stands in docs/theory/equivalence.md."""
    lines = ["| planted defect | " + " | ".join(COLUMNS) + " |", "| --- |" + " --- |" * len(COLUMNS)]
    for name, row in rows.items():
        cells = ("" if value is None else "." if value == 0 else f"{value:.2f}" for value in row.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Which rung sees which planted defect.")
    parser.add_argument("--cases", type=int, default=40, metavar="N", help="cases for each defect (default 40)")
    print(markdown(shares(parser.parse_args().cases)))
