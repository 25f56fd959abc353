"""The house rules that are forgotten silently: registration, documentation, size, entry points, schemas, versions."""

from __future__ import annotations

import ast
import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import specmath
from proofs_tests.packaging.sources import ROOT, files, name_of
from specmath import draft_laws, optimum, rules
from specmath.cli.command import Command
from specmath.cli.discovery import EXTRAS, GROUP, OWN
from specmath.transport import coupling

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = files("specmath", "reference")
LONGEST_MODULE = 400
MOST_PUBLIC_NAMES = 15
# Fields of Rule, DraftLaw and Command: what they take and return is documented there, once for all.
FIELDS = {
    "rules": {"program", "step", "formula", "tests"},
    "draft_laws": {"program", "sample", "inside", "possible"},
    "cli": {"add_arguments", "run"},
    "commands": {"add_arguments", "run"},
}

in_every_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())


def undocumented(source: str, exempt: set[str] = frozenset()) -> Iterator[str]:
    """What a public function or class of a module lacks: a docstring, the type of an argument or of the result."""
    tree = ast.parse(source)
    if not ast.get_docstring(tree):
        yield "module: no docstring"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield f"{node.name}: no docstring"
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield from (f"{node.name}.{problem}" for problem in _untyped(method))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not (node.name.startswith("_") or node.name in exempt or ast.get_docstring(node)):
                yield f"{node.name}: no docstring"
            yield from _untyped(node)


def _untyped(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    given = function.args
    several = [one for one in (given.vararg, given.kwarg) if one is not None]
    for argument in [*given.posonlyargs, *given.args, *given.kwonlyargs, *several]:
        if argument.annotation is None and argument.arg not in ("self", "cls"):
            yield f"{function.name}: argument {argument.arg} has no type"
    if function.returns is None:
        yield f"{function.name}: no return type"


@in_every_module
def test_documented_and_typed(path: Path) -> None:
    assert not list(undocumented(path.read_text(), FIELDS.get(path.parent.name, set())))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("x = 1", "module: no docstring"),
        ('"""M."""\ndef f() -> int:\n    return 1', "f: no docstring"),
        ('"""M."""\nclass A:\n    x = 1', "A: no docstring"),
        ('"""M."""\ndef f():\n    """F."""', "f: no return type"),
        ('"""M."""\ndef _f(x) -> None: ...', "_f: argument x has no type"),
        ('"""M."""\nclass A:\n    """A."""\n    def g(self, *a) -> None: ...', "A.g: argument a has no type"),
    ],
)
def test_undocumented_is_seen(source: str, problem: str) -> None:
    assert list(undocumented(source)) == [problem]


@in_every_module
def test_module_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("package", ["specmath", "reference"])
def test_every_folder_is_a_package(package: str) -> None:
    """A folder without __init__.py works in the tree and is left out of the wheel."""
    folders = {path.parent for path in files(package)}
    assert not [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()]


def test_few_public_names() -> None:
    assert len(specmath.__all__) <= MOST_PUBLIC_NAMES
    assert len(set(specmath.__all__)) == len(specmath.__all__)


@pytest.mark.parametrize("name", [name for name in specmath.__all__ if name != "__version__"])
def test_public_name_is_documented(name: str) -> None:
    assert (getattr(specmath, name).__doc__ or "").strip()


def defining(folder: str, constant: str) -> list[Path]:
    """Modules of a folder that assign ``constant`` at module level."""
    found = []
    for path in files(folder):
        targets = [
            target.id
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        ]
        if constant in targets:
            found.append(path)
    return found


@pytest.mark.parametrize(
    ("folder", "constant", "registry"),
    [("specmath/rules", "RULE", rules), ("specmath/draft_laws", "LAW", draft_laws)],
    ids=["rules", "draft_laws"],
)
def test_every_file_is_registered(folder: str, constant: str, registry: object) -> None:
    made = [getattr(importlib.import_module(name_of(path)), constant) for path in defining(folder, constant)]
    registered = {name: registry.get(name) for name in registry.names()}  # type: ignore[attr-defined]
    assert made
    assert len({one.name for one in made}) == len(made), "two files use one name"
    for one in made:
        assert registered.get(one.name) is one, f"{one.name!r} is not in the registry of {folder}"
    assert len(registered) == len(made), "a registered object has no file of its own"


