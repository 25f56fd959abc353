"""The result of an audit: what was found, on which instance, and how much it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any, Literal

from specmath.oracle.instance import Instance, standard
from specmath.oracle.prompted import Prompted
from specmath.oracle.sampled.rounds import Told

Status = Literal["lossless", "biased", "unsafe", "lossy-as-declared", "undecided", "failed"]
EXIT = {"lossless": 0, "lossy-as-declared": 0, "biased": 1, "unsafe": 1, "undecided": 3, "failed": 4}
"""Exit code of ``specmath audit`` by status; 2 is a wrong call of the command."""
SCHEMA_VERSION = 1
UNKNOWN = "unknown"
"""Arrays and dtype of an audit that did not come so far."""
MOST_ROWS = 20
"""Contexts and texts of an instance that are printed."""


@dataclass(frozen=True)
class CheckResult:
    """What one named check found.

    Attributes
    ----------
    name : of the check.
    passed : whether it holds on all instances that were looked at.
    message : what was found, empty if it passed.
    instance : name of the instance, empty if it passed.
    value : the number behind the message: a total variation or a probability, 0 if it passed.
    """

    name: str
    passed: bool
    message: str = ""
    instance: str = ""
    value: float = 0.0


@dataclass(frozen=True)
class Cell:
    """A text, and its probability as expected and as found."""

    text: tuple[tuple[int, ...], ...]
    expected: float
    actual: float


@dataclass(frozen=True)
class Verdict:
    """What `audit` found.

    Attributes
    ----------
    status : "lossless": total variation within ``tolerance`` on all instances and all checks passed; "biased": beyond;
        "unsafe": within, but a check failed; "lossy-as-declared": equal to the declared law; "undecided": something
        could not be followed; "failed": the function raises, or returns no tokens.
    total_variation : the largest over the instances, or that of ``instance`` for a function that is not lossless.
    tolerance : emitted tokens times 8 eps of the function's dtype.
    evidence : "exact" where every outcome was explored, "sequential" where runs were sampled, "none" where neither was
        possible. Samples never say "lossless": without a finding the status is "undecided", and the total variation is
        at most ``tolerance`` on every instance, but for probability ``sampled.missed``.
    checks : the named checks.
    instance : the smallest instance on which the finding shows, None if there is none.
    cells : texts with their expected and actual probabilities on it, most different first.
    cause : what the law on it matches, or why nothing could be said.
    function, kind, arrays, dtype, drafts : what was audited and how.
    calls : random calls that were intercepted.
    runs, instances : how often the function was run, on how many instances.
    sampled : sizes of the errors, for evidence "sequential".
    replay : runs the audit again on ``instance`` alone.
    """

    status: Status
    total_variation: float
    tolerance: float
    evidence: Literal["exact", "sequential", "none"]
    checks: tuple[CheckResult, ...]
    instance: Instance | Prompted | None
    cells: tuple[Cell, ...]
    cause: str
    function: str
    kind: str
    arrays: str
    dtype: str
    drafts: str
    calls: tuple[str, ...]
    runs: int
    instances: int
    sampled: Told | None = None
    replay: Callable[[], Verdict] | None = field(default=None, compare=False, repr=False)

    @property
    def exit_code(self) -> int:
        """0 lossless or lossy as declared, 1 biased or unsafe, 3 undecided, 4 failed."""
        return EXIT[self.status]

    def as_json(self) -> dict[str, Any]:
        """The verdict as ``audit.schema.json`` tells."""
        return {
            "schema_version": SCHEMA_VERSION,
            **{name: getattr(self, name) for name in ("function", "kind", "arrays", "dtype", "drafts", "status")},
            **{name: getattr(self, name) for name in ("total_variation", "tolerance", "evidence", "cause")},
            "calls": list(self.calls),
            "runs": self.runs,
            "instances": self.instances,
            "sampled": None if self.sampled is None else asdict(self.sampled),
            "checks": [
                {"name": c.name, "passed": c.passed, "message": c.message, "instance": c.instance, "value": c.value}
                for c in self.checks
            ],
            "instance": None if self.instance is None else _document(self.instance),
            "cells": [
                {"text": [list(row) for row in cell.text], "expected": cell.expected, "actual": cell.actual}
                for cell in self.cells
            ],
        }

    def __str__(self) -> str:
        arrays = " ".join(word for word in (self.arrays, self.dtype) if word != UNKNOWN)
        how = ", ".join(word for word in (self.kind, arrays, f"drafts {self.drafts}") if word)
        lines = [f"{self.status}: {self.function} ({how})"]
        if self.evidence == "exact":
            lines.append(
                f"total variation {self.total_variation:.3g}, allowed {self.tolerance:.3g}; exact, {self.runs} runs on "
                f"{self.instances} instances; drew from: {', '.join(self.calls) or 'nothing random'}"
            )
        if self.sampled is not None:
            told = self.sampled
            lines.append(
                f"{self.runs} samples on {self.instances} instances, false alarm {told.false_alarm:g}; a total "
                f"variation of {told.found_from:.2g} or more on one of them is found with probability {told.power:g} "
                f"within {told.samples} samples"
            )
        lines += [f"check {c.name}: {c.message} ({c.instance})" for c in self.checks if not c.passed]
        if self.cause:
            lines.append(f"cause: {self.cause}")
        if self.instance is not None:
            lines += ["", *_table(self.instance)]
        if self.cells:
            lines += ["", *_columns([("text", "expected", "found"), *map(_cell, self.cells[:MOST_ROWS])])]
        return "\n".join(lines)


def no_verdict(name: str, options: Mapping[str, Any], cause: str) -> Verdict:
    """The verdict "failed" where no audit came to an end; ``options`` are those of the audit."""
    return Verdict(
        status="failed",
        total_variation=0.0,
        tolerance=0.0,
        evidence="none",
        checks=(),
        instance=None,
        cells=(),
        cause=cause,
        function=name,
        kind=options.get("kind") or "chain",
        arrays=options.get("arrays") or UNKNOWN,
        dtype=options.get("dtype") or UNKNOWN,
        drafts=options.get("drafts") or "iid",
        calls=(),
        runs=0,
        instances=0,
    )


def where(done: int, options: Mapping[str, Any]) -> str:
    """Where an audit with these options is after ``done`` instances, for an audit that does not end."""
    if "samples" in options:
        return f"{done} instances were done"
    if options.get("kind") == "generate":  # counted in thousandths, by probability
        return f"{done / 1000:.3g} instances were done"
    known = {name: options[name] for name in ("drafts", "n") if options.get(name) is not None}
    todo = options.get("instances") or standard(options.get("kind") or "chain", **known)
    if done >= len(todo):
        return f"all {len(todo)} instances were done, the search for a smaller one was not"
    return f"{done} of {len(todo)} instances were done, the next is {todo[done].name!r}"


def _document(instance: Instance | Prompted) -> dict[str, Any]:
    if isinstance(instance, Prompted):
        return instance.as_json()
    return {
        "name": instance.name,
        "kind": instance.kind,
        "vocabulary": instance.vocabulary,
        "parents": list(instance.parents),
        "drafts": instance.drafts,
        "rows": [
            [
                {
                    "context": list(context),
                    "target": _strings(row.target[context]),
                    "draft": _strings(row.draft[context]),
                }
                for context in row.contexts()
            ]
            for row in instance.rows
        ],
    }


def _strings(row: tuple[Fraction, ...]) -> list[str]:
    return [str(probability) for probability in row]


def _table(instance: Instance | Prompted) -> list[str]:
    if isinstance(instance, Prompted):
        rows, left = instance.lines(MOST_ROWS), len(instance.laws) - MOST_ROWS
        more = [f"... and {left} more texts"] if left > 0 else []
        return [instance.title, *(_columns(rows) if rows else []), *more]
    size = f"n = {instance.n}" if instance.kind == "node" else f"parents {' '.join(map(str, instance.parents))}"
    lines = [f"instance: {instance.name}; {instance.vocabulary} tokens, {size}, drafts {instance.drafts}"]
    for number, row in enumerate(instance.rows):
        if instance.mate is not None:
            lines.append(f"row {number}")
        contexts = row.contexts()
        uses_draft = {context for context in contexts if instance.kind == "node" or len(context) < instance.depth}
        shown = [
            (
                _text(c) or "(start)",
                " ".join(_strings(row.target[c])),
                " ".join(_strings(row.draft[c])) if c in uses_draft else "",
            )
            for c in contexts[:MOST_ROWS]
        ]
        lines += _columns([("context", "target", "draft"), *shown])
        if len(contexts) > MOST_ROWS:
            lines.append(f"... and {len(contexts) - MOST_ROWS} more contexts")
    return lines


def _cell(cell: Cell) -> tuple[str, str, str]:
    return " | ".join(map(_text, cell.text)), f"{cell.expected:.6g}", f"{cell.actual:.6g}"


def _text(tokens: tuple[int, ...]) -> str:
    return " ".join(map(str, tokens))


def _columns(rows: list[tuple[str, str, str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
