"""`specmath audit path/or.module:function`: whether a verification function is lossless."""

from __future__ import annotations

import argparse
import json
from typing import Any

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

WORDS = """\
The function is run as it is, along every outcome of its random numbers, on instances: small pairs of a target and a
draft that specmath makes (for --kind generate the file brings its own). The answer is exact for these, and is no
theorem about other models.

examples:
  specmath audit verifier.py:verify                      one chain of drafted tokens
  specmath audit verifier.py:verify --kind node --n 1    one drafted token
  specmath audit engine.py:generate --kind generate      a whole decoder, beside target(text) in the same file
  specmath audit --adapters                              published implementations that are ready"""
VERDICTS = """\
verdicts and exit codes:
  0 lossless            what is emitted has the target's law, up to rounding, on all instances
  0 lossy-as-declared   an adapter has exactly the other law that its authors document
  1 biased              it has another law; the smallest instance that was found is printed
  1 unsafe              its law is right up to rounding, but now and then it raises, emits a token of target
                        probability zero, changes its inputs or sets a seed
  2                     the command was called wrongly
  3 undecided           nothing can be said, and why: see --budget, --n, --sample
  4 failed              the function raises, hangs, or returns no tokens"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    every = {**SIGNATURES, "generate": SIGNATURE}
    signatures = "\n".join(f"  {kind}: {signature}" for kind, signature in every.items())
    parser.description = f"{OWN['audit'][1]}\n\n{WORDS}"
    parser.epilog = (
        "what a function takes (V: tokens of the vocabulary, K: drafted tokens, N: nodes of a tree, B: rows);\n"
        "target and draft hold probabilities, no logits; generator, key (jax) or uniforms may follow by name:\n"
        f"{signatures}\n\n{VERDICTS}"
    )
    parser.add_argument("function", nargs="?", metavar="FILE.py:FUNCTION", help="or package.module:function")
    parser.add_argument(
        "--kind", choices=(*KINDS, "generate"), help="what the function takes, see below (default: chain)"
    )
    parser.add_argument(
        "--n", type=int, metavar="N", help="candidates at a node, or drafted tokens of a chain (default: several)"
    )
    parser.add_argument("--drafts", choices=draft_laws.names(), help="how drafts are drawn (default: iid)")
    parser.add_argument(
        "--arrays", choices=ARRAYS, help="its library (default: torch or jax where its module has it, else numpy)"
    )
    parser.add_argument(
        "--dtype", choices=tuple(EPS), help="of target and draft (default: float64 for numpy, else float32)"
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
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    add_generate_arguments(parser)
    group = parser.add_argument_group("published implementations")
    group.add_argument("--adapters", action="store_true", help="list them, and which can be used here")
    group.add_argument("--adapter", metavar="NAME", help="audit one of them instead of a function")
    group.add_argument("--source", metavar="PATH", help="its wheel, folder or clone (default: installed)")


def run(arguments: argparse.Namespace) -> int:
    for name, least in (("n", 1), ("budget", 1), ("sample", 1), ("time_limit", 1e-3)):
        value = getattr(arguments, name)
        if value is not None and not value >= least:
            raise UsageError(f"--{name.replace('_', '-')} is {value}; allowed are numbers >= {least:g}")
    given = ("kind", "arrays", "dtype", "drafts", "n")
    options = {name: getattr(arguments, name) for name in given if getattr(arguments, name) is not None}
    chosen = [bool(arguments.function), bool(arguments.adapter), arguments.adapters]
    if sum(chosen) != 1:
        found = "several things to audit" if any(chosen) else "nothing to audit"
        raise UsageError(f"{found}; allowed is one of FILE.py:FUNCTION, --adapter NAME and --adapters")
    if arguments.kind == "tree" and arguments.n is not None:
        raise UsageError("--n is not for --kind tree, whose trees are fixed ones")
    if arguments.source is not None and arguments.function:
        raise UsageError("--source is for --adapter and --adapters; a function is named by its file")
    if arguments.adapters:
        return list_adapters(arguments.source, arguments.json)
    options["budget"] = arguments.budget
    options.update(generate_options(arguments))
    if arguments.sample is not None:
        options["samples"] = arguments.sample
    if arguments.adapter:
        if "kind" in options:
            raise UsageError(f"--kind is {arguments.kind!r}; with --adapter the adapter knows it")
        get(arguments.adapter)  # a name that is wrong is told before a process starts
        report = audit_in_child(arguments.adapter, options, arguments.time_limit, adapter=True, source=arguments.source)
    else:
        report = audit_in_child(arguments.function, options, arguments.time_limit)
    print(json.dumps(report.document, indent=2, allow_nan=False) if arguments.json else report.text)
    if not arguments.json and arguments.function and _never_runs(report.document):
        print(f"\n{_called(arguments.kind)}")
    return report.exit_code


def _never_runs(document: dict[str, Any]) -> bool:
    """Whether every run raised, or returned what is no result of its kind: it may have been called for another kind."""
    broken = [one["value"] for one in document["checks"] if one["name"] in ("returns", "shape") and not one["passed"]]
    return document["status"] == "failed" and max(broken, default=0.0) == 1.0


def _called(kind: str | None) -> str:
    """How the function was called, for somebody who meant another kind."""
    signature = {**SIGNATURES, "generate": SIGNATURE}[kind or "chain"]
    default = "" if kind else " (the default)"
    return f"it was called for --kind {kind or 'chain'}{default}: {signature}"


COMMAND = Command("audit", OWN["audit"][1], add_arguments, run)
