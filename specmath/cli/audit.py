"""`specmath audit path/or.module:function`: whether a verification function is lossless."""

from __future__ import annotations

import argparse
import json

from specmath import draft_laws
from specmath.cli.adapters import list_adapters
from specmath.cli.command import Command, UsageError
from specmath.cli.discovery import OWN
from specmath.cli.generate_options import SIGNATURE, add_generate_arguments, generate_options
from specmath.oracle.adapters.registry import get
from specmath.oracle.child import audit_in_child
from specmath.oracle.instance import EPS, KINDS
from specmath.oracle.kinds import SIGNATURES
from specmath.oracle.run import DEFAULT_BUDGET
from specmath.oracle.sampled.audit import SAMPLES
from specmath.oracle.sources import ARRAYS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    every = {**SIGNATURES, "generate": SIGNATURE}
    signatures = "\n".join(f"  {kind}: {signature}" for kind, signature in every.items())
    parser.epilog = (
        f"signatures, with `generator`, `key` (jax) or `uniforms` as further arguments by name:\n{signatures}\n\n"
        "exit codes: 0 lossless, 1 biased or unsafe, 2 wrong call, 3 undecided, 4 the function failed"
    )
    parser.add_argument("function", nargs="?", metavar="FILE.py:FUNCTION", help="or package.module:function")
    parser.add_argument("--adapter", metavar="NAME", help="audit a published implementation instead of a function")
    parser.add_argument("--adapters", action="store_true", help="list the adapters, and which can be used here")
    parser.add_argument("--source", metavar="PATH", help="wheel, folder or clone for --adapter (default: installed)")
    parser.add_argument("--kind", choices=(*KINDS, "generate"), help="what it verifies (default: chain)")
    parser.add_argument(
        "--arrays", choices=ARRAYS, help="its library (default: torch where its module has it, else numpy)"
    )
    parser.add_argument("--dtype", choices=tuple(EPS), help="of the laws (default: float64 for numpy, else float32)")
    parser.add_argument("--drafts", choices=draft_laws.names(), help="how drafts are drawn (default: iid)")
    parser.add_argument(
        "--n", type=int, metavar="N", help="candidates at a node, or depth of a chain (default: several)"
    )
    parser.add_argument(
        "--budget", type=int, default=DEFAULT_BUDGET, metavar="RUNS", help="runs on one instance (default: %(default)s)"
    )
    parser.add_argument(
        "--sample",
        type=int,
        nargs="?",
        const=SAMPLES,
        metavar="N",
        help="where the randomness cannot be followed, test samples instead: at most N runs on one instance "
        f"(default: {SAMPLES})",
    )
    parser.add_argument(
        "--time-limit", type=float, default=600.0, metavar="S", help="seconds for the whole audit (default: 600)"
    )
    add_generate_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def run(arguments: argparse.Namespace) -> int:
    for name, least in (("n", 1), ("budget", 1), ("sample", 1), ("time_limit", 1e-3)):
        value = getattr(arguments, name)
        if value is not None and not value >= least:
            raise UsageError(f"--{name.replace('_', '-')} is {value}; allowed are numbers >= {least:g}")
    given = ("kind", "arrays", "dtype", "drafts", "n")
    options = {name: getattr(arguments, name) for name in given if getattr(arguments, name) is not None}
    chosen = [bool(arguments.function), bool(arguments.adapter), arguments.adapters]
    if sum(chosen) != 1:
        raise UsageError("allowed is one of FILE.py:FUNCTION, --adapter NAME and --adapters")
    if arguments.source is not None and arguments.function:
        raise UsageError("--source is for --adapter and --adapters; a function is named by its file")
    if arguments.adapters:
        return list_adapters(arguments.source, arguments.json)
    options["budget"] = arguments.budget
    options.update(generate_options(arguments))
    if arguments.sample is not None:
        if arguments.adapter:
            raise UsageError("--sample is for FILE.py:FUNCTION; adapters are audited by their exact law")
        options["samples"] = arguments.sample
    if arguments.adapter:
        if "kind" in options:
            raise UsageError(f"--kind is {arguments.kind!r}; with --adapter the adapter knows it")
        get(arguments.adapter)  # a name that is wrong is told before a process starts
        report = audit_in_child(arguments.adapter, options, arguments.time_limit, adapter=True, source=arguments.source)
    else:
        report = audit_in_child(arguments.function, options, arguments.time_limit)
    print(json.dumps(report.document, indent=2, allow_nan=False) if arguments.json else report.text)
    return report.exit_code


COMMAND = Command("audit", OWN["audit"][1], add_arguments, run)
