"""All evidence that needs a CUDA device, in less than 8 minutes. ``make gpu``.

Five sections, each in a process of its own with its own limit of time: a section that fails, hangs or leaves the device
broken does not take the others with it, and what it had measured is kept.

    tests      every test marked gpu, counted
    logits     hashes of order-independent logits of the shipped pair, CPU against device
    speed      models of 0.1 B and 1 B: speed-up as a function of the draft's agreement, what exactness costs, roofline
    pair       the shipped pair with its own draft
    transport  optimum and coupling at a vocabulary of 128,000

Writes benchmarks/results/gpu.json and prints a table. Ends with 0 if every section ended well, 1 if one did not, and 2,
with one line and nothing written, where there is no CUDA device: no evidence must not look like good evidence.
``--cpu-rehearsal`` runs everything but the graphs at tiny sizes on the CPU; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent
for folder in (HOME, HOME.parent):  # so that neither an installation nor a folder to start from is needed
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from gpu_setting import Section, Setting  # noqa: E402 - a script's own folder comes first

SCHEMA_VERSION = 1
OUT = HOME / "results" / "gpu.json"
BUDGETS = {"tests": 200.0, "logits": 35.0, "speed": 150.0, "pair": 40.0, "transport": 30.0}
"""Seconds after which a section is ended: 455 in all, of 480. A section should end by itself after 0.8 of them."""

PACKAGES = ("torch", "triton", "numpy", "scipy", "transformers", "hypothesis", "pytest")


def sections() -> dict[str, Section]:
    import gpu_checks
    import gpu_pair
    import gpu_speed

    return {
        "tests": gpu_checks.tests,
        "logits": gpu_checks.logits,
        "speed": gpu_speed.speed,
        "pair": gpu_pair.shipped_pair,
        "transport": gpu_checks.transport,
    }


def measure(section: Section, setting: Setting, keep: Callable[[dict[str, Any]], None]) -> None:
    """Run a section here; ``keep`` is given all that is known after each step."""
    known: dict[str, Any] = {"status": "unfinished", "result": {}}
    keep(known)
    try:
        for name, value in section(setting):
            known["result"][name] = value
            keep(known)
        known["status"] = "ok"
    except Exception as error:
        traceback.print_exc()
        known |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}
    keep(known)


def in_a_process(command: Sequence[str], file: Path, budget: float) -> dict[str, Any]:
    """Run a section by a command that writes ``file``; what it wrote, whatever became of it."""
    begun = time.monotonic()
    process = subprocess.Popen(list(command), start_new_session=True)
    try:
        code: int | None = process.wait(timeout=budget)
    except subprocess.TimeoutExpired:
        code = None
    finally:  # whatever it started goes with it, also at an interruption
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    found: dict[str, Any] = {"status": "unfinished", "result": {}}
    if file.exists():
        found = json.loads(file.read_text())
    if code is None:
        found |= {"status": "timeout", "error": f"ended after {budget:.0f} s"}
    elif found["status"] == "unfinished":
        found |= {"status": "failed", "error": f"the process ended with {code}"}
    return found | {"seconds": round(time.monotonic() - begun, 1), "budget": budget}


def write(path: Path, value: Any) -> None:
    """All or nothing."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(value, indent=1) + "\n")
    beside.replace(path)


def provenance(device: str, commit: str | None) -> dict[str, Any]:
    """Date, device, versions, commit."""
    import torch

    found: dict[str, Any] = {"name": platform.processor() or platform.machine()}
    if device == "cuda":
        own = torch.cuda.get_device_properties(0)
        found = {
            "name": own.name,
            "memory": own.total_memory,
            "capability": f"{own.major}.{own.minor}",
            "multiprocessors": own.multi_processor_count,
            "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        }
    versions = {"python": platform.python_version(), "cuda": torch.version.cuda}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "schema_version": SCHEMA_VERSION,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or _output("git", "-C", str(HOME), "rev-parse", "HEAD"),
        "changed": None if commit else bool(_output("git", "-C", str(HOME), "status", "--porcelain", "-uno")),
        "device": found,
        "versions": versions,
    }


def _output(*command: str) -> str | None:
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python benchmarks/gpu.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cpu-rehearsal", action="store_true", help="tiny sizes on the CPU, no graphs, one process")
    parser.add_argument("--only", metavar="NAMES", help=f"some of {','.join(BUDGETS)} (default: all)")
    parser.add_argument("--out", type=Path, help=f"file to write (default {OUT.relative_to(HOME.parent)})")
    parser.add_argument("--commit", help="name of the commit, where there is no git repository to ask")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for all limits of time (default 1)")
    parser.add_argument("--section", choices=BUDGETS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    names = list(BUDGETS) if options.only is None else options.only.split(",")
    if unknown := [name for name in names if name not in BUDGETS]:
        parser.error(f"--only: {', '.join(unknown)}; allowed are {', '.join(BUDGETS)}")
    if options.cpu_rehearsal and options.out is None:
        parser.error("--out: needed for a rehearsal, whose numbers are no evidence")

    import torch

    device = "cpu" if options.cpu_rehearsal else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        print("gpu: torch sees no CUDA device; nothing was measured and nothing written", file=sys.stderr)
        return 2
    if options.section:
        budget = BUDGETS[options.section] * options.scale
        setting = Setting(device, False, time.monotonic() + 0.8 * budget)
        measure(sections()[options.section], setting, lambda known: write(options.out, known))
        return 0

    out = options.out or OUT
    made = provenance(device, options.commit) | {"rehearsal": options.cpu_rehearsal, "sections": {}}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            budget = BUDGETS[name] * options.scale
            print(f"[{time.monotonic() - begun:5.0f} s] {name}, at most {budget:.0f} s", flush=True)
            file = Path(folder) / f"{name}.json"
            if options.cpu_rehearsal:
                torch.set_num_threads(1)
                start = time.monotonic()
                measure(sections()[name], Setting(device, True, start + budget), lambda known, f=file: write(f, known))
                found = json.loads(file.read_text())
                found |= {"seconds": round(time.monotonic() - start, 1), "budget": budget}
            else:
                command = [sys.executable, str(HOME / "gpu.py"), "--section", name, "--out", str(file)]
                found = in_a_process([*command, "--scale", str(options.scale)], file, budget)
            made["sections"][name] = found
            made["seconds"] = round(time.monotonic() - begun, 1)
            out.parent.mkdir(parents=True, exist_ok=True)
            write(out, made)  # after each section: an interruption keeps those before it

    import gpu_report

    made["goals"] = gpu_report.goals(made["sections"])
    write(out, made)
    print("\n".join(gpu_report.table(made)))
    print(f"{out}: written, {made['seconds']:.0f} s")
    return 0 if all(found["status"] == "ok" for found in made["sections"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
