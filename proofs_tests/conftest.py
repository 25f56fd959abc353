"""Hypothesis profiles, the slow switch, and the list of claims that the collected tests carry."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_COMMON = {
    "deadline": None,
    "database": None,
    "report_multiple_bugs": False,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}
# "fixed": the same examples on every run, so that a failure on one machine is a failure on all.
# "explore": fresh examples on every run; select it with HYPOTHESIS_PROFILE=explore.
settings.register_profile("fixed", derandomize=True, **_COMMON)
settings.register_profile("explore", derandomize=False, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run tests marked slow")
    parser.addoption("--claims-out", metavar="FILE", help="write the claim marks of the collected tests as JSON")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    file = config.getoption("--claims-out")
    if file:
        marks = [
            {"test": item.nodeid, "id": mark.args[0], "kind": mark.args[1]}
            for item in items
            if item.get_closest_marker("slow") is None  # a claim must not rest on tests that are usually left out
            for mark in item.iter_markers("claim")
        ]
        Path(file).write_text(json.dumps(marks), encoding="utf-8")
    if config.getoption("--slow") or "slow" in (config.getoption("markexpr") or ""):
        return
    slow = [item for item in items if item.get_closest_marker("slow") is not None]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item.get_closest_marker("slow") is None]
