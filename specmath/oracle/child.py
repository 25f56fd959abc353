"""The audit in a process of its own, with a limit on its time: foreign code may print, hang or exit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def audit_in_child(name: str, options: dict[str, Any], limit: float) -> Report:
    """Audit the function called ``name`` in another process, for ``limit`` seconds at most.

    ``options`` are those of `specmath.oracle.audit` that are plain values. Raises ValueError for what the audit refuses
    as wrong input. A child that does not end, or dies, is a verdict of status "failed".
    """
    with tempfile.TemporaryDirectory(prefix="specmath-audit-") as folder:
        out, place = Path(folder, "verdict.json"), Path(folder, "place")
        words = json.dumps({"name": name, "options": options, "out": str(out), "place": str(place)})
        command = [sys.executable, "-m", "specmath.oracle.child", words]
        try:
            # What the function prints is nobody's; progress and warnings go to our stderr.
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
        return _failed(name, options, f"{why}; {where}")


def _failed(name: str, options: dict[str, Any], cause: str) -> Report:
    from specmath.oracle.verdict import Verdict

    verdict = Verdict(
        status="failed",
        total_variation=0.0,
        tolerance=0.0,
        evidence="none",
        checks=(),
        instance=None,
        cells=(),
        cause=cause,
        function=name,
        kind=options.get("kind", "chain"),
        arrays=options.get("arrays") or "unknown",
        dtype=options.get("dtype") or "unknown",
        drafts=options.get("drafts", "iid"),
        calls=(),
        runs=0,
        instances=0,
    )
    return Report(verdict.as_json(), str(verdict), verdict.exit_code)


def _run(words: str) -> None:
    from specmath.cli.progress import Bar
    from specmath.oracle.audit import audit
    from specmath.oracle.load import load

    told = json.loads(words)
    place, out = Path(told["place"]), Path(told["out"])
    try:
        function = load(told["name"])
        with Bar(label="instances") as bar:

            def progress(done: int, todo: int) -> None:
                bar.advance()
                place.write_text(f"{done} of {todo} instances were done")

            verdict = audit(function, **told["options"], progress=progress)
        found = {"document": verdict.as_json(), "text": str(verdict), "exit_code": verdict.exit_code}
    except (ValueError, ImportError) as error:
        found = {"error": " ".join(str(error).split())}
    partial = out.with_suffix(".part")
    partial.write_text(json.dumps(found, allow_nan=False))
    os.replace(partial, out)


if __name__ == "__main__":
    _run(sys.argv[1])
