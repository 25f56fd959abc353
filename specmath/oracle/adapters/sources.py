"""Engines as files: a wheel, an unpacked folder or a clone that the user points to; nothing is installed."""

from __future__ import annotations

import ast
import zipfile
from dataclasses import dataclass
from pathlib import Path

from specmath.oracle.adapters.place import Missing, Nowhere, named, root, variable, version


@dataclass(frozen=True)
class Files:
    """The Python files of one engine.

    Attributes
    ----------
    path : the wheel, or the folder in which modules are looked for by their dotted names.
    """

    path: Path

    def text(self, module: str) -> tuple[str, str] | None:
        """(file name, source) of a module by its dotted name; None if it is not there."""
        stem = module.replace(".", "/")
        for relative in (f"{stem}.py", f"{stem}/__init__.py"):
            if self.path.is_dir():
                place = self.path / relative
                if place.is_file():
                    return str(place), place.read_text(encoding="utf-8")
                continue
            with zipfile.ZipFile(self.path) as archive:
                if relative in archive.namelist():
                    return f"{self.path}/{relative}", archive.read(relative).decode("utf-8")
        return None


def find(package: str, module: str, source: Path | None = None) -> Files:
    """The files of ``module``, a top-level module or a folder of scripts, of a package.

    Looked for in ``source``, then where the environment variable of the package points, then among what is installed
    (found, not imported). `Missing` says what was tried.
    """
    source = named(package, source)
    if source is None:
        return Files(_installed(package, module))
    if not source.exists():
        raise Missing(f"{source}: no such file or folder")
    if source.is_file():
        if not zipfile.is_zipfile(source):
            raise Missing(f"{source}: allowed are wheels and folders")
        with zipfile.ZipFile(source) as archive:
            if not any(name.startswith(f"{module}/") or name == f"{module}.py" for name in archive.namelist()):
                raise Missing(f"{source}: the wheel has no {module}")
        return Files(source)
    for below in (source, source / "src", source / "python"):
        if (below / f"{module}.py").is_file():
            return Files(below)
    found = root(module, source)
    if found is None:
        raise Missing(f"{source}: no {module} in it, nor below src or python")
    return Files(found)


def _installed(package: str, module: str) -> Path:
    from importlib.util import find_spec

    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    # A folder of scripts with a common name, such as `main`, is nobody's package.
    if spec is None or not spec.origin or not version(package):
        raise Nowhere(
            f"{package} is not installed, and no source is named: `--source` or the environment variable "
            f"{variable(package)} takes a wheel, an unpacked folder or a clone"
        )
    place = Path(spec.origin)
    return place.parent.parent if place.name == "__init__.py" else place.parent


def need(files: Files, module: str, *names: str) -> None:
    """`Missing` if the source of a module is absent, or does not define these names at its top level."""
    found = files.text(module)
    if found is None:
        raise Missing(f"{files.path}: no module {module}, in this version")
    defined = set()
    for node in ast.parse(found[1]).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
    lacking = [name for name in names if name not in defined]
    if lacking:
        raise Missing(f"{found[0]}: defines no {', '.join(lacking)}, in this version")
