"""`specmath plan`: the best draft length, stopping threshold and tree, and the speed-up they should bring."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specmath.cli.command import Command, UsageError
from specmath.cli.discovery import OWN

if TYPE_CHECKING:
    from specmath.cli.plan_fit import Known
    from specmath.cli.plan_make import Plan
    from specmath.metrics.interval import Interval
    from specmath.stopping import Costs

SCHEMA_VERSION = 1
ASSUMED = 0.05
"""Cost of a draft step where a trace comes without ``--cost``; the plan says that it is assumed."""
MOST_NODES = 128
LEAST_COST, MOST_COST = 1e-9, 1e9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: specmath plan --acceptance 0.8 --cost 0.05"
    group = parser.add_argument_group("acceptance", "One of these.")
    group.add_argument("--acceptance", type=_number, metavar="A", help="of a tested draft, from 0 to 1")
    group.add_argument(
        "--counts", nargs=2, type=int, metavar=("ACCEPTED", "TESTED"), help="accepted drafts, of those that were tested"
    )
    group.add_argument("--trace", metavar="FILE", help="rounds of a chain, as specmath decode --json prints them")
    group = parser.add_argument_group("costs", "In passes of the target over one token.")
    group.add_argument(
        "--cost", type=_number, metavar="C", help=f"a draft step (with --trace: {ASSUMED}, if not given)"
    )
    group.add_argument(
        "--slot", type=_number, default=0.0, metavar="S", help="each drafted token in the target's pass (default 0)"
    )
    group = parser.add_argument_group("plan")
    group.add_argument("--longest", type=int, metavar="L", help="longest draft to look at")
    group.add_argument(
        "--nodes", type=int, default=16, metavar="N", help="largest tree to look at (default 16), at most 16 deep"
    )
    group.add_argument("--replicates", type=int, default=2000, metavar="R", help="of the bootstrap (default 2000)")
    group.add_argument("--seed", type=int, default=0, metavar="S", help="of the bootstrap (default 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as plan.schema.json tells")


def run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    from specmath.cli.plan_fit import Known, of_counts, of_trace
    from specmath.cli.plan_make import make
    from specmath.stopping import Costs

    if arguments.trace is not None:
        known = of_trace(Path(arguments.trace))
    elif arguments.counts is not None:
        known = of_counts(*arguments.counts)
    else:
        known = Known("acceptance", abs(arguments.acceptance))  # -0 is 0
    costs = Costs(draft=ASSUMED if arguments.cost is None else arguments.cost, slot=arguments.slot)
    plan = make(
        known,
        costs,
        longest=arguments.longest,
        nodes=arguments.nodes,
        replicates=arguments.replicates,
        seed=arguments.seed,
    )
    found = document(known, costs, plan, assumed=arguments.cost is None)
    print(json.dumps(found, indent=2, allow_nan=False) if arguments.json else text(found))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    given = [name for name in ("acceptance", "counts", "trace") if getattr(arguments, name) is not None]
    if len(given) != 1:
        said = " and ".join(f"--{name}" for name in given) + " are given" if given else "no acceptance is given"
        raise UsageError(f"{said}; allowed is one of --acceptance, --counts and --trace")
    if arguments.acceptance is not None and not 0 <= arguments.acceptance <= 1:
        raise UsageError(f"--acceptance is {arguments.acceptance}; allowed are numbers from 0 to 1")
    if arguments.counts is not None:
        accepted, tested = arguments.counts
        if not (tested >= 1 and 0 <= accepted <= tested):
            raise UsageError(f"--counts is {accepted} {tested}; allowed are 0 <= ACCEPTED <= TESTED, TESTED >= 1")
    if arguments.cost is None and arguments.trace is None:
        raise UsageError("--cost is missing: a draft step over a pass of the target, such as 0.05")
    for name in ("cost", "slot"):
        value = getattr(arguments, name)
        if value is not None and value != 0 and not LEAST_COST <= value <= MOST_COST:
            raise UsageError(f"--{name} is {value}; allowed are 0 and numbers from {LEAST_COST:g} to {MOST_COST:g}")
    for name, least, most in (
        ("longest", 1, 10_000),
        ("nodes", 1, MOST_NODES),
        ("replicates", 100, 100_000),
        ("seed", 0, 2**63 - 1),
    ):
        value = getattr(arguments, name)
        if value is not None and not least <= value <= most:
            raise UsageError(f"--{name} is {value}; allowed are whole numbers from {least} to {most}")


def document(known: Known, costs: Costs, plan: Plan, *, assumed: bool) -> dict[str, Any]:
    """The plan as ``plan.schema.json`` tells."""
    tree, notes = plan.tree, list(plan.notes)
    if assumed:
        notes.insert(0, f"no --cost is given: {ASSUMED} of a target pass is assumed for a draft step")
    interval = plan.best.interval
    return {
        "schema_version": SCHEMA_VERSION,
        "source": {"kind": known.kind, **(known.source or {})},
        "acceptance": known.acceptance,
        "conditional": None if known.conditional is None else known.conditional.tolist(),
        "cost": float(costs.draft),
        "slot": float(costs.slot),
        "cost_assumed": assumed,
        "draft_length": plan.best.draft_length,
        "tokens": plan.best.tokens,
        "speedup": plan.best.speedup,
        "interval": _ends(interval),
        "interval_method": None if interval is None else interval.method,
        "level": None if interval is None else interval.level,
        "threshold": plan.threshold,
        "tree": None
        if tree is None
        else {
            "nodes": tree.nodes,
            "depth": tree.depth,
            "parents": list(tree.parents),
            "tokens": plan.choice.tokens,
            "speedup": plan.choice.speedup,
        },
        "longest": plan.longest,
        "table": [
            {
                "draft_length": row.draft_length,
                "tokens": row.tokens,
                "speedup": row.speedup,
                "interval": _ends(row.interval),
            }
            for row in plan.rows
        ],
        "notes": notes,
    }


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def text(found: dict[str, Any]) -> str:
    """The document for people."""
    given = f"acceptance {found['acceptance']:.4g} ({_source(found['source'])}), draft step {found['cost']:g}"
    lines = [given + (f", slot {found['slot']:g}" if found["slot"] else "")]
    if found["draft_length"]:
        words = f"draft {found['draft_length']} tokens: {found['tokens']:.2f} a round, speed-up {found['speedup']:.2f}"
        if found["interval"] is not None:
            low, high = found["interval"]
            words += f" ({low:.2f} to {high:.2f}, {found['level']:.0%} {found['interval_method']})"
        lines.append(words)
        lines.append(f"or, with a head that sees each acceptance: stop once P(rejected) >= {found['threshold']:.3f}")
    else:
        lines.append("draft nothing: a draft step costs as much as it brings, or more")
    tree = found["tree"]
    if tree is not None and tree["speedup"] > found["speedup"] * (1 + 1e-9):  # a chain is a tree, too
        lines.append(
            f"or a tree of {tree['nodes']} nodes, {tree['depth']} deep: {tree['tokens']:.2f} a round, speed-up "
            f"{tree['speedup']:.2f}, if second candidates are as good as first ones"
        )
    lines += ["", "draft length  tokens  speed-up"]
    for row in found["table"]:
        ends = "" if row["interval"] is None else f"  {row['interval'][0]:.3f} to {row['interval'][1]:.3f}"
        mark = "  <- best" if row["draft_length"] == found["draft_length"] else ""
        lines.append(f"{row['draft_length']:12d}  {row['tokens']:6.3f}  {row['speedup']:8.3f}{ends}{mark}")
    return "\n".join([*lines, *(f"note: {note}" for note in found["notes"])])


def _source(source: dict[str, Any]) -> str:
    if source["kind"] == "counts":
        return f"{source['accepted']} of {source['tested']}"
    if source["kind"] == "trace":
        return f"{source['requests']} requests, {source['rounds']} rounds"
    return "given"


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number") from None


COMMAND = Command("plan", OWN["plan"][1], add_arguments, run)
