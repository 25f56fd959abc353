"""`specmath check-log FILE`: bugs that an engine's log, its counts or its output prove."""

from __future__ import annotations

import argparse
import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specmath import draft_laws
from specmath.cli.command import Command, UsageError
from specmath.cli.discovery import OWN
from specmath.oracle.logs.excess import FALSE_ALARM
from specmath.oracle.logs.findings import Finding, LogReport

SCHEMA_VERSION = 1
MOST = 20
"""Findings that are printed as text."""


@dataclass(frozen=True)
class Checked:
    """A report and where its findings stand.

    ``kind`` is "rounds", "counts" or "replay"; ``lines`` has one entry a finding, None where it has no line; ``unit``
    is what was counted.
    """

    kind: str
    report: LogReport
    lines: tuple[int | None, ...]
    unit: str
    note: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "FILE is one of\n"
        "  rounds   JSON lines: rounds with drafted, accepted, emitted, or texts with rounds (specmath decode --json)\n"
        "  counts   a JSON object with accepted [per position] and tested; also rounds, emitted, bound\n"
        "  replay   an .npz with tokens (T,) and the logits (T, V) of a plain pass over them; for the spread\n"
        "           further passes logits_1, ...; or tokens and laws (T, V), for sampled text\n\n"
        "exit codes: 0 nothing found (no proof of losslessness), 1 a finding, 2 wrong call or unreadable file"
    )
    parser.add_argument("file", metavar="FILE", help="the log")
    group = parser.add_argument_group("rounds")
    group.add_argument(
        "--laws", metavar="DUMP", help="target and draft (rounds, V) at each round's first position, .npz"
    )
    group.add_argument(
        "--drafts", choices=draft_laws.names(), default="iid", help="how drafts were drawn (default: iid)"
    )
    group.add_argument(
        "--rule",
        choices=("token_wise", "sampler_match"),
        help="also check the accept tests from logged log-probabilities",
    )
    group.add_argument("--stop", type=int, nargs="+", default=[], metavar="TOKEN", help="stop tokens")
    group.add_argument("--metrics", metavar="FILE", help="JSON object of reported metrics, held against the rounds")
    group = parser.add_argument_group("counts")
    group.add_argument("--bound", type=float, metavar="A", help="optimal acceptance of the first position")
    group = parser.add_argument_group("replay")
    group.add_argument("--spread", type=float, metavar="S", help="by how much rounding moves a logit")
    parser.add_argument(
        "--false-alarm", type=float, default=FALSE_ALARM, metavar="P", help="of each statistical check (default: 1e-9)"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    if not 0 < arguments.false_alarm < 1:
        raise UsageError(f"--false-alarm is {arguments.false_alarm}; allowed are numbers above 0 and below 1")
    path = Path(arguments.file)
    checked = _replay(path, arguments) if path.suffix == ".npz" else _text_log(path, arguments)
    if arguments.json:
        print(json.dumps(document(arguments, checked), indent=2, allow_nan=False))
    else:
        print(text(arguments.file, checked))
    return int(not checked.report.passed)


def _only(arguments: argparse.Namespace, kind: str, *allowed: str) -> None:
    """UsageError for options that the kind of log has no use for."""
    for name in ("laws", "rule", "stop", "metrics", "bound", "spread"):
        if name not in allowed and getattr(arguments, name) not in (None, []):
            raise UsageError(
                f"--{name} is given and {arguments.file} is a log of {kind}; allowed are {_words(allowed)}"
            )


def _words(allowed: tuple[str, ...]) -> str:
    return ", ".join(f"--{name}" for name in allowed) or "--false-alarm and --json alone"


def _text_log(path: Path, arguments: argparse.Namespace) -> Checked:
    from specmath.oracle.logs.checks import check_counts
    from specmath.oracle.logs.files import CountLog, read_log

    log = read_log(path)
    if not isinstance(log, CountLog):
        return _rounds(path, log, arguments)
    _only(arguments, "counts", "bound")
    if arguments.bound is not None and log.bound is not None:
        raise UsageError(f"--bound is given, and {path} has a bound; allowed is one of them")
    bound = log.bound if arguments.bound is None else arguments.bound
    if bound is not None and not 0 <= bound <= 1:
        raise UsageError(f"--bound is {bound}; allowed are numbers from 0 to 1")
    report = check_counts(
        log.accepted, log.tested, rounds=log.rounds, emitted=log.emitted, bound=bound, false_alarm=arguments.false_alarm
    )
    return Checked("counts", report, (None,) * len(report.findings), "rounds")


def _rounds(path: Path, log: Any, arguments: argparse.Namespace) -> Checked:
    from specmath.oracle.logs.checks import check_rounds
    from specmath.oracle.logs.reported import check_metrics

    _only(arguments, "rounds", "laws", "rule", "stop", "metrics")
    laws = None if arguments.laws is None else _laws(Path(arguments.laws), len(log.rounds), path)
    try:
        report = check_rounds(
            log.rounds, laws=laws, drafts=arguments.drafts, rule=arguments.rule, stop=arguments.stop,
            false_alarm=arguments.false_alarm,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"{arguments.laws if laws is not None else path}: {error}") from None
    findings = list(report.findings)
    lines: list[int | None] = [None if one.place is None else log.places[one.place][0] for one in findings]
    for line, first, stop, told in log.metrics:
        more = check_metrics(told, log.rounds[first:stop]).findings
        findings += more
        lines += [line] * len(more)
    if arguments.metrics is not None:
        more = check_metrics(_metrics(Path(arguments.metrics)), log.rounds).findings
        findings += more
        lines += [None] * len(more)
    report = LogReport(tuple(findings), report.rounds, report.excess, report.statistics)
    return Checked("rounds", report, tuple(lines), "rounds")


def _laws(path: Path, rounds: int, log: Path) -> Any:
    from specmath.cli.dump import open_dump
    from specmath.cli.laws import pair

    with open_dump(path) as arrays:
        dump = pair(path, arrays, None)
        if dump.contexts != rounds:
            raise ValueError(
                f"{path}: laws of {dump.contexts} contexts, and {log} has {rounds} rounds; allowed is one each"
            )
        laws = []
        for _, _, (target, draft) in dump.chunks([(0, rounds)]):
            checked_target, checked_draft, _ = dump.source.laws(0, target, draft)
            laws += list(zip(checked_target, checked_draft, strict=True))
    return laws


def _metrics(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from None
    values = found.values() if isinstance(found, dict) else [found]
    if not isinstance(found, dict) or any(
        isinstance(one, bool) or not isinstance(one, int | float | None) for one in values
    ):
        raise ValueError(f"{path}:1:1: allowed is an object of names and numbers (or null)")
    return found


def _replay(path: Path, arguments: argparse.Namespace) -> Checked:
    import numpy as np

    from specmath.oracle.logs.replay import measured_spread, outside_support, replay_greedy

    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        what = "pickles are not read" if "pickle" in str(error) else str(error)
        raise ValueError(f"{path}: no .npz file of plain arrays: {what}") from None
    if "tokens" not in arrays or ("logits" in arrays) == ("laws" in arrays):
        held = ", ".join(sorted(arrays)) or "nothing"
        raise ValueError(f"{path}: holds {held}; needed are tokens, and logits or laws")
    tokens = arrays["tokens"]
    try:
        if "laws" in arrays:
            _only(arguments, "sampled text")
            places = outside_support(tokens, arrays["laws"])
            found = tuple(
                Finding("zero_probability", "impossible", f"token {t} is {tokens[t]}, which its law never gives", t)
                for t in places
            )
            return Checked("replay", LogReport(found, len(tokens)), (None,) * len(found), "tokens")
        _only(arguments, "greedy text", "spread")
        if arguments.spread is not None and not arguments.spread >= 0:
            raise UsageError(f"--spread is {arguments.spread}; allowed are numbers >= 0")
        passes = [arrays[name] for name in sorted(arrays) if name.startswith("logits_")]
        if arguments.spread is None and not passes:
            raise UsageError(f"--spread is missing, and {path} has no further passes logits_1, ... to measure it")
        spread = 2 * measured_spread(arrays["logits"], *passes) if arguments.spread is None else arguments.spread
        replayed = replay_greedy(tokens, arrays["logits"], spread=spread)
    except UsageError:
        raise
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    found = tuple(
        Finding(
            "greedy",
            "impossible",
            f"token {t} is {replayed.gaps[t]:.4g} below the largest logit, spread {spread:.4g}",
            t,
        )
        for t in replayed.bugs
    )
    return Checked("replay", LogReport(found, len(tokens)), (None,) * len(found), "tokens", str(replayed))


def text(file: str, checked: Checked) -> str:
    """The findings for people, with the lines where they stand."""
    report = checked.report
    count = len(report.findings)
    said = (
        "nothing found, which is no proof of losslessness" if report.passed else f"{count} finding{'s' * (count > 1)}"
    )
    lines = [f"{file}: {report.rounds} {checked.unit}, {said}"]
    for finding, line in list(zip(report.findings, checked.lines, strict=True))[:MOST]:
        lines.append(f"  {'' if line is None else f'line {line}: '}{finding}")
    if count > MOST:
        lines.append(f"  ... and {count - MOST} more")
    if report.excess is not None and not report.excess.proof:  # a proof is a finding, and stands above
        lines.append(f"first position: {report.excess}")
    if checked.note:
        lines.append(checked.note)
    return "\n".join(lines)


def document(arguments: argparse.Namespace, checked: Checked) -> dict[str, Any]:
    """The findings as ``check-log.schema.json`` tells."""
    report, excess = checked.report, checked.report.excess
    return {
        "schema_version": SCHEMA_VERSION,
        "file": arguments.file,
        "log": checked.kind,
        checked.unit: report.rounds,
        "passed": report.passed,
        "false_alarm": arguments.false_alarm,
        "findings": [
            {"check": one.check, "kind": one.kind, "message": one.message, "place": one.place, "line": line}
            for one, line in zip(report.findings, checked.lines, strict=True)
        ],
        "optimum": None
        if excess is None
        else {
            "accepted": excess.accepted,
            "tested": excess.tested,
            "most": excess.most,
            "p_bound": excess.p_bound,
            "proof": excess.proof,
        },
        "statistics": [
            {"name": name, "found": one.word, "p_bound": math.exp(-max(_evidence(one), 0.0))}
            for name, one in report.statistics
        ],
    }


def _evidence(one: Any) -> float:
    """log e-value against; of two sides the larger, halved for both."""
    return one.log_e_value if hasattr(one, "log_e_value") else max(one.log_often, one.log_rarely) - math.log(2)


COMMAND = Command("check-log", OWN["check-log"][1], add_arguments, run)
