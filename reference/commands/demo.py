"""``specmath demo``: decode real prompts with every decoder, compare the texts bit for bit, hold them against theory,
check every rule exactly, write a report."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from specmath.cli.command import Command

if TYPE_CHECKING:
    from reference.demo.story import Story

NOT_BORNE_OUT = 1
"""Exit code when a rule, a decoder or a planted defect did not do what is claimed."""

REPORT = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="where report.html goes (demo)")
    parser.add_argument(
        "--prompts", type=int, default=30, metavar="N", help="prompts to decode, kinds in turn (default 30)"
    )
    parser.add_argument("--max-tokens", type=int, default=48, metavar="N", help="most tokens for each (default 48)")
    parser.add_argument(
        "--path-tokens", type=int, default=24, metavar="N", help="the same where trees are drafted (default 24)"
    )
    parser.add_argument(
        "--equality-tokens", type=int, default=20, metavar="N", help="the same for the equality check (default 20)"
    )
    parser.add_argument("--draft-length", type=int, default=4, metavar="L", help="drafted tokens a round (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="key of the random counter (default 0)")
    parser.add_argument("--pair", type=Path, metavar="DIR", help="folder with target/ and draft/ (default: shipped)")
    parser.add_argument("--json", action="store_true", help="print the report's numbers as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    from reference import pair
    from reference.demo import report, terminal  # first of all: without matplotlib there is no report
    from reference.demo.settings import Settings
    from reference.demo.story import tell
    from reference.pair.prompts import spread

    begun = time.perf_counter()
    settings = Settings(
        prompts=arguments.prompts,
        max_tokens=arguments.max_tokens,
        path_tokens=arguments.path_tokens,
        equality_tokens=arguments.equality_tokens,
        draft_length=arguments.draft_length,
        seed=arguments.seed,
        pair=arguments.pair,
    )
    spread(settings.prompts)
    target = arguments.out / REPORT
    part = _writable(target)
    try:
        models = pair.load(arguments.pair)
        _use_one_thread()
        story = tell(models, settings, note=None if arguments.json else _note)
        began_report = time.perf_counter()
        part.write_text(report.html(story), encoding="utf-8")
        part.replace(target)
        story.seconds["report"] = time.perf_counter() - began_report
    finally:
        part.unlink(missing_ok=True)
    if arguments.json:
        print(json.dumps(story.as_json(str(target)), allow_nan=False))
    else:
        _note("report", story.seconds["report"])
        for line in terminal.lines(story):
            print(line)
        print(f"\nReport: {target} ({time.perf_counter() - begun:.1f} s in all)")
    return _verdict(story)


def _writable(target: Path) -> Path:
    """The file beside ``target`` that will become it; made now, so that a bad folder is an error before any work."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        raise IsADirectoryError(f"{target}: is a folder; --out needs a folder in which {REPORT} can be written")
    part = target.with_suffix(".part")
    part.write_text("", encoding="utf-8")
    return part


def _use_one_thread() -> None:
    # The shipped pair is so small that a second thread costs more in handing over than it saves.
    import torch

    torch.set_num_threads(1)


def _note(name: str, seconds: float) -> None:
    print(f"{name:12} {seconds:6.1f} s", flush=True)


def _verdict(story: Story) -> int:
    for line in story.failures:
        print(f"specmath demo: failed: {line}", file=sys.stderr)
    return NOT_BORNE_OUT if story.failures else 0


COMMAND = Command("demo", "the whole story on real prompts, with a report", add_arguments, run)
