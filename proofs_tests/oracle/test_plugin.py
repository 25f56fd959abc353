"""The pytest plugin: it is light, right code passes, wrong code fails with its table, declared failures are strict."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import specmath.oracle.testing as testing
from proofs_tests.packaging.sources import ROOT, imports
from specmath.oracle.adapters.registry import Missing

pytest_plugins = ["pytester"]

HEAVY = {"numpy", "scipy", "torch", "jax", "transformers", "specmath", "reference"}
CODE = """
import random

import numpy as np
import pytest
from specmath.oracle import standard
from specmath.oracle.testing import parametrize_with_checks

OPTIONS = {"kind": "node", "arrays": "numpy", "instances": standard("node", n=1)[:6]}


def correction(weights, generator):
    return generator.choice(len(weights), p=weights / weights.sum())


def good(target, draft, tokens, generator):
    if generator.random() * draft[tokens[0]] < target[tokens[0]]:
        return tokens[0]
    left = np.maximum(target - draft, 0)
    return correction(left if left.any() else target, generator)


def bad(target, draft, tokens, generator):
    return tokens[0] if generator.random() < target[tokens[0]] / draft[tokens[0]] else correction(target, generator)


def equal(target, draft, tokens, generator):
    if generator.random() * draft[tokens[0]] <= target[tokens[0]]:
        return tokens[0]
    left = np.maximum(target - draft, 0)
    return correction(left if left.any() else target, generator)


def normal(target, draft, tokens, generator):
    return int(generator.normal() > 0)


def system(target, draft, tokens):
    return random.SystemRandom().choices(range(len(target)), target)[0]


def hangs(target, draft, tokens):
    while True:
        try:
            pass
        except:
            pass


def changes(target, draft, tokens):
    target[:] = 0.5
    return tokens[0]


def raises(target, draft, tokens):
    raise KeyError("row")


def word(target, draft, tokens):
    print("noise")
    return "token"

"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """Run a test file that begins with `CODE`, in this process."""

    def forget(snapshot: Any) -> None:
        # Modules of the run are forgotten, but not libraries that it was the first to import: numpy loads only once.
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "") or "").startswith(str(pytester.path)):
                del sys.modules[name]

    monkeypatch.setattr("_pytest.pytester.SysModulesSnapshot.restore", forget)
    pytester: pytest.Pytester = request.getfixturevalue("pytester")

    def run(tests: str, *options: str, ini: str = "") -> pytest.RunResult:
        pytester.makeini(f"[pytest]\naddopts = --strict-markers -p no:cacheprovider -p no:xdist\n{ini}")
        pytester.makepyfile(CODE + tests)
        return pytester.runpytest_inprocess(*options)

    return run


def test_it_is_installed() -> None:
    (point,) = [point for point in entry_points(group="pytest11") if point.value == "_specmath_pytest"]
    assert point.name == "specmath"


STARTED = """
import sys

def pytest_unconfigure():
    print("held", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def held(folder: Path, conftest: str) -> set[str]:
    """Top-level modules that a run of pytest with the plugin, and no test, holds at its end."""
    (folder / "conftest.py").write_text(conftest)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "_specmath_pytest", "-p", "no:cacheprovider"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": ""},
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if "held" in line), "")
    return set(line.split()[1:])


def test_it_is_light(tmp_path: Path) -> None:
    """Every start of pytest loads the plugin; a time would depend on the machine, the modules do not."""
    found = held(tmp_path, STARTED)
    assert "_specmath_pytest" in found
    assert not HEAVY & found


def test_a_heavy_start_is_seen(tmp_path: Path) -> None:
    assert "numpy" in held(tmp_path, f"import specmath.oracle.testing\n{STARTED}")


def test_it_imports_nothing_but_pytest() -> None:
    source = Path(sys.modules["_specmath_pytest"].__file__ or "").read_text()
    names = {str(one.module).partition(".")[0] for one in imports(source) if one.at_import}
    assert names <= {"__future__", "collections", "typing", "pytest"}


