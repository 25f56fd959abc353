"""The comparison of wheel and tree in `make wheel` sees a file that is missing, and one that is too many."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from proofs_tests.packaging.sources import ROOT

TREE = (
    "_specmath_pytest.py",
    "specmath/__init__.py",
    "specmath/py.typed",
    "specmath/schemas/a.json",
    "reference/py.typed",
    "reference/pair/target/model.safetensors",
)
LICENSE = "specmath-0.1.0.dist-info/licenses/LICENSE"


@pytest.mark.parametrize(
    ("shipped", "says"),
    [
        ({*TREE, LICENSE}, ""),
        ({*TREE, LICENSE} - {"reference/pair/target/model.safetensors"}, "not in the wheel: reference/pair/target"),
        ({*TREE, LICENSE} - {"specmath/schemas/a.json"}, "not in the wheel: specmath/schemas/a.json"),
        ({*TREE, LICENSE, "proofs_tests/laws.py"}, "in the wheel but not in the tree: proofs_tests/laws.py"),
        ({*TREE}, "no LICENSE"),
    ],
    ids=["complete", "weights", "schema", "too many", "licence"],
)
def test_contents(tmp_path: Path, shipped: set[str], says: str) -> None:
    for name in TREE:
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    wheel = tmp_path / "made.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in sorted(shipped):
            archive.writestr(name, "")
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "wheel_contents.py"), str(tmp_path / "tree"), str(wheel)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (1 if says else 0), done.stdout + done.stderr
    assert says in done.stdout
