"""The pytest plugin: it is loaded by every test run of everyone who installed specmath, and imports nothing of it.

The work is done by `specmath.oracle.testing`, which is imported when a test asks for an audit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from specmath.oracle.verdict import Verdict

MARKER = "specmath"
INI = {
    "specmath_budget": ("runs of a function on one instance in an audit", int),
    "specmath_time_limit": ("seconds for one audit; 0 for no limit (default: 600)", float),
    "specmath_samples": ("where randomness cannot be followed, test at most so many samples of one instance", int),
}
"""Option of the ini file -> what it says, and its type."""
TIME_LIMIT = 600.0

running: list[dict[str, Any]] = []
"""Options of the test that runs now, for checks that are handed no fixture."""


def pytest_addoption(parser: pytest.Parser) -> None:
    for name, (purpose, _) in INI.items():
        parser.addini(name, f"specmath: {purpose}", default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(budget, time_limit, samples, ...): audits an implementation; options for its audits by name "
        "(added to every test that uses specmath_audit or parametrize_with_checks)",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    values = getattr(getattr(item, "callspec", None), "params", {}).values()
    audits = "specmath_audit" in getattr(item, "fixturenames", ()) or any(
        getattr(value, "audits_for_specmath", False) for value in values
    )
    if audits and item.get_closest_marker(MARKER) is None:
        item.add_marker(MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    if item.get_closest_marker(MARKER) is None:
        return (yield)
    running.append(options_of(item))
    try:
        return (yield)
    finally:
        running.pop()


def options_of(item: pytest.Item) -> dict[str, Any]:
    """Options of the audits of a test: those of the ini file, and above them those of its markers, the nearest last."""
    found: dict[str, Any] = {"time_limit": TIME_LIMIT}
    for name, (_, kind) in INI.items():
        text = str(item.config.getini(name)).strip()
        if text:
            try:
                value = kind(text)
            except ValueError:
                value = -1
            if not (value > 0 or (value == 0 and kind is float)):
                raise pytest.UsageError(f"{name} is {text!r} in the ini file; allowed are numbers above 0")
            found[name.removeprefix("specmath_")] = value
    for mark in reversed(list(item.iter_markers(MARKER))):
        if mark.args:
            raise pytest.UsageError(f"{item.nodeid}: the marker {MARKER} takes options by name, such as budget=1000")
        found.update(mark.kwargs)
    return found


@pytest.fixture
def specmath_audit(request: pytest.FixtureRequest) -> Callable[..., Verdict]:
    """Audit a verifier and fail with the verdict's table unless it is lossless.

    ``specmath_audit(function, kind="chain", **options)``; ``expect="biased"`` asks for another status. Options are
    those of specmath.oracle.audit, ``time_limit`` in seconds, and ``samples`` for code whose randomness cannot be
    followed. The name of an adapter in place of the function skips the test if the package is absent.
    Returns the verdict.
    """
    from specmath.oracle.testing import require

    defaults = options_of(request.node)

    def specmath_audit(function: Callable[..., Any] | str, **options: Any) -> Verdict:
        __tracebackhide__ = True
        return require(function, **{**defaults, **options})

    return specmath_audit