def test_fixture(run: Any) -> None:
    result = run(
        """
def test_good(specmath_audit):
    assert specmath_audit(good, **OPTIONS).status == "lossless"

def test_bad(specmath_audit):
    specmath_audit(bad, **OPTIONS)

def test_expected(specmath_audit):
    specmath_audit(bad, expect="biased", **OPTIONS)

def test_other(specmath_audit):
    specmath_audit(good, expect="biased", **OPTIONS)

def test_undecided(specmath_audit):
    specmath_audit(normal, **OPTIONS)
"""
    )
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines(
        [
            ">       specmath_audit(bad, **OPTIONS)",
            "E*CheckFailed: biased: bad (node, numpy float64, drafts iid)",
            "E*cause: matches: residual taken from the target",
            "E*context  target*draft*",
            "E*text  expected  found",
            "E*expected 'biased'",
            "E*lossless: good*",
            "E*undecided: normal*",
            "E*cause: *normal*",
        ]
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hangs", "no verdict within 0.3 s; 0 of 6 instances were done, the next is 'two tokens'"),
        ("changes", "check inputs_not_mutated: changed its inputs: target"),
        ("raises", "check returns: KeyError: 'row'"),
        ("word", "check shape: returned 'token'; expected a token"),
    ],
)
def test_functions_that_fail(name: str, says: str, run: Any) -> None:
    """The limit decides nothing but how long a function that never ends is waited for."""
    limit = ", time_limit=0.3" if name == "hangs" else ", minimise=False"
    result = run(f"def test_it(specmath_audit):\n    specmath_audit({name}, **OPTIONS{limit})\n")
    result.assert_outcomes(failed=1)
    assert says in result.stdout.str()


CHECKED = """
@parametrize_with_checks([good, bad, equal], expected_failures={}, **OPTIONS)
def test_it(function, check):
    check(function)
"""


def test_ids(run: Any) -> None:
    result = run(CHECKED, "--collect-only", "-q")
    lines = [line.partition("::")[2] for line in result.outlines if "::" in line]
    assert len(lines) == 33
    assert "test_it[good-exact_law]" in lines
    assert "test_it[equal-unsafe_zero]" in lines


def test_checks(run: Any) -> None:
    result = run(CHECKED)
    result.assert_outcomes(passed=31, failed=2)
    failed = {line.split()[1].partition("::")[2] for line in result.outlines if line.startswith("FAILED")}
    assert failed == {"test_it[bad-exact_law]", "test_it[equal-unsafe_zero]"}
    result.stdout.fnmatch_lines(["E*CheckFailed: exact_law: the joint law of drafts*", "E*biased: bad*"])


@pytest.mark.parametrize(
    ("expected", "outcomes"),
    [
        ('{"bad": {"exact_law": "known"}, "equal": {"unsafe_zero": "known"}}', {"passed": 31, "xfailed": 2}),
        ('{"bad": {"exact_law": "known", "support": "no"}}', {"passed": 30, "xfailed": 1, "failed": 2}),
    ],
    ids=["declared", "passes though declared"],
)
def test_expected_failures_are_strict(expected: str, outcomes: dict[str, int], run: Any) -> None:
    run(CHECKED.replace("{}", expected)).assert_outcomes(**outcomes)


@pytest.mark.parametrize("name", ["normal", "hangs"])
def test_no_verdict_is_no_expected_failure(name: str, run: Any) -> None:
    checked = CHECKED.replace("[good, bad, equal]", f"[{name}]").replace("{}", f'{{"{name}": {{"exact_law": "?"}}}}')
    result = run(checked.replace("**OPTIONS)", "time_limit=0.3, **OPTIONS)"), "-k", "exact_law")
    result.assert_outcomes(failed=1, deselected=10)
    assert "nothing can be said" in result.stdout.str()


def test_options_of_ini_file_and_marker(run: Any) -> None:
    tests = """
def test_ini(specmath_audit):
    specmath_audit(good, **OPTIONS)

@pytest.mark.specmath(budget=1000)
def test_marker(specmath_audit):
    specmath_audit(good, **OPTIONS)

def test_call(specmath_audit):
    specmath_audit(good, budget=1000, **OPTIONS)

@parametrize_with_checks([good], **OPTIONS)
def test_checks(function, check):
    check(function)
"""
    result = run(tests, "-k", "not test_checks or exact_law", ini="specmath_budget = 2")
    result.assert_outcomes(passed=2, failed=2, deselected=10)
    assert "more than budget=2 runs" in result.stdout.str()
    run(tests, "-m", "not specmath").assert_outcomes(deselected=14)


@pytest.mark.parametrize(
    ("ini", "marker", "says"),
    [
        ("specmath_budget = many", "", "specmath_budget is 'many' in the ini file"),
        ("specmath_samples = 0", "", "specmath_samples is '0' in the ini file"),
        ("", "@pytest.mark.specmath(7)", "the marker specmath takes options by name"),
    ],
)
def test_wrong_options(ini: str, marker: str, says: str, run: Any) -> None:
    result = run(f"{marker}\ndef test_it(specmath_audit):\n    pass\n", ini=ini)
    assert says in result.stdout.str() + result.stderr.str()
    assert result.ret != 0


