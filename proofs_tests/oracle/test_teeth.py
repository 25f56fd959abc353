"""What is kept and shown of the corpus is of this corpus: rows, sums, the page; and the extrapolation holds."""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import kill_table, verdict_time
from proofs_tests.oracle.corpus.entry import Entry
from proofs_tests.oracle.corpus.given import found_law, sampler
from proofs_tests.oracle.corpus.sampling import chi_square
from proofs_tests.oracle.corpus.table import CORRECT, DEFECTS
from specmath import oracle

PAGE = kill_table.PAGE.read_text(encoding="utf-8")
REAL = (
    "residual_is_target",
    "recursive",
    "absolute_difference",
    "vectorised",
    "bonus_by_flat_index",
    "node_zero_is_padding",
)
"""Functions whose exact law is held against real calls, wrong ones and right ones."""


def kept(file: Path, command: str) -> dict[str, Any]:
    if not file.exists():
        pytest.skip(f"{file.name} is not made yet: {command}")
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture
def record() -> dict[str, Any]:
    return kept(kill_table.KEPT, "make kill-table")


def problems(record: dict[str, Any], page: str) -> list[str]:
    """Where the kept table is not that of the corpus, or the page not that of the kept table."""
    found = []
    wanted = [entry.name for entry in kill_table.entries()]
    if list(record["rows"]) != wanted:
        found.append(f"rows differ: {sorted(set(record['rows']) ^ set(wanted))}")
    for name, row in record["rows"].items():
        if row["class"] and row["check"] not in row["failed"]:
            found.append(f"{name}: the named check did not fail")
        if not row["class"] and row["failed"]:
            found.append(f"{name}: a false alarm")
    if kill_table.filled(page, kill_table.BEGIN, kill_table.markdown(record), kill_table.END) != page:
        found.append("the page shows another table")
    return found


def test_kept_table_is_the_corpus_and_the_page(record: dict[str, Any]) -> None:
    assert problems(record, PAGE) == []
    assert kill_table.KEPT.with_suffix(".txt").read_text(encoding="utf-8") == kill_table.text(record)


def test_a_table_that_is_not_is_reported(record: dict[str, Any]) -> None:
    name = DEFECTS[0].name
    without = copy.deepcopy(record)
    del without["rows"][name]
    assert problems(without, PAGE) == [f"rows differ: ['{name}']", "the page shows another table"]
    missed = copy.deepcopy(record)
    missed["rows"][name]["failed"] = []
    assert problems(missed, PAGE) == [f"{name}: the named check did not fail", "the page shows another table"]
    alarm = copy.deepcopy(record)
    right = next(row for row in alarm["rows"].values() if not row["class"])
    right["failed"] = ["exact_law"]
    assert "a false alarm" in problems(alarm, PAGE)[0]
    shown = PAGE.replace("| C3 | `exact_law` |", "| C4 | `exact_law` |", 1)
    assert problems(record, shown) == ["the page shows another table"]


def test_kept_times_are_the_corpus_and_the_page() -> None:
    found = kept(verdict_time.KEPT, "make bench-oracle")
    assert list(found["defects"]) == [entry.name for entry in verdict_time.CHOSEN["defects"]]
    assert list(found["right"]) == [entry.name for entry in verdict_time.CHOSEN["right"]]
    assert {row["status"] for row in found["right"].values()} == {"lossless"}
    assert (
        verdict_time.KEPT.with_suffix(".txt").read_text(encoding="utf-8") == "\n".join(verdict_time.lines(found)) + "\n"
    )
    shown = kill_table.filled(PAGE, verdict_time.BEGIN, verdict_time.markdown(found), verdict_time.END)
    assert shown == PAGE
    found["goals"] = {}
    assert kill_table.filled(PAGE, verdict_time.BEGIN, verdict_time.markdown(found), verdict_time.END) != PAGE


@pytest.mark.claim("oracle/exact-law", "statistical")
@pytest.mark.parametrize("entry", [one for one in (*DEFECTS, *CORRECT) if one.function in REAL], ids=lambda e: e.name)
def test_found_law_is_that_of_real_calls(entry: Entry) -> None:
    """The law that the oracle finds, wrong or right, against 2,000 real calls on one instance.

    Pearson's chi-square on whole texts: a false alarm is rarer than 1e-9 if the statistic had its limit law. For a
    wrong one the instance is the first on which the target's law in place of the found one is seen with a power of
    99 %, and it has to be seen.
    """
    for instance in oracle.standard(entry.kind):  # type: ignore[arg-type]
        law, real = found_law(entry, instance), sampler(entry, instance, 0)
        if not entry.defect or verdict_time.samples(law, real.expected()) <= 2_000:
            break
    seen = Counter(real.rounds(2_000))
    assert chi_square(seen, law)[0] > 1e-9
    if entry.defect:
        assert chi_square(seen, real.expected())[0] < 1e-9


def test_samples_have_the_power_that_they_say() -> None:
    """400 tests with as many samples as are said to be needed: at least 384 see the difference.

    At 99 % power fewer than that have a probability below 1e-5; a number of samples that is half as large is caught.
    """
    found, expected = {0: 0.3, 1: 0.3, 2: 0.4}, {0: 0.25, 1: 0.35, 2: 0.4}
    needed = int(verdict_time.samples(found, expected))
    draws = np.random.default_rng(0)

    def seen(count: int) -> int:
        counts = draws.multinomial(count, list(found.values()), size=400)
        return sum(chi_square(Counter(dict(enumerate(row))), expected)[0] < verdict_time.FALSE_ALARM for row in counts)

    assert seen(needed) >= 384
    assert seen(needed // 2) < 384
    assert math.isinf(verdict_time.samples(expected, expected))
