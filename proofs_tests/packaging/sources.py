"""What the packaging tests read: the repository's source files and the imports that their syntax trees hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOADERS = {"__import__", "import_module", "run_module", "importorskip", "resolve_name", "locate"}
"""Functions that import the module whose name they are given, whatever they are reached through."""


@dataclass(frozen=True)
class Imported:
    """One import: the module's name (None where a loader gets a name computed at run time), its line, and whether it
    runs as soon as the file is imported."""

    module: str | None
    line: int
    at_import: bool


def files(*packages: str) -> list[Path]:
    """All Python files of the packages, sorted."""
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    """specmath/rules/__init__.py -> specmath.rules."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str) -> list[Imported]:
    """Every import of a file: statements anywhere, and calls of a loader. Blocks under TYPE_CHECKING never run."""
    return list(_walk(ast.parse(source).body, at_import=True))


def _walk(nodes: list[ast.stmt] | list[ast.AST], at_import: bool) -> Iterator[Imported]:
    for node in nodes:
        inside = at_import
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Imported(alias.name, node.lineno, at_import)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module:
                yield Imported(node.module, node.lineno, at_import)
        elif isinstance(node, ast.Call):
            yield from _loaded(node, at_import)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _walk(list(node.orelse), at_import)
            continue
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside = False
        yield from _walk(list(ast.iter_child_nodes(node)), inside)


def _loaded(call: ast.Call, at_import: bool) -> Iterator[Imported]:
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = [
        *call.args,
        *(keyword.value for keyword in call.keywords if keyword.arg in ("name", "modname", "mod_name")),
    ]
    if called in LOADERS and given:
        match given[0]:
            case ast.Constant(value=str(name)):
                yield Imported(name.partition(":")[0], call.lineno, at_import)
            case _:
                yield Imported(None, call.lineno, at_import)