def test_samples(run: Any) -> None:
    """The right function fails with probability 1e-3 at most: where the samples do not exclude 0.25."""
    result = run(
        """
FEW = {**OPTIONS, "instances": OPTIONS["instances"][:1], "tolerance": 0.25}

def test_system(specmath_audit):
    assert specmath_audit(system, **FEW).evidence == "sequential"

@parametrize_with_checks([system], **FEW)
def test_checks(function, check):
    check(function)

@pytest.mark.specmath(samples=70)
def test_too_few(specmath_audit):
    specmath_audit(system, **{**FEW, "tolerance": 0.01})
""",
        ini="specmath_samples = 20000",
    )
    result.assert_outcomes(passed=9, failed=1, skipped=3)
    assert "undecided: system" in result.stdout.str()


SETTING = """
import numpy as np
import pytest
from random import SystemRandom


def by(uniform, passes):
    def verify(target, draft, tokens):
        for i, token in enumerate(tokens):
            if not passes(uniform() * draft[i, token], target[i, token]):
                left = np.maximum(target[i] - draft[i], 0)
                left = left if left.any() else target[i]
                return [*tokens[:i], drawn(left, uniform)]
        return [*tokens, drawn(target[-1], uniform)]
    return verify


def drawn(weights, uniform):
    edges = np.cumsum(weights)
    return np.searchsorted(edges, uniform() * edges[-1], side="right")


verify = by(np.random.random, np.less)
verify_fast = by(np.random.random, np.less_equal)
verify.__name__, verify_fast.__name__ = "verify", "verify_fast"
engine_verify = by(SystemRandom().random, np.less)
"""


def examples() -> list[str]:
    """The tests that the how-to page shows."""
    page = (ROOT / "docs" / "how-to" / "check_in_pytest_and_ci.md").read_text()
    return [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if ">>>" not in block]


def test_the_page_shows_tests() -> None:
    assert [re.findall(r"def (test_\w+)", block) for block in examples()] == [
        ["test_verify"],
        ["test_checks"],
        ["test_verify"],
        ["test_engine"],
        ["test_installed_transformers"],
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "passed", "xfailed"), [(0, 1, 0), (1, 21, 1), (2, 1, 0), (3, 1, 0)])
def test_examples_of_the_page(number: int, passed: int, xfailed: int, run: Any) -> None:
    run(SETTING + examples()[number]).assert_outcomes(passed=passed, xfailed=xfailed)


@pytest.mark.slow
def test_xdist_and_no_torch(pytester: pytest.Pytester) -> None:
    """In workers, in an environment where torch cannot be imported."""
    pytest.importorskip("xdist")
    pytester.makeconftest("import sys\nsys.modules['torch'] = None\n")
    pytester.makepyfile(f"{CODE}\n{CHECKED}\ndef test_fixture(specmath_audit):\n    specmath_audit(good, **OPTIONS)\n")
    result = pytester.runpytest_subprocess("-n", "1", "-p", "no:cacheprovider", "-k", "good or fixture")
    result.assert_outcomes(passed=12)


@pytest.mark.parametrize(
    ("functions", "options", "says"),
    [
        ([len, len], {}, "two of the name 'len'"),
        (["len"], {}, "functions has 'len'"),
        ([len], {"expected_failures": {"max": {"exact_law": ""}}}, "has 'max'; allowed are 'len'"),
        ([len], {"expected_failures": {"len": {"law": ""}}}, "has 'law'; allowed are 'returns'"),
        ([len], {"expect": "biased"}, "expect is for the whole verdict"),
    ],
)
def test_wrong_parameters(functions: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        testing.parametrize_with_checks(functions, **options)


def test_names_can_be_given() -> None:
    mark: Any = testing.parametrize_with_checks({"one": len, "other": len}, kind="batch")
    assert {case.id.partition("-")[0] for case in mark.args[1]} == {"one", "other"}
    assert "one-batch_mates" in [case.id for case in mark.args[1]]


def test_wrong_status() -> None:
    with pytest.raises(ValueError, match="expect is 'right'; allowed are 'lossless'"):
        testing.require(len, expect="right")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"number": 2}, "number is no option of an audit of functions; allowed are kind, arrays"),
        ({"kind": "generate", "target": len, "n": 2}, "n is no option of an audit of kind 'generate'; allowed are"),
        ({"kind": "generate"}, "target is missing; kind 'generate' needs target"),
        ({"kind": "generate", "samples": 100}, "target is missing"),
    ],
)
def test_wrong_names_of_options(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        testing.require(len, **options)


def test_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of an adapter is audited as such; an absent package skips, an unknown name is an error."""
    from specmath.oracle.adapters import registry

    with pytest.raises(ValueError, match=r"there is no adapter 'nobody\.nothing'"):
        testing.require("nobody.nothing")

    def missing(name: str, **options: Any) -> None:
        raise Missing("the package is not installed")

    monkeypatch.setattr(registry, "audit_adapter", missing)
    with pytest.raises(pytest.skip.Exception, match=r"engine\.verify: the package is not installed"):
        testing.require("engine.verify")
