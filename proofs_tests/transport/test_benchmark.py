"""The benchmark's format, at tiny sizes; what it measures decides nothing here."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "transport.py"


def test_quick_run_prints_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(SCRIPT))["main"](["--quick", "--libraries", "numpy"])
    parts = capsys.readouterr().out.split("\n\n")
    assert [part.split(",")[0].split("(")[0].strip() for part in parts] == [
        "one context",
        "set-up and one round of the coupling in rounds of other rules",
        "the linear program",
        "peak memory in float64 numbers per token",
        "GPU",
    ]
    rows = [line.split() for line in parts[0].splitlines()[2:]]
    assert [row[:3] for row in rows] == [["numpy", size, n] for size in ("64", "128") for n in ("2", "3")]
    assert all(float(number) > 0 for row in rows for number in (row[3], *row[5:]))
    for line in parts[1].splitlines()[2:]:
        optimal, *others = map(float, line.split()[-3:])
        assert max(others) <= optimal, "acceptance is printed in the order of the header"
