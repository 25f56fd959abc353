"""People keep a `reference.py` of their own in the working folder: it must neither run nor be taken for ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from specmath.cli import discovery
from specmath.cli.command import UsageError


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "specmath", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(params=["module", "package", "folder"])
def foreign(request, tmp_path: Path) -> Path:
    """A working folder with a foreign `reference` that raises when it runs; returns what is named in the message."""
    poison = "raise SystemExit('a foreign reference was run')\n"
    if request.param == "module":
        place = tmp_path / "reference.py"
        place.write_text(poison)
    elif request.param == "package":
        place = tmp_path / "reference" / "__init__.py"
        place.parent.mkdir()
        place.write_text(poison)
    else:
        place = tmp_path / "reference"
        (place / "commands").mkdir(parents=True)
        (place / "commands" / "demo.py").write_text(poison)
    return place


def test_commands_of_reference_refuse(foreign: Path, tmp_path: Path):
    done = run(tmp_path, "demo", "--help")
    assert "was run" not in done.stdout + done.stderr
    if done.returncode == 0:
        # Python prefers a package to a folder without __init__.py, wherever they lie on the path: then it is ours
        # that is found, unless ours was installed in the editable way, which comes after the whole path.
        assert foreign.is_dir()
        assert "usage: specmath demo" in done.stdout
        return
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"specmath demo: error: {foreign} shadows the package 'reference'")
    assert done.stderr.count("\n") == 1
    assert "rename it, or run from another folder" in done.stderr


def test_acceptance_works_there(foreign: Path, tmp_path: Path, dump: Path):
    done = run(tmp_path, "acceptance", str(dump), "--n", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "optimum" in done.stdout


def test_ours_is_taken_for_ours():
    discovery.refuse_foreign_reference()


def test_already_imported_foreign_module(monkeypatch):
    import types

    stranger = types.ModuleType("reference")
    stranger.__file__ = "/elsewhere/reference.py"
    monkeypatch.setitem(sys.modules, "reference", stranger)
    with pytest.raises(UsageError, match=r"/elsewhere/reference\.py shadows"):
        discovery.refuse_foreign_reference()
