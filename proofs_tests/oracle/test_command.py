"""`specmath audit`: exit codes, JSON by the schema, and functions that print, hang or die."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from specmath.cli import main
from specmath.oracle import audit, standard
from specmath.oracle.load import PRIVATE, load
from specmath.oracle.verdict import EXIT

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


def now_and_then(target, draft, tokens, generator):
    if generator.random() < 0.5:
        raise KeyError("row")
    return generator.choice(len(target), p=target)


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
    told = capfd.readouterr().out
    assert "no verdict within 3 s" in told
    assert told.startswith(f"failed: {file}:hangs (node, drafts iid)\n")
    assert "it was called for" not in told


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
        (["{file}:good", "--kind", "tree", "--n", "2"], "--n is not for --kind tree"),
        ([], "nothing to audit; allowed is one of FILE.py:FUNCTION"),
        (["{file}:good", "--adapters"], "several things to audit; allowed is one of"),
    ],
)
def test_usage(words: list[str], message: str, file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *(word.format(file=file) for word in words)]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("name", "said"), [("wrong", True), ("bad", False), ("now_and_then", False)])
def test_a_function_that_never_runs_is_told_how_it_was_called(
    name: str, said: bool, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It may be of another kind; one that runs is called rightly."""
    run(file, name)
    assert ("it was called for --kind node: f(target (V,), draft (V,), tokens (n,))" in capfd.readouterr().out) == said


def test_the_default_kind_is_told(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", f"{file}:good", "--n", "1"]) == 4
    assert "it was called for --kind chain (the default): " in capfd.readouterr().out


def test_json_is_json_alone(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(file, "wrong", "--json")
    assert json.loads(capfd.readouterr().out)["status"] == "failed"


def test_every_verdict_is_explained(capfd: pytest.CaptureFixture[str]) -> None:
    """In the help and on the page, with its exit code."""
    assert main(["audit", "--help"]) == 0
    told = capfd.readouterr().out
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "audit_a_verifier.md").read_text(encoding="utf-8")
    for status, code in EXIT.items():
        assert re.search(rf"^  {code} {status}  ", told, re.MULTILINE), status
        assert f"| `{status}` | {code} |" in page
    assert max(map(len, told.splitlines())) <= 120


JITTED = """
import jax
import jax.numpy as jnp


@jax.jit
def verify(target, draft, tokens, key):
    test, last = jax.random.split(key)
    token = tokens[0]
    kept = jax.random.uniform(test) * draft[token] < target[token]
    left = jnp.maximum(target - draft, 0)
    left = jnp.where(left.sum() > 0, left, target)
    return jnp.where(kept, token, jax.random.categorical(last, jnp.log(left)))


@jax.jit
def wrong(target, draft, tokens, key):
    test, last = jax.random.split(key)
    token = tokens[0]
    kept = jax.random.uniform(test) * draft[token] < target[token]
    return jnp.where(kept, token, jax.random.categorical(last, jnp.log(target)))
"""


@pytest.mark.parametrize(("name", "status"), [("verify", "lossless"), ("wrong", "biased")])
def test_a_compiled_function_itself(name: str, status: str, tmp_path: Path) -> None:
    """Its library and its key are found, and it runs eagerly."""
    pytest.importorskip("jax")
    (tmp_path / "jitted.py").write_text(JITTED)
    verdict = audit(load(f"{tmp_path / 'jitted.py'}:{name}"), kind="node", n=1, instances=standard("node", n=1)[:4])
    assert (verdict.status, verdict.arrays) == (status, "jax"), str(verdict)


def test_private_module_name(file: Path) -> None:
    """A file called torch.py must not become the module torch."""
    (file.parent / "torch.py").write_text("def f():\n    return 1\n")
    function = load(f"{file.parent / 'torch.py'}:f")
    assert function.__module__ == PRIVATE + "torch"
