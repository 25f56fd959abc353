"""`specmath audit --adapters`: the published implementations that are ready, and which can be audited here."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

from specmath.oracle.adapters.place import variable
from specmath.oracle.adapters.registry import State, states

SCHEMA_VERSION = 1


def list_adapters(source: str | None, as_json: bool) -> int:
    """Print every adapter with its state, as a table or as ``adapters.schema.json`` tells. Returns the exit code 0."""
    with contextlib.redirect_stdout(sys.stderr):  # foreign code may print while it is imported
        found = states(source)
    print(json.dumps(document(found), indent=2) if as_json else table(found))
    return 0


def document(found: list[State]) -> dict[str, Any]:
    """The list as ``adapters.schema.json`` tells."""
    rows = []
    for state in found:
        adapter = state.adapter
        words = {name: getattr(adapter, name) for name in ("name", "package", "versions", "family", "kind")}
        more = {name: getattr(adapter, name) for name in ("place", "randomness", "drafts", "arrays", "dtype")}
        lossy = None if adapter.declared is None else adapter.declared.name
        ends = {"declared": lossy, "expected": adapter.expected, "note": adapter.note, "home": adapter.home}
        rows.append({**words, **more, **ends, "present": state.present, "state": state.what})
    return {"schema_version": SCHEMA_VERSION, "adapters": rows}


def table(found: list[State]) -> str:
    """The list for people: name, family, kind, and the version or why it is absent."""
    rows = [("adapter", "family", "kind", "state")]
    rows += [(state.adapter.name, state.adapter.family, state.adapter.kind, _state(state)) for state in found]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3]]) for row in rows]
    absent = [state.adapter.package for state in found if state.nowhere]
    if absent:
        lines += [
            "",
            f"absent: not installed. --source PATH or a variable such as {variable(absent[0])} names a wheel,",
        ]
        lines += ["an unpacked folder or a clone; nothing is downloaded."]
    return "\n".join(lines)


def _state(state: State) -> str:
    """The version, the version that is wanted, or why it is absent."""
    known = state.adapter.versions
    if state.nowhere:
        return f"absent; {known} of {state.adapter.home or state.adapter.package}"
    if not state.present:
        return f"absent: {state.what}"
    return state.what if state.what in known.split(", ") else f"{state.what}; was run with {known}"
