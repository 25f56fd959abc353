"""``specmath acceptance FILE``: the acceptance of every rule against the optimum on a dump of laws or logits."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from specmath import draft_laws, rules
from specmath.cli.command import Command, UsageError
from specmath.cli.discovery import OWN
from specmath.cli.dump import SUFFIXES, open_dump
from specmath.cli.laws import Pair, Sampler, pair
from specmath.cli.progress import progress
from specmath.comparison import LEVEL, OPTIMAL, Plan, Row, Skipped, compare, plan
from specmath.logits import check_options

SCHEMA_VERSION = 1
ROUNDING = 1e-12  # corrections below this are the rounding of a float64 sum, and no news


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "specmath acceptance FILE [options]"  # in this order: --n and its like take all words that follow
    parser.epilog = "example: specmath acceptance dump.npz --logits --temperature 0.8 --n 1 2 4 --drafts iid greedy"
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",  # its absence is reported in run, with a hint at where it went
        help="a .npz or .safetensors file with the arrays target and draft, both (contexts, vocabulary)",
    )
    parser.add_argument(
        "--n", nargs="+", type=_count, default=[1, 2, 4, 8], metavar="N", help="candidates at a node (default 1 2 4 8)"
    )
    parser.add_argument(
        "--drafts",
        nargs="+",
        default=["iid"],
        metavar="LAW",
        help=f"how the candidates are drawn: {', '.join(draft_laws.names())} (default iid)",
    )
    parser.add_argument(
        "--rules",
        nargs="+",
        metavar="RULE",
        help=f"default all that verify the drafts, of {', '.join(rules.names('node'))}",
    )
    parser.add_argument("--logits", action="store_true", help="the arrays are logits: take the softmax, in float64")
    parser.add_argument("--temperature", type=_number, metavar="T", help="with --logits: default 1")
    parser.add_argument("--top-k", type=_count, metavar="K", help="with --logits: keep the K likeliest tokens")
    parser.add_argument("--top-p", type=_number, metavar="P", help="with --logits: keep the likeliest tokens of mass P")
    parser.add_argument("--seed", type=_seed, default=0, metavar="S", help="for rules without a formula (default 0)")
    parser.add_argument(
        "--replicates",
        type=_count,
        default=256,
        metavar="R",
        help="draws per context for rules without a formula (default 256)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, as acceptance.schema.json tells")


def run(arguments: argparse.Namespace) -> int:
    if arguments.file is None:
        words = [*arguments.drafts, *(arguments.rules or ())]
        taken = next((word for word in words if Path(word).suffix in SUFFIXES), None)
        where = f"; {taken} was read as part of a list: put FILE first" if taken else ""
        raise UsageError(f"FILE is missing{where} (see specmath acceptance --help)")
    sampler = _sampler(arguments)
    if arguments.replicates < 2:
        raise UsageError("--replicates is 1; allowed are whole numbers >= 2")
    todo = plan(arguments.n, arguments.drafts, arguments.rules)
    path = Path(arguments.file)
    with open_dump(path) as arrays:
        dump = pair(path, arrays, sampler)
        bar = partial(progress, total=dump.block_count * len(todo.jobs), label="acceptance")
        try:
            rows = compare(dump.blocks(), todo, seed=arguments.seed, replicates=arguments.replicates, watch=bar)
        except ValueError as error:
            raise ValueError(_in_file(path, str(error))) from error
    print(_json(arguments, dump, todo, rows) if arguments.json else _text(arguments, dump, todo, rows))
    return 0


def _in_file(path: Path, message: str) -> str:
    return message if message.startswith(f"{path}: ") else f"{path}: {message}"


def _sampler(arguments: argparse.Namespace) -> Sampler | None:
    given = [
        option
        for option, value in (
            ("--temperature", arguments.temperature),
            ("--top-k", arguments.top_k),
            ("--top-p", arguments.top_p),
        )
        if value is not None
    ]
    if not arguments.logits:
        if given:
            raise UsageError(f"{given[0]} is allowed with --logits only: laws are taken as they are")
        return None
    temperature = 1.0 if arguments.temperature is None else arguments.temperature
    check_options(temperature, arguments.top_k, arguments.top_p)
    return Sampler(temperature, arguments.top_k, arguments.top_p)


def _json(arguments: argparse.Namespace, dump: Pair, todo: Plan, rows: tuple[Row, ...]) -> str:
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "file": arguments.file,
        "contexts": dump.contexts,
        "vocabulary": dump.vocabulary,
        "interval": {"level": LEVEL, "method": "student-t over contexts"},
        "monte_carlo": {"seed": arguments.seed, "replicates": arguments.replicates},
        "logits": None if dump.sampler is None else asdict(dump.sampler),
        "correction": max(dump.corrections, default=None),
        "rows": [asdict(row) for row in rows],
        "skipped": [asdict(entry) for entry in todo.skipped],
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _text(arguments: argparse.Namespace, dump: Pair, todo: Plan, rows: tuple[Row, ...]) -> str:
    contexts = "1 context" if dump.contexts == 1 else f"{dump.contexts} contexts"
    head = f"{arguments.file}: {contexts}, {dump.vocabulary} tokens"
    cells = [("drafts", "n", "rule", "acceptance", "95 % interval", "gap", "method")]
    for row in rows:
        between = "-" if row.low is None or row.high is None else f"{row.low:.4f} .. {row.high:.4f}"
        gap = "" if row.rule == OPTIMAL else f"{row.gap:.4f}".replace("-0.0000", "0.0000")
        cells.append((row.drafts, str(row.n), row.rule, f"{row.acceptance:.4f}", between, gap, row.method))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [head, ""]
    for i, line in enumerate(cells):
        if i > 1 and line[2] == OPTIMAL:
            lines.append("")
        drafts, n, rule, mean, between, gap, method = (cell.ljust(w) for cell, w in zip(line, widths, strict=True))
        numbers = [cell.strip().rjust(len(cell)) for cell in (n, mean, gap)]
        lines.append("  ".join([drafts, numbers[0], rule, numbers[1], between, numbers[2], method]).rstrip())
    lines += ["", *_notes(arguments, dump, todo, rows)]
    return "\n".join(lines)


def _notes(arguments: argparse.Namespace, dump: Pair, todo: Plan, rows: tuple[Row, ...]) -> list[str]:
    notes = ["gap: optimal minus acceptance"]
    if dump.contexts > 1:
        notes.append("95 % interval: Student t over the contexts, taken as independent")
    estimated = [row.monte_carlo_error for row in rows if row.method == "monte-carlo"]
    if estimated:
        notes.append(
            f"monte-carlo: {arguments.replicates} replicates a context, seed {arguments.seed}; "
            f"standard error of a mean at most {max(estimated):.1g}"
        )
    if max(dump.corrections, default=0.0) > ROUNDING:
        notes.append(f"laws were scaled to sum to one; the largest |sum - 1| was {max(dump.corrections):.1g}")
    missing: dict[tuple[str, str], list[Skipped]] = {}
    for entry in todo.skipped:
        missing.setdefault((entry.rule, entry.drafts), []).append(entry)
    for (rule, drafts), entries in missing.items():
        notes.append(f"no row for {rule}, {drafts}, n = {', '.join(str(e.n) for e in entries)}: {entries[0].reason}")
    return notes


def _count(word: str) -> int:
    return _whole(word, 1)


def _seed(word: str) -> int:
    return _whole(word, 0)


def _whole(word: str, least: int) -> int:
    try:
        value = int(word)
    except ValueError:
        hint = "; put FILE first" if Path(word).suffix in SUFFIXES else ""
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number{hint}") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{word} is too small; allowed are whole numbers >= {least}")
    return value


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number") from None


COMMAND = Command("acceptance", OWN["acceptance"][1], add_arguments, run)
