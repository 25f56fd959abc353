"""`import specmath` stays light: numpy at import, everything else when it is handed in or asked for.

No time is asserted here: `make wheel` prints it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from proofs_tests.packaging.sources import ROOT, files, imports

HEAVY = {"torch", "jax", "cvxpy", "scipy.optimize", "matplotlib", "transformers", "safetensors", "reference"}
HEAVY |= {"joblib", "dask", "distributed"}
LIGHT = {"numpy", "array_api_compat", "specmath"} | set(sys.stdlib_module_names)
ROOMS = {"specmath/plot": {"matplotlib"}, "specmath/oracle/torch_source": {"torch"}}
"""Rooms that are never imported by the package itself and may import their own library."""


def loaded_after(statement: str, folder: Path) -> set[str]:
    """Names of the modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("statement", ["import specmath", "import specmath.cli", "import specmath.cli.acceptance"])
def test_import_is_light(statement: str, tmp_path: Path) -> None:
    assert not HEAVY & loaded_after(statement, tmp_path)


def test_heavy_import_is_seen(tmp_path: Path) -> None:
    assert HEAVY & loaded_after("import specmath, scipy.optimize", tmp_path) == {"scipy.optimize"}


@pytest.mark.parametrize("path", files("specmath"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_level_imports(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    allowed = LIGHT.union(*(own for room, own in ROOMS.items() if place.startswith(f"{room}/")))
    found = {one.module.partition(".")[0] for one in imports(path.read_text()) if one.at_import and one.module}
    assert found <= allowed, f"{place} imports {sorted(found - allowed)} at module level; move it into the function"


def test_module_level_is_told_from_lazy() -> None:
    found = imports("import numpy\nclass A:\n    import torch\ndef f():\n    import scipy.optimize\n")
    assert [(one.module, one.at_import) for one in found] == [
        ("numpy", True),
        ("torch", True),
        ("scipy.optimize", False),
    ]
