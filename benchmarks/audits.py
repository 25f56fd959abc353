"""What published implementations do: every ready adapter that is present is audited, and the verdicts are kept.

``make audits`` audits what is installed here, and what the variables ``SPECMATH_SOURCE_<PACKAGE>`` point to. Each
verdict is written to docs/audits/verdicts.json as soon as it stands, with the version that was audited; an adapter
whose version is in the file already is left alone (``--again`` audits it anew), and one that is absent keeps its last
verdict. The page docs/audits/verdicts.md is made from the file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.audits_page import page

FOLDER = Path(__file__).parent.parent / "docs" / "audits"
KEPT = FOLDER / "verdicts.json"
PAGE = FOLDER / "verdicts.md"
SCHEMA_VERSION = 1
OURS = "specmath"
"""Our own decoders are tested by the suite, and are no part of a report on others."""

ONE = """
import json, sys
from specmath.oracle.adapters import audit_adapter
verdict = audit_adapter(sys.argv[1])
print(json.dumps({"verdict": verdict.as_json(), "text": str(verdict)}), file=sys.stdout)
"""
"""A process for every audit: some adapters must set up their libraries before anything else imports them."""


def one(name: str, limit: float) -> dict[str, Any]:
    """The verdict of one adapter as a document, and its seconds. RuntimeError if it did not come to one."""
    begun = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-c", ONE, name], capture_output=True, text=True, timeout=limit, check=False
    )  # fmt: skip
    if run.returncode:
        raise RuntimeError(f"{name}: {run.stderr.strip().splitlines()[-1]}")
    found = json.loads(run.stdout.strip().splitlines()[-1])
    return {**found, "seconds": round(time.perf_counter() - begun, 1)}


def row(adapter: Any, version: str, found: dict[str, Any]) -> dict[str, Any]:
    """What the file keeps of one adapter."""
    words = {name: getattr(adapter, name) for name in ("package", "family", "kind", "place", "randomness", "note")}
    lossy = None if adapter.declared is None else adapter.declared.name
    day = datetime.now(UTC).date().isoformat()
    return {**words, "declared": lossy, "version": version, "audited": day, **found}


def provenance() -> dict[str, str]:
    """Versions that the audits ran with."""
    from importlib.metadata import version

    return {"python": sys.version.split()[0], **{name: version(name) for name in ("numpy", "torch")}}


def main() -> None:
    from specmath.oracle.adapters.registry import states

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="adapters whose name contains this")
    parser.add_argument("--again", action="store_true", help="audit also what the file has in this version")
    parser.add_argument("--page", action="store_true", help="make the page from the file, and audit nothing")
    parser.add_argument("--limit", type=float, default=1800, help="seconds for one audit")
    options = parser.parse_args()
    kept = json.loads(KEPT.read_text(encoding="utf-8"))["adapters"] if KEPT.exists() else {}
    failed = []
    for state in [] if options.page else states():
        name = state.adapter.name
        if options.only not in name or state.adapter.package == OURS:
            continue
        if not state.present:
            print(f"{name}: absent: {state.what}")
            continue
        if kept.get(name, {}).get("version") == state.what and not options.again:
            print(f"{name}: {kept[name]['verdict']['status']} (kept)")
            continue
        try:
            found = one(name, options.limit)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            failed.append(str(error))
            print(error, flush=True)
            continue
        kept[name] = row(state.adapter, state.what, found)
        print(f"{name}: {found['verdict']['status']}, {found['seconds']} s", flush=True)
        document = {"schema_version": SCHEMA_VERSION, "made_by": "make audits", "with": provenance()}
        document["adapters"] = dict(sorted(kept.items()))
        FOLDER.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(json.loads(KEPT.read_text(encoding="utf-8"))), encoding="utf-8")
    if failed:
        raise SystemExit("\n".join(["audits without a verdict:", *failed]))


if __name__ == "__main__":
    main()
