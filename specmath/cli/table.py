"""What `specmath acceptance` prints: a table for people, or a document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from specmath.cli.laws import Sampler
from specmath.comparison import LEVEL, OPTIMUM, Plan, Row, Skipped

SCHEMA_VERSION = 2
ROUNDING = 1e-12  # corrections below this are the rounding of a float64 sum, and no news


@dataclass(frozen=True)
class Table:
    """The rows and what they rest on.

    Attributes
    ----------
    file, contexts, vocabulary : the dump, as it was named, and its shape.
    sampler : how logits became laws, None when the dump holds laws.
    seed, replicates : of the Monte Carlo rows.
    correction : largest |sum - 1| of the laws before they were scaled, None for logits.
    todo, rows : what was planned, and the result.
    """

    file: str
    contexts: int
    vocabulary: int
    sampler: Sampler | None
    seed: int
    replicates: int
    correction: float | None
    todo: Plan
    rows: tuple[Row, ...]


def document(table: Table) -> dict[str, Any]:
    """The table as ``acceptance.schema.json`` tells."""
    return {
        "schema_version": SCHEMA_VERSION,
        "file": table.file,
        "contexts": table.contexts,
        "vocabulary": table.vocabulary,
        "interval": {"level": LEVEL, "method": "student-t over contexts"},
        "monte_carlo": {"seed": table.seed, "replicates": table.replicates},
        "logits": None if table.sampler is None else asdict(table.sampler),
        "correction": table.correction,
        "rows": [asdict(row) for row in table.rows],
        "skipped": [asdict(entry) for entry in table.todo.skipped],
    }


def text(table: Table) -> str:
    """The table in columns, and notes below it."""
    contexts = "1 context" if table.contexts == 1 else f"{table.contexts} contexts"
    head = f"{table.file}: {contexts}, {table.vocabulary} tokens"
    cells = [("drafts", "n", "rule", "acceptance", "95 % interval", "gap", "method")]
    for row in table.rows:
        between = "-" if row.low is None or row.high is None else f"{row.low:.4f} .. {row.high:.4f}"
        gap = "" if row.rule == OPTIMUM else f"{row.gap:.4f}".replace("-0.0000", "0.0000")
        cells.append((row.drafts, str(row.n), row.rule, f"{row.acceptance:.4f}", between, gap, row.method))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [head, ""]
    for i, line in enumerate(cells):
        if i > 1 and line[2] == OPTIMUM:
            lines.append("")
        drafts, n, rule, mean, between, gap, method = (cell.ljust(w) for cell, w in zip(line, widths, strict=True))
        numbers = [cell.strip().rjust(len(cell)) for cell in (n, mean, gap)]
        lines.append("  ".join([drafts, numbers[0], rule, numbers[1], between, numbers[2], method]).rstrip())
    return "\n".join([*lines, "", *_notes(table)])


def _notes(table: Table) -> list[str]:
    notes = ["gap: optimum minus acceptance"]
    if table.contexts > 1:
        notes.append("95 % interval: Student t over the contexts, taken as independent")
    estimated = [row.monte_carlo_error for row in table.rows if row.method == "monte-carlo"]
    if estimated:
        notes.append(
            f"monte-carlo: {table.replicates} replicates a context, seed {table.seed}; "
            f"standard error of a mean at most {max(estimated):.1g}"
        )
    if table.correction is not None and table.correction > ROUNDING:
        notes.append(f"laws were scaled to sum to one; the largest |sum - 1| was {table.correction:.1g}")
    return notes + without_row(table.todo.skipped)


def without_row(skipped: Sequence[Skipped]) -> list[str]:
    """A line for every rule and draft law without a row: for which n, and why.

    >>> without_row([Skipped("single", "iid", n, "rule 'single' allows n = 1") for n in (2, 4)])
    ["no row for single, iid, n = 2, 4: rule 'single' allows n = 1"]
    """
    missing: dict[tuple[str, str], list[Skipped]] = {}
    for entry in skipped:
        missing.setdefault((entry.rule, entry.drafts), []).append(entry)
    return [
        f"no row for {rule}, {drafts}, n = {', '.join(str(entry.n) for entry in entries)}: {entries[0].reason}"
        for (rule, drafts), entries in missing.items()
    ]
