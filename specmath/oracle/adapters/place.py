"""Where a package's files are: what is installed, a wheel, an unpacked folder or a clone."""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path


class Missing(RuntimeError):
    """What an adapter needs is not installed, or is not what the adapter knows; the message says which."""


class Nowhere(Missing):
    """The package is not installed, and nobody said where its files are."""


_UNPACKED: dict[Path, Path] = {}
PYTHON = (".py", ".pyi", "METADATA", "PKG-INFO", "entry_points.txt")
"""Files that are taken out of a wheel; compiled code stays in it."""


def folder(module: str, source: Path | None = None) -> Path:
    """The folder of the Python package ``module``, not imported.

    Looked for in ``source`` (itself, below ``src``, ``python``, or in a wheel, whose Python files are unpacked), else
    where Python finds it. `Missing` says where was looked.
    """
    if source is None:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            spec = None
        if spec is None or not spec.origin:
            raise Nowhere(f"the package {module!r} is not installed")
        return Path(spec.origin).parent
    found = root(module, source)
    if found is None:
        raise Missing(f"{source}: no folder {module} in it, nor below src or python")
    return found / module


def root(module: str, source: Path) -> Path | None:
    """The folder in which ``module`` lies below ``source``, as it would stand on Python's path; None if it does not."""
    if not source.exists():
        raise Missing(f"{source}: no such file or folder")
    source = source.resolve()
    if source.is_file():
        source = _unpacked(source)
    if source.name == module and (source / "__init__.py").exists():
        return source.parent
    for below in (source, source / "src", source / "python"):
        if (below / module).is_dir():
            return below
    return None


def put_on_path(module: str, source: Path | None, package: str | None = None) -> None:
    """Have ``import module`` take ``source``, or else what the environment variable of ``package`` names.

    The package is called like the module unless it is named. `Missing` if another one is imported already, or none is
    there.
    """
    source = named(package or module, source)
    if source is None:
        folder(module)
        return
    found = folder(module, source).parent
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded is not None and Path(loaded).resolve().parent.parent != found:
        raise Missing(
            f"{module} is imported already from {Path(loaded).parent}; {source} needs a process of its own, "
            "as `specmath audit --adapter` starts one"
        )
    if str(found) not in sys.path:
        sys.path.insert(0, str(found))
        importlib.invalidate_caches()


VARIABLE = "SPECMATH_SOURCE_"
"""What an environment variable begins with that names the source of a package."""


def variable(package: str) -> str:
    """Name of the environment variable that points to the source of a package.

    >>> variable("vllm")
    'SPECMATH_SOURCE_VLLM'
    """
    return VARIABLE + package.upper().replace("-", "_")


def named(package: str, source: Path | None) -> Path | None:
    """``source``, or where the environment variable of the package points; None if neither is given."""
    told = os.environ.get(variable(package))
    return source if source is not None or not told else Path(told)


def version(distribution: str, source: Path | None = None) -> str:
    """Version of a distribution: of what is installed, or as ``source`` states it; empty if it is not known.

    A clone has the number of its commit as well, or instead where it states no version.
    """
    source = named(distribution, source)
    if source is None:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed

        try:
            return installed(distribution)
        except PackageNotFoundError:
            return ""
    if source.suffix == ".whl":
        parts = source.name.split("-")
        return parts[1] if len(parts) >= 5 else ""
    commit = _commit(source / ".git")
    # In a clone the version that some other folder states is nobody's: the commit says what it is.
    stated = _stated(distribution, source, anywhere=not commit)
    return ", ".join(word for word in (stated, commit) if word)


def _stated(distribution: str, source: Path, anywhere: bool) -> str:
    """``__version__`` of the folder called like the distribution, or (``anywhere``) of the first that has one."""
    name = distribution.replace("-", "_")
    for info in sorted(source.glob(f"{name}-*.dist-info")):
        return info.name.removesuffix(".dist-info").partition("-")[2]
    own = [f"{below}{name}/" for below in ("", "src/", "python/")]
    depths = ["", *own, *(("*/", "*/*/") if anywhere else ())]
    for pattern in ("__init__.py", "version.py", "_version.py"):
        for path in [one for depth in depths for one in sorted(source.glob(depth + pattern))]:
            text = path.read_text(errors="replace")
            found = re.search(r"""^__version__\s*=\s*(?:version\s*=\s*)?["']([^"']+)["']""", text, re.MULTILINE)
            if found:
                return found[1]
    return ""


def _commit(git: Path) -> str:
    """The commit that a clone stands at, as git writes it down; empty if it does not say."""
    if not (git / "HEAD").is_file():
        return ""
    head = (git / "HEAD").read_text().strip()
    if head.startswith("ref: "):
        name = head.removeprefix("ref: ")
        packed = git / "packed-refs"
        lines = packed.read_text().splitlines() if packed.is_file() else []
        packed_to = next((line.split()[0] for line in lines if line.endswith(f" {name}")), "")
        head = (git / name).read_text().strip() if (git / name).is_file() else packed_to
    return f"commit {head[:7]}" if head else ""


def _unpacked(wheel: Path) -> Path:
    if wheel not in _UNPACKED:
        if not zipfile.is_zipfile(wheel):
            raise Missing(f"{wheel}: allowed are wheels and folders")
        made = Path(tempfile.mkdtemp(prefix="specmath-wheel-"))
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(made, [name for name in archive.namelist() if name.endswith(PYTHON)])
        _UNPACKED[wheel] = made
    return _UNPACKED[wheel]
