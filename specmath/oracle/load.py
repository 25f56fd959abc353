"""Loading the function that is named on the command line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRIVATE = "specmath_audited_"
"""What the module name of a file begins with, so that it shadows nothing."""


def load(name: str) -> Callable[..., Any]:
    """The function of ``path/to/file.py:function`` or ``package.module:function``.

    A file is loaded under a private module name, with its own folder on the path. The name after the colon may have
    dots. Raises ValueError that says what is missing.

    >>> load("math:sqrt")(4.0)
    2.0
    """
    return load_beside(name)[0]


def load_beside(name: str, *others: str) -> tuple[Callable[..., Any], ...]:
    """The function that `load` gives, and ``others`` of the same module, which is loaded once."""
    place, colon, attribute = name.rpartition(":")
    if not colon or not place or not attribute:
        raise ValueError(
            f"{name!r} names no function; allowed are path/to/file.py:function and package.module:function"
        )
    module: Any = _file(Path(place)) if place.endswith(".py") or "/" in place else _module(place)
    return tuple(_found(module, place, one) for one in (attribute, *others))


def _found(found: Any, place: str, attribute: str) -> Callable[..., Any]:
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = sorted(key for key, value in vars(found).items() if callable(value) and not key.startswith("_"))
            raise ValueError(f"{place} has no {attribute!r}; it has {', '.join(public) or 'no functions'}")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{place}:{attribute} is {type(found).__name__}; allowed are functions")
    return found


def _file(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    path = path.resolve()
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(PRIVATE + path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: allowed are Python files")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path}: the import failed with {type(error).__name__}: {error}") from error
    return module


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(f"the module {name!r} cannot be imported: {error}") from error
