"""Which sub-commands there are, and how the chosen one is loaded.

Commands are registered in the entry-point group ``specmath.commands``. Only the chosen command's module is imported:
the help must come up at once and in an environment that lacks torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import specmath
from specmath.cli.command import Command, UsageError

GROUP = "specmath.commands"

OWN = {
    "acceptance": (
        "specmath.cli.acceptance:COMMAND",
        "acceptance of every rule against the optimum, on a dump of laws",
    ),
    "audit": ("specmath.cli.audit:COMMAND", "whether a verification function is lossless, by its exact law"),
    "check-log": ("specmath.cli.logs:COMMAND", "bugs that an engine's log, its counts or its greedy text prove"),
    "decode": ("reference.commands.decode:COMMAND", "continue prompts, with drafts that were kept in colour"),
    "demo": ("reference.commands.demo:COMMAND", "the whole story on real prompts, with a report"),
    "plan": ("specmath.cli.plan:COMMAND", "how long to draft, and what speed-up to expect"),
    "record": ("reference.commands.record:COMMAND", "decode prompts, and record laws for specmath acceptance"),
}
"""Our own commands: where they are, and their purpose, so that the help needs no import. The table also serves a source
tree that was never installed and therefore has no entry points."""

EXTRAS = {
    "torch": "torch",
    "safetensors": "torch",
    "tqdm": "torch",
    "transformers": "hf",
    "jax": "jax",
    "cvxpy": "lp",
    "matplotlib": "plot",
    "joblib": "sweep",
}
"""Library -> the extra of this distribution that installs it."""


@dataclass(frozen=True)
class Entry:
    """A registered command, not yet imported: its name, ``module:attribute``, and one line for the help."""

    name: str
    value: str
    purpose: str


def entries() -> dict[str, Entry]:
    """All registered commands by name, sorted. A foreign distribution cannot replace one of our own."""
    from importlib.metadata import entry_points

    found = {}
    for point in entry_points(group=GROUP):
        if point.name not in OWN:
            owner = point.dist.name if point.dist is not None else "an unknown distribution"
            found[point.name] = Entry(point.name, point.value, f"from {owner}")
    found.update({name: Entry(name, value, purpose) for name, (value, purpose) in OWN.items()})
    return dict(sorted(found.items()))


def load(entry: Entry) -> Command:
    """Import the command's module. UsageError says what is missing or in the way."""
    module_name, _, attribute = entry.value.partition(":")
    if module_name.partition(".")[0] == "reference":
        refuse_foreign_reference()
    try:
        found = getattr(importlib.import_module(module_name), attribute or "COMMAND", None)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise UsageError(f"the module {module_name!r} of this command is not installed") from error
        raise UsageError(missing_library(error)) from error
    except ImportError as error:
        raise UsageError(f"the module {module_name!r} of this command cannot be imported: {error}") from error
    if not isinstance(found, Command):
        raise UsageError(f"{entry.value!r} is no specmath.cli.command.Command; its author has to mend it")
    return found


def missing_library(error: ModuleNotFoundError) -> str:
    """The pip command that brings the library."""
    library = (error.name or str(error)).partition(".")[0]
    if library in EXTRAS:
        what = f'"specmath[{EXTRAS[library]}]"'
    elif library in ("specmath", "reference"):  # part of this very distribution: the installation is broken
        return f"the module {error.name!r} is missing; reinstall with: pip install --force-reinstall specmath"
    else:
        what = library
    return f"needs the library {library!r}, which is not installed; install it with: pip install {what}"


def refuse_foreign_reference() -> None:
    """UsageError unless the name ``reference`` leads to the package that lies beside ``specmath``.

    People who audit kernels keep a ``reference.py`` of their own; it must neither run nor be taken for ours. Looking
    for a top-level module does not execute it.
    """
    home = _folder(specmath.__file__).parent
    try:
        spec = importlib.util.find_spec("reference")
    except ValueError:  # something without a spec was put into sys.modules by hand
        spec = None
    if spec is None:
        loaded = getattr(sys.modules.get("reference"), "__file__", None)
        if loaded is None:
            raise UsageError(f"the package 'reference' is not installed beside specmath in {home}")
        places = [loaded]
    else:
        # A folder without __init__.py has no origin, only locations.
        places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
    if not any(_is_ours(Path(place), home) for place in places):
        raise UsageError(
            f"{places[0] if places else 'something'} shadows the package 'reference' that comes with specmath; "
            "rename it, or run from another folder (`python -m specmath` looks in the working folder first, "
            "the `specmath` command does not)"
        )


def _folder(file: str | None) -> Path:
    return Path(file or "").resolve().parent


def _is_ours(place: Path, home: Path) -> bool:
    place = place.resolve()
    return place.name == "__init__.py" and place.parent.name == "reference" and place.parent.parent == home
