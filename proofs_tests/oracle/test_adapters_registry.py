"""Adapters: how they are found, where their packages are, and what is said about those that are absent."""

from __future__ import annotations

import json
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from proofs_tests.packaging.sources import ROOT
from specmath.cli import main
from specmath.cli.adapters import table
from specmath.oracle import Lossy
from specmath.oracle.adapters import Adapter, Missing, Whole, adapters, audit_adapter
from specmath.oracle.adapters.place import folder, put_on_path, version
from specmath.oracle.adapters.registry import GROUP, OWN, State, get, states
from specmath.oracle.child import audit_in_child

SCHEMA = json.loads(files("specmath").joinpath("schemas/adapters.schema.json").read_text(encoding="utf-8"))

ENGINE = """
import numpy as np

__version__ = "1.5"

def verify(target, draft, tokens, generator):
    token = tokens[0]
    if generator.random() * draft[token] < target[token]:
        return token
    left = RESIDUAL
    return generator.choice(len(left), p=left / left.sum())

def generate(prompt, count, generator=np.random):
    return [int(generator.choice(2, p=[0.25, 0.75])) for _ in range(count)]
"""
RIGHT = "np.maximum(target - draft, 0) if (target > draft).any() else target"

THIRD_PARTY = """
import importlib

from specmath.oracle.adapters import Adapter, Missing, Whole
from specmath.oracle.adapters.place import put_on_path


def load(source):
    put_on_path("specmath_test_engine", source)
    return importlib.import_module("specmath_test_engine").verify


def load_whole(source):
    put_on_path("specmath_test_engine", source)
    engine = importlib.import_module("specmath_test_engine")
    return Whole(engine.generate, lambda text: [0.25, 0.75], length=2)


def adapter(name, kind="node", load=load):
    return Adapter(name=name, package="specmath_test_engine", versions="1.5", family="ratio", kind=kind, load=load,
                   place="specmath_test_engine.py: verify", randomness="generator", arrays="numpy", dtype="float64",
                   n=1 if kind == "node" else None)


ADAPTERS = (
    adapter("engine.verify"),
    adapter("engine.generate", "generate", load_whole),
    adapter("transformers.speculative_sampling"),
)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with a distribution that registers adapters, one of them under a name that is taken."""
    place = tmp_path / "site"
    info = place / "specmath_third_party-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: specmath-third-party\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\nmine = specmath_third_party:ADAPTERS\nbroken = specmath_no_such_module:ADAPTERS\n"
    )
    (place / "specmath_third_party.py").write_text(THIRD_PARTY)
    monkeypatch.syspath_prepend(str(place))
    yield place
    for name in ("specmath_third_party", "specmath_test_engine"):
        sys.modules.pop(name, None)


def engine(at: Path, residual: str = RIGHT) -> Path:
    """The package of the engine below ``at``."""
    package = at / "specmath_test_engine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(ENGINE.replace("RESIDUAL", residual))
    return package


def found() -> dict[str, Adapter]:
    """All adapters, the warnings about those that are left out dropped."""
    with pytest.warns(RuntimeWarning):
        return adapters()


