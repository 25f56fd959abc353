"""specmath never imports reference: people who audit kernels often have a reference.py of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from proofs_tests.packaging.sources import ROOT, files, imports

# The places that import a module named at run time: the command that was asked for, the function to be audited, the
# adapters that are registered, and the file of an engine that an adapter is for.
COMPUTED = {
    "specmath/cli/discovery.py",
    "specmath/oracle/load.py",
    "specmath/oracle/adapters/registry.py",
    "specmath/oracle/adapters/stubs.py",
}


def offences(source: str) -> list[str | None]:
    """Imports of reference, and imports whose name only the run knows."""
    found = [one.module for one in imports(source)]
    return [name for name in found if name is None or name == "reference" or name.startswith("reference.")]


@pytest.mark.parametrize("path", files("specmath"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_import_of_reference(path: Path) -> None:
    found = offences(path.read_text())
    if path.relative_to(ROOT).as_posix() in COMPUTED:
        found = [name for name in found if name is not None]
    assert not found, f"{path} imports {found}"


@pytest.mark.parametrize(
    "planted",
    [
        "import reference",
        "import numpy, reference.models.llama as llama",
        "from reference import decode",
        "from reference.models import llama",
        "def f():\n    import reference",
        "def f():\n    def g():\n        from reference.pair import corpus\n    return g",
        "class A:\n    async def f(self):\n        import reference.decode",
        "try:\n    import reference\nexcept ImportError:\n    pass",
        "if flag:\n    pass\nelse:\n    import reference",
        "with open('x'):\n    import reference",
        "match x:\n    case 1:\n        import reference",
        "import importlib\nimportlib.import_module('reference')",
        "from importlib import import_module\nf = lambda: import_module('reference.models')",
        "import importlib\nimportlib.import_module(name='reference.models')",
        "__import__('reference')",
        "import runpy\nrunpy.run_module('reference.commands')",
        "import pytest\ntorch = pytest.importorskip('reference.decode')",
        "import pkgutil\npkgutil.resolve_name('reference.commands.demo:COMMAND')",
        "import importlib\nimportlib.import_module('ref' + 'erence')",
        "[__import__(name) for name in names]",
    ],
)
def test_walker_catches(planted: str) -> None:
    assert offences(planted)


@pytest.mark.parametrize(
    "innocent",
    [
        "import references\nfrom reference_tables import x",
        "from . import reference",
        "from specmath import reference",
        "word = 'import reference'  # import reference",
        "import importlib.util\nimportlib.util.find_spec('reference')",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from reference.models import protocol",
    ],
)
def test_walker_lets_pass(innocent: str) -> None:
    assert not offences(innocent)


@pytest.fixture
def hostile_folder(tmp_path: Path) -> Path:
    """A working folder with a dump and a reference.py that must not be imported."""
    (tmp_path / "reference.py").write_text("raise RuntimeError('a foreign reference.py was imported')\n")
    generator = np.random.default_rng(0)
    laws = generator.dirichlet([0.5] * 6, size=(2, 4))
    np.savez(tmp_path / "pair.npz", target=laws[0], draft=laws[1])
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def script() -> str:
    """The installed ``specmath`` command of this interpreter."""
    return str(Path(sys.executable).with_name("specmath"))


def test_folder_is_hostile(hostile_folder: Path) -> None:
    done = run(hostile_folder, sys.executable, "-c", "import reference")
    assert done.returncode == 1
    assert "foreign reference.py was imported" in done.stderr


@pytest.mark.parametrize("module", [False, True], ids=["specmath", "python -m specmath"])
def test_acceptance_beside_a_foreign_reference(hostile_folder: Path, module: bool) -> None:
    start = [sys.executable, "-m", "specmath"] if module else [script()]
    done = run(hostile_folder, *start, "acceptance", "pair.npz", "--n", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert {"optimum", "recursive"} <= {row["rule"] for row in json.loads(done.stdout)["rows"]}


def test_decode_refuses_a_foreign_reference(hostile_folder: Path) -> None:
    done = run(hostile_folder, sys.executable, "-m", "specmath", "decode", "--prompt", "x")
    assert done.returncode == 2
    assert "reference.py" in done.stderr
    assert "Traceback" not in done.stderr