def test_rules_name_draft_laws_that_exist() -> None:
    for name in rules.names():
        assert rules.get(name).drafts
        for law in rules.get(name).drafts:
            assert draft_laws.get(law).name == law


@pytest.mark.parametrize("name", draft_laws.names())
def test_every_draft_law_has_an_optimum(name: str) -> None:
    laws = [0.25] * 4, [0.1, 0.2, 0.3, 0.4]
    best = float(optimum(*laws, 2, name).acceptance)
    assert best > 0
    assert float(coupling(*laws, 2, name).acceptance) == pytest.approx(best, abs=1e-6), "its coupling"
    assert name in rules.get("optimal").drafts


def declared() -> dict[str, str]:
    """The commands of pyproject.toml: name -> module:attribute."""
    return PROJECT["project"]["entry-points"][GROUP]


def test_installed_entry_points_are_those_of_pyproject() -> None:
    """An editable install keeps the entry points of the day it was made; ``make`` installs again when they change."""
    installed = {point.name: point.value for point in entry_points(group=GROUP) if point.dist.name == "specmath"}
    assert installed == declared()
    assert {name: value for name, (value, _) in OWN.items()} == declared()


@pytest.mark.parametrize("name", sorted(declared()))
def test_entry_point_loads(name: str) -> None:
    module, _, attribute = declared()[name].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, Command)
    assert command.name == name


def test_missing_library_names_an_extra_that_has_it() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    for library, extra in EXTRAS.items():
        names = [wanted.partition(">=")[0].partition("[")[0] for wanted in extras[extra]]
        assert library in names, f"specmath[{extra}] does not install {library}"


CITATION = r"\b[a-z]+(?:19|20)\d\d[a-z]+\b"
"""A bibliography key: name, year, word."""


def test_citation_is_recognised() -> None:
    assert re.findall(CITATION, "leviathan2023fast, Theorem 1; see chen2023accelerating. f2025 2024a x2fast") == [
        "leviathan2023fast",
        "chen2023accelerating",
    ]


@in_every_module
def test_sources_are_in_the_bibliography(path: Path) -> None:
    known = re.findall(r"^@\w+\{(\w+),", (ROOT / "docs" / "references.bib").read_text(), flags=re.MULTILINE)
    assert known
    assert set(re.findall(CITATION, path.read_text())) <= set(known)


@pytest.mark.parametrize("name", rules.names())
def test_every_rule_cites(name: str) -> None:
    assert re.search(CITATION, rules.get(name).source)


SCHEMAS = sorted((ROOT / "specmath" / "schemas").glob("*.json"))


def test_there_are_schemas() -> None:
    assert SCHEMAS


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_schema_is_valid_and_versioned(path: Path) -> None:
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    assert "schema_version" in schema["properties"]
    assert "schema_version" in schema["required"]


def test_one_version() -> None:
    version = PROJECT["project"]["version"]
    assert specmath.__version__ == version
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_constraints_pin_every_requirement() -> None:
    """Every package that an extra names is pinned, and the pin satisfies what pyproject.toml asks for."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(one for extra in extras.values() for one in extra)]
    for one in map(Requirement, wanted):
        name = canonicalize_name(one.name)
        if name != "specmath":
            assert name in pins, f"{name} is not pinned in constraints.txt"
            assert pins[name] in one.specifier, f"{name}=={pins[name]} does not satisfy {one.specifier}"
    assert pins["torch"] == "2.13.0"
    assert canonicalize_name("transformers") in pins
    assert tuple(map(int, pins["transformers"].split(".")[:2])) >= (5, 23)
