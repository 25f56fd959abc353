"""Compare a wheel with the tree it was built from: ``python .ci/wheel_contents.py TREE WHEEL``."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

MODULES = ("_specmath_pytest.py",)
MUST_HOLD = ("specmath/py.typed", "reference/py.typed", "specmath/schemas/", "reference/pair/", *MODULES)
NOT_SHIPPED = (".md",)


def main(tree: Path, wheel: Path) -> int:
    """All files of the packages and the pytest plugin lie in the wheel, and nothing else but metadata; an exit code."""
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if not name.endswith("/")}
    wanted = {
        path.relative_to(tree).as_posix()
        for package in ("specmath", "reference")
        for path in (tree / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in NOT_SHIPPED
    }
    wanted |= {name for name in MODULES if (tree / name).is_file()}
    packaged = {name for name in shipped if ".dist-info/" not in name}
    problems = [f"not in the wheel: {name}" for name in sorted(wanted - packaged)]
    problems += [f"in the wheel but not in the tree: {name}" for name in sorted(packaged - wanted)]
    problems += [f"nothing below {place}" for place in MUST_HOLD if not any(n.startswith(place) for n in shipped)]
    if not any(name.endswith("/LICENSE") for name in shipped):
        problems.append("no LICENSE")
    print("\n".join(problems) or f"{len(packaged)} files, all that the tree holds")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
