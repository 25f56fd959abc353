"""`specmath audit`: exit codes, JSON by the schema, and functions that print, hang or die."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from specmath.cli import main
from specmath.oracle.load import PRIVATE, load

SCHEMA = json.loads(files("specmath").joinpath("schemas/audit.schema.json").read_text(encoding="utf-8"))

CODE = """
import os

import numpy as np
from helper import correction


def good(target, draft, tokens, generator):
    print("noise")
    token = tokens[0]
    return token if generator.random() * draft[token] < target[token] else correction(target, draft, generator)


def bad(target, draft, tokens, generator):
    token = tokens[0]
    return token if generator.random() < target[token] / draft[token] else generator.choice(len(target), p=target)


def normal(target, draft, tokens, generator):
    return int(generator.normal() > 0)


def wrong(target, draft, tokens):
    raise KeyError("row")


def hangs(target, draft, tokens):
    while True:
        pass


def dies(target, draft, tokens):
    os._exit(9)
"""
HELPER = """
import numpy as np


def correction(target, draft, generator):
    left = np.maximum(target - draft, 0)
    left = left if left.any() else target
    return generator.choice(len(left), p=left / left.sum())
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file outside of any package, with a helper beside it."""
    (tmp_path / "helper.py").write_text(HELPER)
    path = tmp_path / "verifier.py"
    path.write_text(CODE)
    return path


def run(file: Path, name: str, *options: str) -> int:
    return main(["audit", f"{file}:{name}", "--kind", "node", "--n", "1", *options])


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("good", "lossless", 0), ("bad", "biased", 1), ("normal", "undecided", 3), ("wrong", "failed", 4)],
)
def test_json(name: str, status: str, code: int, file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(file, name, "--json") == code
    document = json.loads(capfd.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert (document["status"], document["function"], document["arrays"]) == (status, name, "numpy")
    assert (document["instance"] is None) == (status in ("lossless", "undecided"))


def test_schema_refuses(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(file, "bad", "--json")
    document = json.loads(capfd.readouterr().out)
    for broken in (
        {**document, "status": "fine"},
        {**document, "extra": 1},
        {**document, "total_variation": -0.1},
        {key: value for key, value in document.items() if key != "checks"},
    ):
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(broken)


def test_text(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(file, "bad") == 1
    text = capfd.readouterr().out
    assert text.startswith("biased: bad (node, numpy float64, drafts iid)")
    assert "residual taken from the target" in text


def test_a_process_that_dies_is_a_verdict(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(file, "dies") == 4
    assert "exit code 9" in capfd.readouterr().out


def test_time_limit(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The limit is far above what a start takes, and a function that never ends meets it."""
    assert run(file, "hangs", "--time-limit", "3") == 4
    assert "no verdict within 3 s" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{file}:nothing"], "has no 'nothing'; it has bad, correction, dies"),
        (["{file}"], "names no function"),
        (["{file}.py:good"], "no such file"),
        (["no.such.module:f"], "cannot be imported"),
        (["{file}:good", "--kind", "path"], "invalid choice: 'path'"),
        (["{file}:good", "--n", "0"], "--n is 0; allowed are numbers >= 1"),
        (["{file}:good", "--time-limit", "0"], "--time-limit is 0"),
    ],
)
def test_usage(words: list[str], message: str, file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *(word.format(file=file) for word in words)]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_private_module_name(file: Path) -> None:
    """A file called torch.py must not become the module torch."""
    (file.parent / "torch.py").write_text("def f():\n    return 1\n")
    function = load(f"{file.parent / 'torch.py'}:f")
    assert function.__module__ == PRIVATE + "torch"
