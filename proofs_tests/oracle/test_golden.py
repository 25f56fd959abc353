"""Golden vectors: our rules reproduce them, planted defects do not, and a C++ program reads them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from specmath import rules
from specmath.oracle import golden, golden_make
from specmath.oracle.golden import Golden, as_json, check, check_laws, dumps, from_json, load
from specmath.oracle.golden_make import PAIRS, make

LOSSLESS = [name for name in rules.names() if rules.get(name).lossless]
SCHEMA = json.loads((files("specmath") / "schemas" / "golden.schema.json").read_text())
QUICK = ("single", "recursive", "greedy", "token_wise")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "golden_vectors.md"


def verify(name: str, **fixed: Any) -> Callable[..., Any]:
    return lambda **given: rules.get(name).verify(check=False, **(given | fixed)).tokens


def test_every_lossless_rule_has_a_file() -> None:
    assert sorted(golden.names()) == sorted(LOSSLESS)


@pytest.mark.parametrize("name", LOSSLESS)
def test_rules_reproduce_their_vectors(name: str) -> None:
    assert not check(load(name), verify(name))


@pytest.mark.parametrize("name", [name for name in LOSSLESS if rules.get(name).layout != "tree"])
def test_float32_reproduces_what_it_decides(name: str) -> None:
    assert not check(load(name), verify(name), dtype="float32")


@pytest.mark.parametrize("name", LOSSLESS)
def test_files_have_the_schema_and_survive_reading(name: str) -> None:
    text = (files("specmath") / "data" / "golden" / f"{name}.json").read_text()
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(text))
    found = load(name)
    assert dumps(found) == text
    assert as_json(from_json(as_json(found))) == as_json(found)
    drafts = {case.drafts for case in found.cases}
    assert drafts == set(rules.get(name).drafts)
    kinds = {vector.kind for case in found.cases for vector in case.vectors}
    assert kinds >= {"corner", "near", "spread"}
    assert len({case.name for case in found.cases}) == len(found.cases)


@pytest.mark.parametrize("name", QUICK)
def test_files_are_what_the_command_writes(name: str) -> None:
    assert dumps(make(name)) == (files("specmath") / "data" / "golden" / f"{name}.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LOSSLESS if name not in QUICK])
def test_the_other_files_are_what_the_command_writes(name: str) -> None:
    assert dumps(make(name)) == (files("specmath") / "data" / "golden" / f"{name}.json").read_text()


def few(name: str, count: int) -> Golden:
    found = load(name)
    return replace(found, cases=found.cases[:count])


@pytest.mark.parametrize(("name", "count"), [("single", 5), ("recursive", 3), ("token_wise", 2), ("block", 1)])
def test_laws_are_those_of_verify(name: str, count: int) -> None:
    """The laws come from the programs, over Fractions; `verify` has the same, integrated over its uniforms."""
    assert not check_laws(few(name, count), verify(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSLESS)
def test_all_laws_are_those_of_verify(name: str) -> None:
    assert not check_laws(load(name), verify(name))


def test_laws_are_exact() -> None:
    for name in LOSSLESS:
        for case in load(name).cases:
            assert (case.law is not None) == rules.get(name).same_plan
            if case.law is not None and all(isinstance(mass, Fraction) for mass in case.law.values()):
                assert sum(case.law.values()) == 1
    assert all(sum(weights) == 16 for pair in PAIRS for weights in pair)


def chain(
    target: Any,
    draft: Any,
    tokens: Any,
    uniforms: Any,
    passes: Callable[..., bool] = lambda u, p, q: u * q < p,
    left: Callable[..., Any] = lambda p, q: np.maximum(p - q, 0),
    bonus: int = 0,
    **rest: Any,
) -> list[int]:
    """Token-wise verification, with places for mistakes."""
    kept = 0
    while kept < len(tokens) and passes(uniforms[kept], target[kept, tokens[kept]], draft[kept, tokens[kept]]):
        kept += 1
    law = left(target[kept], draft[kept]) if kept < len(tokens) else target[kept - bonus]
    law = law if law.sum() > 0 else target[kept]
    reached = np.cumsum(law) > uniforms[-1] * law.sum()
    return [*(int(token) for token in tokens[:kept]), int(np.argmax(reached))]


DEFECTS: dict[str, dict[str, Any]] = {
    "u <= ratio": {"passes": lambda u, p, q: u * q <= p},
    "no ratio": {"passes": lambda u, p, q: u < p},
    "ratio upside down": {"passes": lambda u, p, q: u * p < q},
    "residual taken from the target": {"left": lambda p, q: p},
    "residual without the positive part": {"left": lambda p, q: np.abs(p - q)},
    "bonus from the row before": {"bonus": 1},
    "a threshold that is off by 2^-20": {"passes": lambda u, p, q: u * q < p * (1 + 2.0**-19)},
}


def test_another_implementation_passes() -> None:
    found = load("token_wise")
    assert not check(found, chain)
    assert not check(found, chain, dtype="float32")
    assert not check_laws(few("token_wise", 2), chain)


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_planted_defects_fail(defect: str) -> None:
    wrong = check(load("token_wise"), lambda **given: chain(**given, **DEFECTS[defect]))
    assert wrong
    assert "wanted" in str(wrong[0])
    if defect == "u <= ratio":
        assert any(one.vector is not None and one.vector.kind == "at" for one in wrong)


def test_planted_defects_have_another_law() -> None:
    for defect in ("no ratio", "residual taken from the target"):
        wrong = check_laws(few("token_wise", 1), lambda defect=defect, **given: chain(**given, **DEFECTS[defect]))
        assert len(wrong) == 1
        assert str(wrong[0]).startswith("iid 0 0: law")


def source() -> str:
    found = re.search(r"```cpp\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert found is not None
    return found[1]


def compiled(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Build and run the reader of the docs page on the chain's vectors."""
    (folder / "golden.cpp").write_text(text)
    options = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
    subprocess.run(
        ["g++", *options, "golden.cpp", "-o", "golden"], cwd=folder, check=True, capture_output=True, timeout=120
    )
    vectors = str(files("specmath") / "data" / "golden" / "token_wise.json")
    return subprocess.run(["./golden", vectors], cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_reader_in_cpp(tmp_path: Path) -> None:
    count = sum(len(case.vectors) for case in load("token_wise").cases)
    done = compiled(tmp_path, source())
    assert (done.returncode, done.stdout) == (0, f"{count} vectors, 0 wrong\n")
    wrong = source().replace("[token] < target", "[token] <= target")
    assert wrong != source()
    done = compiled(tmp_path, wrong)
    assert done.returncode == 1
    assert not done.stdout.endswith(" 0 wrong\n")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden_make.main(["single", "--out", str(tmp_path / "new")])
    assert capsys.readouterr().out.startswith(str(tmp_path / "new" / "single.json"))
    assert load(tmp_path / "new" / "single.json").rule == "single"
    with pytest.raises(SystemExit):
        golden_make.main(["lossy", "--out", str(tmp_path)])
    assert "RULE is 'lossy'; allowed are 'single'" in capsys.readouterr().err


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="name is 'lossy'; allowed are"):
        load("lossy")
    with pytest.raises(ValueError, match="schema_version is 7; this version reads 1"):
        from_json(as_json(load("single")) | {"schema_version": 7})
