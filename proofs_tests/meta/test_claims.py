"""Every registered claim has an exact proof, a statistical test and a control; no mark names an unknown claim."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from specmath import claims

TESTS = Path(__file__).resolve().parents[1]


def problems(ids: Iterable[str], marks: Iterable[Mapping[str, str]]) -> list[str]:
    """What is wrong with a set of claim marks, in words."""
    known, found = set(ids), []
    covered: dict[str, set[str]] = {id: set() for id in known}
    for mark in marks:
        if mark["id"] not in known:
            found.append(f"{mark['test']} names the unknown claim {mark['id']!r}")
        elif mark["kind"] not in claims.KINDS:
            found.append(f"{mark['test']} has the unknown kind {mark['kind']!r}")
        else:
            covered[mark["id"]].add(mark["kind"])
    found += [f"claim {id!r} lacks {kind}" for id in sorted(known) for kind in claims.KINDS if kind not in covered[id]]
    return found


def collected(places: list[Path], file: Path, *options: str) -> list[dict[str, str]]:
    """Claim marks of all tests below ``places``, by a collection of its own."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    run = subprocess.run(
        [*command, "--claims-out", str(file), *options, *map(str, places)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=TESTS.parent,
    )
    assert file.exists(), f"collection failed:\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"
    return json.loads(file.read_text(encoding="utf-8"))


def test_every_claim_is_covered(tmp_path: Path) -> None:
    marks = collected(
        [
            TESTS / kind
            for kind in (
                "exact",
                "statistical",
                "meta",
                "transport",
                "relax",
                "equivalence",
                "oracle",
                "planning",
                "stopping",
            )
        ],
        tmp_path / "marks.json",
    )
    assert problems(claims.names(), marks) == []


def test_a_claim_without_proof_test_or_control_is_reported() -> None:
    marks = [{"test": "t", "id": "a", "kind": kind} for kind in claims.KINDS]
    assert problems(["a"], marks) == []
    for kind in claims.KINDS:
        assert problems(["a"], [mark for mark in marks if mark["kind"] != kind]) == [f"claim 'a' lacks {kind}"]
    assert problems(["a", "b"], marks) == [f"claim 'b' lacks {kind}" for kind in claims.KINDS]


def test_unknown_ids_and_kinds_are_reported() -> None:
    marks = [{"test": "t", "id": "a", "kind": kind} for kind in claims.KINDS]
    assert problems(["a"], [*marks, {"test": "u", "id": "c", "kind": "exact"}]) == ["u names the unknown claim 'c'"]
    assert problems(["a"], [*marks, {"test": "u", "id": "a", "kind": "vague"}]) == ["u has the unknown kind 'vague'"]


def test_marks_are_collected_from_a_planted_file(tmp_path: Path) -> None:
    """The collection itself: a planted test shows up with its marks, a slow one does not count."""
    planted = tmp_path / "test_planted.py"
    planted.write_text(
        "import pytest\n"
        "@pytest.mark.claim('planted', 'exact')\n"
        "def test_one(): pass\n"
        "@pytest.mark.slow\n"
        "@pytest.mark.claim('planted', 'control')\n"
        "def test_two(): pass\n",
        encoding="utf-8",
    )
    options = ("-c", str(TESTS.parent / "pyproject.toml"), "-p", "proofs_tests.conftest")
    marks = collected([planted], tmp_path / "marks.json", *options)
    assert [(mark["id"], mark["kind"]) for mark in marks] == [("planted", "exact")]
    assert "planted" in " ".join(problems(claims.names(), marks))


def test_get_names_what_is_known() -> None:
    assert claims.get("verify/block").id == "verify/block"
    with pytest.raises(ValueError, match="'nope'; allowed are 'lossless/single/iid'"):
        claims.get("nope")
