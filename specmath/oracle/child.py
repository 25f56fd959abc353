"""The audit in a process of its own, with a limit on its time: foreign code may print, hang or exit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

USAGE = 2


@dataclass(frozen=True)
class Report:
    """What the child wrote.

    Attributes
    ----------
    document : the verdict as `Verdict.as_json` gives it.
    text : the verdict for people.
    exit_code : of the verdict.
    """

    document: dict[str, Any]
    text: str
    exit_code: int


def audit_in_child(
    name: str, options: dict[str, Any], limit: float, *, adapter: bool = False, source: str | None = None
) -> Report:
    """Audit the function called ``name`` in another process, for ``limit`` seconds at most.

    ``options`` are those of `specmath.oracle.audit` that are plain values; with ``samples`` those of
    `specmath.oracle.sampled.fallback.audit_or_sample`. With ``adapter`` the name is that of an
    adapter, whose package is taken from ``source`` if that is given. Raises ValueError for what the audit refuses as
    wrong input, and for an adapter whose package is missing. A child that does not end, or dies, is a verdict of
    status "failed".
    """
    with tempfile.TemporaryDirectory(prefix="specmath-audit-") as folder:
        out, place = Path(folder, "verdict.json"), Path(folder, "place")
        told = {"name": name, "options": options, "out": str(out), "place": str(place)}
        words = json.dumps({**told, "adapter": adapter, "source": source})
        command = [sys.executable, "-m", "specmath.oracle.child", words]
        try:
            # What the function prints is nobody's; progress goes to our stderr.
            done = subprocess.run(
                command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=limit, check=False
            )
            why = f"the process ended with exit code {done.returncode} and without a verdict"
        except subprocess.TimeoutExpired:
            why = f"no verdict within {limit:g} s"
        if out.exists():
            found = json.loads(out.read_text())
            if "error" in found:
                raise ValueError(found["error"])
            return Report(found["document"], found["text"], found["exit_code"])
        where = place.read_text() if place.exists() else "before the first instance was done"
        if adapter:
            name, options = _of_adapter(name, options, source)
        return _failed(name, options, f"{why}; {where}")


def _of_adapter(name: str, options: dict[str, Any], source: str | None) -> tuple[str, dict[str, Any]]:
    """How a verdict calls an adapter, and what it says of the function: that is the adapter's, not the command's."""
    from specmath.oracle.adapters.registry import get, titled

    adapter = get(name)
    own = {"kind": adapter.kind, "arrays": adapter.arrays, "dtype": adapter.dtype}
    drafts = "its own" if adapter.kind == "generate" else adapter.drafts
    return titled(adapter, source), {**own, "drafts": drafts, **options}


def _failed(name: str, options: dict[str, Any], cause: str) -> Report:
    from specmath.oracle.verdict import no_verdict

    verdict = no_verdict(name, options, cause)
    return Report(verdict.as_json(), str(verdict), verdict.exit_code)


@contextmanager
def _silent() -> Iterator[TextIO]:
    """Nothing that the process writes to stderr is seen, but for what goes to the stream that this gives."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        with open(os.dup(kept), "w", encoding="utf-8") as stream:
            yield stream
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _run(words: str) -> None:
    from specmath.cli.progress import Bar
    from specmath.oracle.adapters.registry import Missing, audit_adapter
    from specmath.oracle.audit import audit
    from specmath.oracle.generate.named import audit_named
    from specmath.oracle.load import load
    from specmath.oracle.sampled.fallback import audit_or_sample
    from specmath.oracle.verdict import where

    told = json.loads(words)
    place, out, options = Path(told["place"]), Path(told["out"]), told["options"]
    try:
        with _silent() as stderr, Bar(label="audit", stream=stderr) as bar:

            def progress(done: int, todo: int) -> None:
                bar.reach(done, todo)
                place.write_text(f"{done / todo:.0%} was done" if told["adapter"] else where(done, options))

            if told["adapter"]:
                verdict = audit_adapter(told["name"], source=told["source"], **told["options"], progress=progress)
            elif options.get("kind") == "generate":
                verdict = audit_named(told["name"], options, progress)
            else:
                function = load(told["name"])
                place.write_text(where(0, options))
                judge = audit_or_sample if "samples" in options else audit
                verdict = judge(function, **options, progress=progress)
        found = {"document": verdict.as_json(), "text": str(verdict), "exit_code": verdict.exit_code}
    except (ValueError, ImportError, Missing) as error:
        found = {"error": " ".join(str(error).split())}
    partial = out.with_suffix(".part")
    partial.write_text(json.dumps(found, allow_nan=False))
    os.replace(partial, out)


if __name__ == "__main__":
    _run(sys.argv[1])
