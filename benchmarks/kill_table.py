"""Which check sees which defect: the oracle's, and tests as public projects have them. ``make kill-table``.

Every defect of the corpus, and some functions that are right, are audited by their exact law and sampled as
`benchmarks/kill_tests.py` says. Sampling takes a quarter of an hour or more. What was sampled is kept in a work file as
it comes, so that an interrupted run goes on, and several runs with ``--only`` may share it. It is sampled again when
the function's file, or the corpus's sampling, has changed. Audits are always made anew. The table is written once all
rows are there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kill_tests import SEED, TESTS, Tested, tested
from proofs_tests.oracle.corpus.entry import FOLDER, Entry
from proofs_tests.oracle.corpus.given import whole_verdict
from proofs_tests.oracle.corpus.table import CORRECT, DEFECTS
from proofs_tests.oracle.corpus.toys import TOYS
from specmath import oracle
from specmath.oracle.logs.checks import check_rounds

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "benchmarks" / "results" / "kill_table.json"
WORK = ROOT / "build" / "kill_table.json"
PAGE = ROOT / "docs" / "theory" / "teeth.md"
BEGIN, END = "<!-- kill table: begin, written by make kill-table -->", "<!-- kill table: end -->"
FORM = ("returns", "shape", "count_range", "padding", "support", "same_seed")
GROUPS = {
    "exact_law": "law", "zero_probability": "zero", "unsafe_zero": "zero", "batch_mates": "mates",
    "inputs_not_mutated": "inputs", "draft_stream": "stream", "nothing_after_stop": "stop",
    "logprobs": "log", **dict.fromkeys(FORM, "form"),
}  # fmt: skip
"""Named check -> column. `form` is count, padding, support, shape and raised errors."""
ORACLE = ("law", "zero", "form", "mates", "inputs", "stream", "stop", "log")
COLUMNS = (*ORACLE, *TESTS)
LOGGED = 40
"""Rounds of a trace."""
CONTROLS = ("recursive", "vectorised", "gathered", "recursive_walk", "assistant", "as_it_was")
Row = dict[str, Any]


def entries() -> list[Entry]:
    """All rows: the defects, and some functions that are right."""
    return [*DEFECTS, *(entry for entry in CORRECT if entry.function in CONTROLS)]


def audited(entry: Entry) -> tuple[list[str], float]:
    """Failed checks on the standard instances, up to the one where the named check fails, and the CPU seconds."""
    begun = time.process_time()
    failed: dict[str, None] = {}
    if entry.kind == "generate":
        for toy in reversed(TOYS):
            verdict = whole_verdict(entry, toy, tokens(entry))
            failed |= dict.fromkeys(check.name for check in verdict.checks if not check.passed)
            if entry.check in failed:
                break
        return list(failed), time.process_time() - begun
    if entry.kind == "log":
        rounds = entry.load()(TOYS[0].target, TOYS[0].draft, np.random.default_rng(SEED), LOGGED)
        failed |= dict.fromkeys(finding.check for finding in check_rounds(rounds).findings)
        return list(failed), time.process_time() - begun
    dtype = entry.dtype or ("float64" if entry.arrays == "numpy" else "float32")
    for instance in oracle.standard(entry.kind, drafts=entry.drafts, dtype=dtype):  # type: ignore[arg-type]
        verdict = oracle.audit(
            entry.load(), kind=entry.kind, arrays=entry.arrays, drafts=entry.drafts, dtype=dtype,
            instances=(instance,), minimise=False,
        )  # fmt: skip
        failed |= dict.fromkeys(check.name for check in verdict.checks if not check.passed)
        if entry.check in failed:
            break
    return list(failed), time.process_time() - begun


def tokens(entry: Entry) -> int:
    """New tokens that a generate call is asked for. A count that is wrong has more texts than one that is right."""
    return 3 if entry.check == "count_range" else 4


def fingerprint(entry: Entry) -> str:
    """Of what a row depends on, the oracle aside."""
    files = (entry.file, FOLDER / "sampling.py", FOLDER / "toys.py", Path(__file__).with_name("kill_tests.py"))
    digest = hashlib.sha256(repr((*asdict(entry).items(), SEED)).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def made(entry: Entry, tests: Row | None) -> Row:
    """One row of the table; ``tests`` is what was sampled before."""
    failed, seconds = audited(entry)
    if tests is None:
        none = dict.fromkeys(TESTS, Tested(None))
        tests = {name: asdict(one) for name, one in (none if entry.kind == "log" else tested(entry)).items()}
    return {
        "class": entry.defect or None,
        "kind": entry.kind,
        "check": entry.check or None,
        "failed": sorted(failed),
        "audit seconds": round(seconds, 3),
        "tests": tests,
    }


def marks(row: Row) -> dict[str, str]:
    """Column -> mark: "X" by the named check, "x" seen, "-" not run."""
    found = {GROUPS[name]: "x" for name in row["failed"]}
    if row["check"] in row["failed"]:
        found[GROUPS[row["check"]]] = "X"
    for name, test in row["tests"].items():
        if test["passed"] is not True:
            found[name] = "-" if test["passed"] is None else "x"
    return found


def counted(rows: list[Row]) -> Counter[str]:
    """How many rows each column has seen; "oracle" by any of its columns, "named" by the named check, "all"."""
    caught: Counter[str] = Counter()
    for row in rows:
        seen = marks(row)
        caught.update(name for name, mark in seen.items() if mark in ("x", "X"))
        caught["run"] += row["tests"]["KL"]["passed"] is not None
        caught["public"] += any(seen.get(name) == "x" for name in TESTS[:3])
        caught["oracle"] += any(name in ORACLE for name in seen)
        caught["named"] += "X" in seen.values()
        caught["all"] += 1
    return caught


def head() -> str:
    return f"{'class':5} {'defect':44} " + " ".join(f"{name:>6}" for name in COLUMNS) + f" {'audit':>8}"


def line(name: str, row: Row) -> str:
    seen = marks(row)
    cells = " ".join(f"{seen.get(column, '.'):>6}" for column in COLUMNS)
    return f"{row['class'] or 'none':5} {name:44} {cells} {row['audit seconds']:7.2f}s"


def text(record: dict[str, Any]) -> str:
    """The table as it is kept beside the numbers."""
    rows = record["rows"]
    caught = counted([row for row in rows.values() if row["class"]])
    return "\n".join(
        [
            *(f"{key}: {value}" for key, value in record["made"].items()),
            "X seen by the check named for the defect, x seen, . not seen, - not run (eager jax is too slow to sample,",
            "a generate call has no fixed drafts, a trace is no sample); audit: CPU seconds until the named check",
            "failed, for functions that are right (class none) those of all instances",
            "",
            head(),
            *(line(name, row) for name, row in rows.items()),
            f"{'':5} {'caught':44} " + " ".join(f"{caught[name]:>6}" for name in COLUMNS),
            f"{caught['all']} defects: {caught['oracle']} seen by the oracle, {caught['named']} by the check named "
            f"for them; {caught['public']} by one of the three public designs",
            "",
        ]
    )


def markdown(record: dict[str, Any]) -> str:
    """The part of the page between its marks: sums by class, and every row."""
    rows = {name: row for name, row in record["rows"].items() if row["class"]}
    right = [row for row in record["rows"].values() if not row["class"]]
    columns = ("named", "oracle", *TESTS)
    lines = [
        BEGIN,
        "",
        "| class | defects | by the named check | by any check | " + " | ".join(TESTS) + " |",
        "| --- | ---: | ---: | ---: |" + " ---: |" * len(TESTS),
    ]
    for kind in sorted({row["class"] for row in rows.values()}, key=lambda name: int(name[1:])):
        caught = counted([row for row in rows.values() if row["class"] == kind])
        lines.append(f"| {kind} | {caught['all']} | " + " | ".join(str(caught[name]) for name in columns) + " |")
    for title, some in (("all", list(rows.values())), ("right ones, called wrong", right)):
        caught = counted(some)
        lines.append(f"| {title} | {caught['all']} | " + " | ".join(str(caught[name]) for name in columns) + " |")
    lines += [
        "",
        "| defect | class | named check | other checks that fail | " + " | ".join(TESTS) + " |",
        "| --- | --- | --- | --- |" + " --- |" * len(TESTS),
    ]
    for name, row in rows.items():
        others = ", ".join(f"`{check}`" for check in row["failed"] if check != row["check"])
        named = f"`{row['check']}`" if row["check"] in row["failed"] else f"`{row['check']}` MISSED"
        seen = marks(row)
        cells = " | ".join({"x": "seen", "-": "not run"}.get(seen.get(test, ""), "") for test in TESTS)
        lines.append(f"| {name.replace('_', ' ')} | {row['class']} | {named} | {others} | {cells} |")
    made_by = record["made"]
    lines += ["", f"Made {made_by['date']} by `{made_by['command']}`, commit {made_by['commit']}.", "", END]
    return "\n".join(lines)


def filled(page: str, begin: str, content: str, end: str) -> str:
    """A page with new content from one mark to the other."""
    before, _, rest = page.partition(begin)
    return before + content + rest.partition(end)[2]


def provenance() -> dict[str, str]:
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        commit += " with changes" if _git("status", "--porcelain", "--untracked-files=no") else ""
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    import torch

    return {
        "date": str(date.today()),
        "command": "python -m benchmarks.kill_table",
        "commit": commit,
        "python": sys.version.split()[0],
        "versions": f"numpy {np.__version__}, torch {torch.__version__}",
        "machine": f"{platform.system()} {platform.machine()}, one thread",
        "seed": f"{SEED} for everything sampled",
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="sample the rows whose name contains this, and write no table")
    parser.add_argument("--work", type=Path, default=WORK, help="what was sampled, row by row")
    parser.add_argument("--again", action="store_true", help="sample everything again")
    options = parser.parse_args(arguments)
    chosen = [entry for entry in entries() if options.only in entry.name]
    if options.again:
        options.work.unlink(missing_ok=True)
    options.work.parent.mkdir(parents=True, exist_ok=True)
    audited(DEFECTS[0])  # imports what is imported once
    print(f"{len(sampled(options.work))} rows are sampled already\n{head()}", flush=True)
    rows: dict[str, Row] = {}
    for entry in chosen:
        known = sampled(options.work).get(entry.name)
        rows[entry.name] = made(entry, known)
        if known is None:
            _keep(options.work, entry, rows[entry.name]["tests"])
        print(line(entry.name, rows[entry.name]), flush=True)
    record = {"made": provenance(), "rows": rows}
    if not options.only:
        print(text(record))
        _write(KEPT, json.dumps(record, indent=1) + "\n")
        _write(KEPT.with_suffix(".txt"), text(record))
        _write(PAGE, filled(PAGE.read_text(encoding="utf-8"), BEGIN, markdown(record), END))
    return int(any(row["class"] and row["check"] not in row["failed"] for row in rows.values()))


def sampled(work: Path) -> dict[str, Row]:
    """What the tests of each row said, by name; only where it would be sampled alike today."""
    found = json.loads(work.read_text(encoding="utf-8")) if work.exists() else {}
    now = {one.name: fingerprint(one) for one in entries()}
    return {name: one["tests"] for name, one in found.items() if now.get(name) == one["fingerprint"]}


def _keep(work: Path, entry: Entry, tests: Row) -> None:
    found = json.loads(work.read_text(encoding="utf-8")) if work.exists() else {}
    _write(
        work, json.dumps({**found, entry.name: {"fingerprint": fingerprint(entry), "tests": tests}}, indent=1) + "\n"
    )


def _write(file: Path, content: str) -> None:
    part = file.with_suffix(f".part{os.getpid()}")
    part.write_text(content, encoding="utf-8")
    part.replace(file)


if __name__ == "__main__":
    sys.exit(main())
