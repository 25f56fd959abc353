"""Decoders against plain decoding, against transformers and against native arithmetic. ``make bench-decode``.

Ratios are measured in one run: players take turns on every prompt, the order rotates, medians over repetitions are
printed with the range of the repetitions, and processor time beside the wall clock. Sections that are finished are kept
in a folder, and ``--resume`` goes on with them; ``--write FOLDER`` keeps all numbers with how they were made.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks import decode_equal, decode_goals, decode_limits, decode_report, decode_speed
from benchmarks.decode_turns import say

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "bench-decode"
SECTIONS = ("search", "compared", "batched", "threads", "exactness", "roofline", "rounds", "equal")


def provenance(arguments: Sequence[str], threads: int) -> dict[str, Any]:
    """Date, machine, versions, commit and command."""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load at the start": round(os.getloadavg()[0], 1),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "commit": _commit(),
        "command": " ".join(["python -m benchmarks.decode", *arguments]),
        "threads": threads,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "--short", "HEAD") + changed
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All sections that were asked for, those that are kept already not again."""
    sizes = decode_speed.Sizes.quick() if options.quick else decode_speed.Sizes(repetitions=options.repetitions)
    size = decode_equal.Size.quick() if options.quick else decode_equal.Size(options.prompts, options.tokens)
    work: Path | None = None if options.quick else options.work
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        if not options.resume:
            for file in work.glob("*.json*"):
                file.unlink()
    found: dict[str, Any] = {}
    kept = None if work is None else work / "equal.jsonl"
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "search": lambda: decode_speed.search(sizes),
        "compared": lambda: decode_speed.compared(found["search"], sizes),
        "batched": lambda: decode_speed.batched(found["search"], sizes),
        "threads": lambda: decode_speed.threads(found["search"], sizes),
        "exactness": lambda: decode_limits.exactness(sizes),
        "roofline": lambda: decode_limits.roofline(sizes),
        "rounds": lambda: decode_limits.rounds(found["search"], sizes),
        "equal": lambda: decode_equal.measure(size, options.workers, kept),
    }
    for name in SECTIONS:
        if name not in options.sections and not (
            name == "search" and {"compared", "batched", "threads", "rounds"} & {*options.sections}
        ):
            continue
        file = None if work is None else work / f"{name}.json"
        if file is not None and file.exists():
            say(f"{name}: kept from before")
            found[name] = json.loads(file.read_text())
            continue
        say(name)
        found[name] = makers[name]()
        if file is not None:
            file.write_text(json.dumps(found[name]))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="default: all")
    parser.add_argument("--repetitions", type=int, default=3, help="of every turn (default 3)")
    parser.add_argument("--prompts", type=int, default=1000, help="of the equality table (default 1000)")
    parser.add_argument("--tokens", type=int, default=16, help="of each text in the equality table (default 16)")
    parser.add_argument("--workers", type=int, default=2, help="processes for the equality table (default 2)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch while speed is measured (default 1)")
    parser.add_argument(
        "--work", type=Path, default=WORK, help=f"folder of finished sections (default {WORK.relative_to(ROOT)})"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the sections kept in that folder")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="keep decode.json and decode.txt there")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does the program run?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.workers = 1
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    made = provenance(arguments if arguments is not None else _given(options, parser), options.threads)
    found = run(options)
    text = "\n".join([f"{key}: {value}" for key, value in made.items()] + list(decode_report.lines(found)))
    print(text)
    if options.write is not None:
        options.write.mkdir(parents=True, exist_ok=True)
        record = {"made": made, **found, "goals": [goal.as_json() for goal in decode_goals.goals(found)]}
        (options.write / "decode.json").write_text(json.dumps(record, indent=1) + "\n")
        (options.write / "decode.txt").write_text(text + "\n")


def _given(options: argparse.Namespace, parser: argparse.ArgumentParser) -> list[str]:
    """The options that differ from their defaults, as they would be typed."""
    given = []
    for name, value in vars(options).items():
        if value == parser.get_default(name) or name in ("work", "write"):
            continue
        given += [f"--{name}", *([] if value is True else map(str, value) if isinstance(value, list) else [str(value)])]
    return given


if __name__ == "__main__":
    main()
