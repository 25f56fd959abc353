"""`make gpu` rehearsed on the CPU: all paths but the graphs, the form of what it writes, what becomes of failures."""

from __future__ import annotations

import importlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from proofs_tests.decode.fixed_cases import planted
from proofs_tests.decode.test_fixed import LAYOUT
from proofs_tests.numerics.helpers import threads

HOME = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(name="load")
def _load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(HOME / "benchmarks")
    return importlib.import_module


@pytest.fixture(name="gpu")
def _gpu(load: Any) -> ModuleType:
    return load("gpu")


def test_rehearsal(gpu: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    with threads(1):
        assert gpu.main(["--cpu-rehearsal", "--out", str(out)]) == 0
    made = json.loads(out.read_text())
    assert set(made) == {
        *("schema_version", "date", "commit", "changed", "device", "versions", "rehearsal", "seconds", "sections"),
        "goals",
    }
    assert made["schema_version"] == 1
    assert made["rehearsal"] is True
    assert made["versions"]["torch"] == torch.__version__
    assert list(made["sections"]) == list(gpu.BUDGETS) == ["tests", "logits", "speed", "pair", "transport"]
    for name, section in made["sections"].items():
        assert set(section) == {"status", "result", "seconds", "budget"}
        assert section["status"] == "ok", name
    results = {name: section["result"] for name, section in made["sections"].items()}

    tests = results["tests"]
    assert (tests["passed"], tests["failed"], tests["skipped"]) == (1, 0, 1)
    assert list(tests["skips"]) == ["Skipped: so"]

    logits = results["logits"]["draft exact64"]
    assert logits["equal"] is True
    assert logits["equal rows"] == logits["rows"] > 50
    assert set(logits["hashes"]) == {"cpu", "device", "in chunks", "in a batch"}

    speed = results["speed"]
    assert set(speed) == {
        *("bytes per second", "left out"),
        *(f"tiny {name} batch {rows}" for name in ("native", "int8") for rows in (1, 8)),
    }
    rates = {"ms a token", "tokens a second", "ms a round", "tokens a round"}
    for name in ("tiny native batch 1", "tiny int8 batch 1"):
        row = speed[name]
        assert set(row) == {
            *("parameters", "autoregressive", "chains", "without graphs, ms a token", "sampled", "profile", "roofline")
        }
        assert set(row["autoregressive"]) == rates
        assert row["autoregressive"]["tokens a round"] == 1
        (chain,) = row["chains"]
        assert set(chain) == {
            *rates,
            *("draft length", "agreement", "expected tokens a round", "speed-up", "texts equal"),
        }
        assert chain["expected tokens a round"] == pytest.approx((1 - 0.8**4) / 0.2)
        assert row["profile"]["kernels"] > 100
        assert row["roofline"]["least ms"] > 0
    assert speed["tiny int8 batch 8"]["chains"][0]["texts equal"] is True

    pair = results["pair"]["int8 batch 1 temperature 1"]
    assert set(pair) == {"autoregressive", "chain of 3", "chain of 5", "tree 2 2 1"}
    assert all(row["texts equal"] for row in pair.values())

    for goal in made["goals"]:
        assert set(goal) == {"name", "measured", "goal", "met"}
    assert [goal["met"] for goal in made["goals"][:2]] == [True, True]
    assert sum(goal["measured"] is None for goal in made["goals"]) == 2, "exact64 is left out of a rehearsal"
    printed = capsys.readouterr().out
    for part in ("rehearsal on the CPU", "tests on the device: 1 passed", "logits, draft exact64: 1 hash", "goals\n"):
        assert part in printed


def test_without_a_device(
    gpu: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--out", str(tmp_path / "gpu.json")]) == 2
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "gpu: torch sees no CUDA device; nothing was measured and nothing written\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cpu-rehearsal"], "--out: needed for a rehearsal, whose numbers are no evidence"),
        (["--only", "tests,speeds"], "--only: speeds; allowed are tests, logits, speed, pair, transport"),
    ],
)
def test_usage(gpu: ModuleType, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        gpu.main(arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_a_section_that_fails_keeps_what_it_had(gpu: ModuleType, tmp_path: Path) -> None:
    def section(setting: Any) -> Iterator[tuple[str, Any]]:
        yield "one", 1
        raise RuntimeError("no more")

    known: list[dict[str, Any]] = []
    setting = gpu.Setting("cpu", True, time.monotonic())
    gpu.measure(section, setting, lambda own: known.append(json.loads(json.dumps(own))))
    assert [own["status"] for own in known] == ["unfinished", "unfinished", "failed"]
    assert known[-1] == {"status": "failed", "result": {"one": 1}, "error": "RuntimeError: no more"}


BEGIN = """import json, os, subprocess, sys
open(sys.argv[1], "w").write(json.dumps({"status": "unfinished", "result": {"one": 1}}))
"""
OTHER = "import sys, threading; own = open(sys.argv[1], 'w'); print(1, file=own, flush=True); threading.Event().wait()"
HANG = f"{BEGIN}\nsubprocess.run([sys.executable, '-c', {OTHER!r}, sys.argv[2]])"


def test_a_process_that_hangs_is_ended_with_all_it_started(gpu: ModuleType, tmp_path: Path) -> None:
    """The process started by the process holds one end of a pipe, at whose other end its death is seen."""
    file, pipe = tmp_path / "one.json", tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        found = gpu.in_a_process([sys.executable, "-c", HANG, str(file), str(pipe)], file, 4.0)
        assert found["status"] == "timeout"
        assert found["error"] == "ended after 4 s"
        assert found["result"] == {"one": 1}
        assert os.read(end, 9) == b"1\n"
        assert select.select([end], [], [], 20.0)[0], "it still holds its end"
        assert os.read(end, 9) == b""
    finally:
        os.close(end)


@pytest.mark.parametrize("code", ["os._exit(9)", "os.abort()"])
def test_a_process_that_dies_does_so_alone(gpu: ModuleType, tmp_path: Path, code: str) -> None:
    file = tmp_path / "one.json"
    found = gpu.in_a_process([sys.executable, "-c", BEGIN + code, str(file)], file, 30.0)
    assert found["status"] == "failed"
    assert found["error"] == f"the process ended with {9 if 'exit' in code else -6}"
    assert found["result"] == {"one": 1}
    missing = gpu.in_a_process([sys.executable, "-c", "import sys; sys.exit(3)"], tmp_path / "none.json", 30.0)
    assert missing["status"] == "failed"
    assert missing["result"] == {}


def test_failed_tests_are_counted_and_fail_the_section(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks, gpu = load("gpu_checks"), load("gpu")
    monkeypatch.setattr(checks, "PLAYED", checks.PLAYED + "@pytest.mark.gpu\ndef test_three(): assert 1 == 2\n")
    known: dict[str, Any] = {}
    gpu.measure(checks.tests, gpu.Setting("cpu", True, time.monotonic() + 60), known.update)
    assert known["status"] == "failed"
    assert (known["result"]["passed"], known["result"]["failed"]) == (1, 1)
    assert "assert 1 == 2" in known["result"]["failures"][0]["why"]
    assert not load("gpu_report").goals({"tests": known})[0]["met"]


def test_files_with_marked_tests_are_found(load: Any) -> None:
    found = [str(Path(file).relative_to(HOME / "proofs_tests")) for file in load("gpu_checks").gpu_files()]
    assert {"decode/test_fixed_cuda.py", "numerics/test_cuda.py", "equivalence/test_ladder.py"} <= set(found)
    assert "decode/test_fixed.py" not in found


@pytest.mark.slow
def test_all_files_with_marked_tests_are_found(load: Any) -> None:
    """Against what pytest collects from everything."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--collect-only", "-m", "gpu", "proofs_tests"]
    listed = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=True).stdout
    collected = {str(HOME / line.split("::")[0]) for line in listed.splitlines() if "::" in line}
    assert collected
    assert collected <= set(load("gpu_checks").gpu_files())


def test_the_hash_sees_the_last_bit(load: Any) -> None:
    digest = load("gpu_checks").digest
    rows = [torch.linspace(0, 1, 7, dtype=torch.float64)]
    touched = [rows[0].clone()]
    touched[0][3] = torch.nextafter(touched[0][3], touched[0][3] + 1)
    assert digest(rows) == digest([rows[0].clone()]) != digest(touched)


def test_texts_that_differ_fail_the_section(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the target sees all nodes. What was measured of other models stays, and the report names the failure."""
    speed, gpu = load("gpu_speed"), load("gpu")
    monkeypatch.setattr(speed, "FixedRounds", planted(LAYOUT, LAYOUT + " | True").FixedRounds)
    known: dict[str, Any] = {}
    with threads(1):
        gpu.measure(speed.speed, gpu.Setting("cpu", True, time.monotonic() + 60), known.update)
    assert known["status"] == "failed"
    assert known["result"]["tiny int8 batch 1"] == {
        "error": "AssertionError: chain of 3: drafted and plain texts differ"
    }
    assert known["result"]["tiny native batch 1"]["chains"]
    report = load("gpu_report")
    assert any("texts differ" in line for line in report._speed(known["result"]))
    assert all(goal["measured"] is None for goal in report.goals({"speed": known}))


def test_goals_that_are_missed_are_told(load: Any) -> None:
    goals = load("gpu_report").goals
    logits = {"status": "ok", "result": {"draft exact64": {"equal": False}, "draft native": {"equal": False}}}
    assert goals({"logits": logits}) == [
        {"name": "hashes of logits that differ", "measured": 1, "goal": 0, "met": False}
    ]
    assert not goals({"logits": {"status": "timeout"}})[0]["met"]

    def row(ms: float, *ups: float) -> dict[str, Any]:
        return {"autoregressive": {"ms a token": ms}, "chains": [{"agreement": 0.8, "speed-up": up} for up in ups]}

    speed = {
        "result": {
            "m native batch 1": row(1.0),
            "m int8 batch 1": row(1.1, 1.5, 2.1),
            "m exact64 batch 1": row(3.0, 1.9),
        }
    }
    assert [goal["met"] for goal in goals({"speed": speed})] == [True, True, False, False]


def test_a_file_that_cannot_be_imported_fails_the_others_run(load: Any, tmp_path: Path) -> None:
    checks = load("gpu_checks")
    (tmp_path / "test_good.py").write_text(checks.PLAYED)
    (tmp_path / "test_bad.py").write_text("import a_module_that_is_not_there\n")
    log = tmp_path / "log"
    assert checks.run_tests([str(tmp_path)], log, 60.0, alone=True) == 1
    found = checks.counted([json.loads(line) for line in log.read_text().splitlines()])
    assert (found["passed"], found["failed"], found["skipped"]) == (1, 1, 1)
    assert "a_module_that_is_not_there" in found["failures"][0]["why"]


def test_tests_that_hang_are_cut_short(load: Any, tmp_path: Path) -> None:
    checks = load("gpu_checks")
    (tmp_path / "test_hang.py").write_text(
        checks.PLAYED + "import threading\n@pytest.mark.gpu\ndef test_wait(): threading.Event().wait()\n"
    )
    log = tmp_path / "log"
    assert checks.run_tests([str(tmp_path)], log, 6.0, alone=True) is None
    found = checks.counted([json.loads(line) for line in log.read_text().splitlines()])
    assert found["failed"] == 0
