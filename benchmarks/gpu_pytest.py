"""A pytest plugin that writes one JSON line for each test as soon as it ended, so that a run cut short still counts."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

_here = {"worker": False}


def pytest_configure(config: pytest.Config) -> None:
    _here["worker"] = hasattr(config, "workerinput")  # of xdist, whose reports the main process writes


def pytest_collectreport(report: Any) -> None:
    if report.outcome == "failed":  # a file that cannot be imported: each process of xdist says so
        _write({"test": report.nodeid, "outcome": "failed", "seconds": 0.0, "why": str(report.longrepr)[-2000:]})


def pytest_runtest_logreport(report: Any) -> None:
    ended = report.when == "call" or (report.when == "setup" and report.outcome != "passed")
    broken = report.when == "teardown" and report.outcome == "failed"
    if _here["worker"] or not (ended or broken):
        return
    line: dict[str, Any] = {"test": report.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 3)}
    if report.outcome == "failed":
        line["why"] = str(report.longrepr)[-2000:]
    if report.outcome == "skipped":
        line["why"] = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr)
    _write(line)


def _write(line: dict[str, Any]) -> None:
    with open(os.environ["SPECMATH_GPU_LOG"], "a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