def test_entry_points_agree() -> None:
    """The table that serves a source tree, pyproject.toml and what is installed name the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    written = project["project"]["entry-points"][GROUP]
    assert written == OWN
    installed = {point.name: point.value for point in entry_points(group=GROUP)}
    assert written.items() <= installed.items(), "reinstall with: pip install --no-deps -e ."


def test_own_adapters_are_complete() -> None:
    known = adapters()
    assert "transformers.speculative_sampling" in known
    for name, adapter in known.items():
        assert name == adapter.name
        assert all([adapter.package, adapter.versions, adapter.place, adapter.randomness]), name


def test_adapters_of_others(site: Path) -> None:
    with pytest.warns(RuntimeWarning) as seen:
        known = adapters()
    assert {"engine.verify", "engine.generate"} <= set(known)
    assert known["transformers.speculative_sampling"].package == "transformers"
    messages = [str(one.message) for one in seen]
    assert any("'transformers.speculative_sampling' exists already" in message for message in messages)
    assert any("specmath_no_such_module:ADAPTERS" in message for message in messages)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", ["folder", "src", "wheel"])
def test_source(kind: str, site: Path, tmp_path: Path) -> None:
    source = tmp_path / "clone"
    package = engine(source / "src" if kind == "src" else source)
    if kind == "wheel":
        source = tmp_path / "specmath_test_engine-1.5-py3-none-any.whl"
        with zipfile.ZipFile(source, "w") as archive:
            archive.write(package / "__init__.py", "specmath_test_engine/__init__.py")
            archive.writestr("specmath_test_engine/kernel.so", "compiled code stays in the wheel")
    verdict = audit_adapter("engine.verify", source=source)
    assert verdict.status == "lossless"
    assert verdict.function == "engine.verify (specmath_test_engine 1.5)"
    assert (folder("specmath_test_engine", source) / "__init__.py").exists()
    assert not (folder("specmath_test_engine", source) / "kernel.so").exists()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_planted(site: Path, tmp_path: Path) -> None:
    """The residual taken from the target: the adapter's verdict names it, and replays under its name."""
    engine(tmp_path / "clone", "target")
    verdict = audit_adapter("engine.verify", source=tmp_path / "clone")
    assert (verdict.status, verdict.cause) == ("biased", "matches: residual taken from the target")
    assert verdict.replay is not None
    again = verdict.replay()
    assert (again.status, again.function) == ("biased", verdict.function)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_whole_calls(site: Path, tmp_path: Path) -> None:
    engine(tmp_path / "clone")
    verdict = audit_adapter("engine.generate", source=tmp_path / "clone")
    assert (verdict.kind, verdict.status) == ("generate", "lossless")
    assert audit_adapter("engine.generate", source=tmp_path / "clone", length=1).runs < verdict.runs


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_missing(site: Path, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="'specmath_test_engine' is not installed"):
        audit_adapter("engine.verify")
    with pytest.raises(Missing, match="no such file"):
        audit_adapter("engine.verify", source=tmp_path / "nothing")
    with pytest.raises(Missing, match="no folder specmath_test_engine in it"):
        audit_adapter("engine.verify", source=site)
    (tmp_path / "text.whl").write_text("no wheel")
    with pytest.raises(Missing, match="allowed are wheels and folders"):
        audit_adapter("engine.verify", source=tmp_path / "text.whl")
    engine(tmp_path / "one")
    engine(tmp_path / "two")
    audit_adapter("engine.verify", source=tmp_path / "one")
    with pytest.raises(Missing, match="imported already"):
        put_on_path("specmath_test_engine", tmp_path / "two")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_source_of_the_environment_is_what_is_audited(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version in the verdict is that of the code which ran, not of another that the environment names."""
    (site / "specmath_test_engine").mkdir()
    (site / "specmath_test_engine/__init__.py").write_text("raise ImportError('the installed one')")
    engine(tmp_path / "clone", "target")
    monkeypatch.setenv("SPECMATH_SOURCE_SPECMATH_TEST_ENGINE", str(tmp_path / "clone"))
    verdict = audit_adapter("engine.verify")
    assert (verdict.status, verdict.function) == ("biased", "engine.verify (specmath_test_engine 1.5)")
    monkeypatch.setenv("SPECMATH_SOURCE_SPECMATH_TEST_ENGINE", str(tmp_path / "nowhere"))
    with pytest.raises(Missing, match="no such file"):
        audit_adapter("engine.verify")


def test_killed_audit_of_an_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its verdict says of the adapter what the adapter says."""
    monkeypatch.setenv("SPECMATH_SOURCE_TRANSFORMERS", "transformers-9.9.9-py3-none-any.whl")
    for name, kind, drafts in (("assisted", "generate", "its own"), ("speculative_sampling", "chain", "top_k")):
        given = {} if kind == "generate" else {"drafts": drafts}
        report = audit_in_child(f"transformers.{name}", given, 0.01, adapter=True)
        found = report.document
        assert (report.exit_code, found["status"], found["function"]) == (
            4,
            "failed",
            f"transformers.{name} (transformers 9.9.9)",
        )
        told = found["kind"], found["arrays"], found["dtype"], found["drafts"]
        assert told == (kind, "torch", "float32", drafts)


def test_version(tmp_path: Path) -> None:
    engine(tmp_path / "clone" / "src")
    assert version("specmath_test_engine", tmp_path / "clone") == "1.5"
    assert version("specmath_test_engine", tmp_path) == ""
    assert version("specmath_test_engine") == ""
    assert version("numpy") == __import__("numpy").__version__
    assert version("vllm", Path("vllm-0.33.0-cp38-abi3-manylinux1_x86_64.whl")) == "0.33.0"


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match=r"no adapter 'nothing'; there are .*transformers\.prompt_lookup"):
        get("nothing")
    given = {"name": "a", "package": "b", "versions": "1", "kind": "node", "load": print, "place": "c"}
    with pytest.raises(ValueError, match="family is 'fast'; allowed are 'ratio'"):
        Adapter(**given, family="fast", randomness="d")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="declared"):
        Adapter(**given, family="lossy", randomness="d")
    with pytest.raises(ValueError, match="declared"):
        Adapter(**given, family="ratio", randomness="d", declared=Lossy("e", lambda p, q: p))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_states(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(source: Path | None) -> Whole:
        raise OSError("no driver")

    known = adapters()
    module = sys.modules["specmath_third_party"]
    module.ADAPTERS = (  # type: ignore[attr-defined]
        known["engine.verify"],
        Adapter(
            name="engine.driver",
            package="numpy",
            versions="0",
            family="ratio",
            kind="generate",
            load=fails,
            place="x: y",
            randomness="z",
        ),
    )
    monkeypatch.setattr("specmath.oracle.adapters.registry.OWN", {})
    monkeypatch.setattr("specmath.oracle.adapters.registry.entry_points_of", lambda: mine())
    said = {state.adapter.name: (state.present, state.what) for state in states()}
    assert said["engine.verify"] == (False, "the package 'specmath_test_engine' is not installed")
    assert said["engine.driver"] == (False, "cannot be loaded: OSError: no driver")


def mine() -> list[tuple[str, str]]:
    """Only the adapters of the test."""
    return [("specmath-third-party", "specmath_third_party:ADAPTERS")]


def test_list(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPECMATH_SOURCE_EAGLE", raising=False)
    assert main(["audit", "--adapters"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["adapter", "family", "kind", "state"]
    rows = lines[1 : len(adapters()) + 1]
    assert [line.split()[0] for line in rows] == list(adapters())
    (eagle,) = (line for line in rows if line.startswith("eagle."))
    assert eagle.endswith("absent; commit cb7e084 of https://github.com/SafeAILab/EAGLE")
    # What to do about it is said once.
    assert sum("--source PATH" in line for line in lines) == 1
    assert max(map(len, lines)) <= 150


def test_states_in_the_list() -> None:
    """As it was run with, another version, somebody's reason, nowhere; without the hint if nothing is nowhere."""
    one = adapters()["eagle.evaluate_posterior"]
    known, other = State(one, True, "commit cb7e084"), State(one, True, "commit 1234567")
    failing = State(one, False, "defines no evaluate_posterior, in this version")
    ends = [
        line[len("eagle.evaluate_posterior  target_only  tree  ") :]
        for line in table([known, other, failing]).split("\n")
    ]
    assert ends[1:] == [
        "commit cb7e084",
        "commit 1234567; was run with commit cb7e084",
        "absent: defines no evaluate_posterior, in this version",
    ]
    assert "SPECMATH_SOURCE_EAGLE" in table([State(one, False, "no source is named", nowhere=True)])


def test_list_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--adapters", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    checker = jsonschema.Draft202012Validator(SCHEMA)
    checker.validate(document)
    assert [row["name"] for row in document["adapters"]] == list(adapters())
    broken = {**document["adapters"][0], "family": "fast"}
    assert not checker.is_valid({**document, "adapters": [broken]})
    assert not checker.is_valid({**document, "more": 1})


def test_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In a process of its own: what is missing there is a wrong call, with the reason."""
    words = ["audit", "--adapter", "transformers.speculative_sampling", "--source", str(tmp_path)]
    assert main(words) == 2
    assert "no folder transformers in it" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "allowed is one of FILE.py:FUNCTION, --adapter NAME and --adapters"),
        (["--adapters", "a.py:f"], "allowed is one of"),
        (["--adapter", "x", "--kind", "node"], "with --adapter the adapter knows it"),
        (["a.py:f", "--source", "x"], "--source is for --adapter"),
        (["--adapter", "nothing"], "there is no adapter 'nothing'"),
        (["--adapter", "specmath.chain", "--sample", "9"], "samples is 9; specmath.chain is audited by its exact law"),
    ],
)
def test_usage(words: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *words]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
