"""The page of kept verdicts, docs/audits/verdicts.md, from its file."""

from __future__ import annotations

from typing import Any

ORDER = ("biased", "failed", "unsafe", "undecided", "lossy-as-declared", "lossless")
MEANING = {
    "biased": "The law of the text is not the target's.",
    "failed": "Now and then the code gives no token.",
    "unsafe": "The law is the target's within the tolerance, and a token that the target cannot emit is possible.",
    "undecided": "The law cannot be followed exactly; samples found nothing, and exclude the bias that is named.",
    "lossy-as-declared": "A deliberate lossy mode, whose law is exactly the one that it documents.",
    "lossless": "The law of the text is the target's, up to rounding.",
}


def page(document: dict[str, Any]) -> str:
    """The page as markdown: one table, then every verdict with the command that repeats it."""
    rows = sorted(document["adapters"].items(), key=lambda item: (ORDER.index(item[1]["verdict"]["status"]), item[0]))
    used = ", ".join(f"{name} {version}" for name, version in document["with"].items())
    lines = [
        "# Verdicts on published implementations",
        "",
        f"Made by `{document['made_by']}` from `verdicts.json`, with {used}.",
        "[The report](index.md) says how to read it.",
        "",
        "| implementation | version | family | kind | verdict | total variation | runs | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_line(name, row) for name, row in rows),
    ]
    for status in ORDER:
        chosen = [(name, row) for name, row in rows if row["verdict"]["status"] == status]
        if chosen:
            lines += ["", f"## {status.capitalize().replace('-', ' ')}", "", MEANING[status]]
        for name, row in chosen:
            lines += ["", *_section(name, row)]
    return "\n".join(lines) + "\n"


def _line(name: str, row: dict[str, Any]) -> str:
    verdict = row["verdict"]
    exact = verdict["evidence"] == "exact"
    variation = f"{verdict['total_variation']:.2g}" if exact else f"{verdict['tolerance']:.2g} or more excluded"
    runs = f"{verdict['runs']:,}" if exact else f"{verdict['runs']:,} samples"
    cells = (
        f"`{name}`", f"{row['package']} {row['version']}", row["family"], row["kind"], verdict["status"], variation,
        runs, f"{row['seconds']:.0f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _section(name: str, row: dict[str, Any]) -> list[str]:
    note = f" {row['note'][0].upper()}{row['note'][1:]}." if row["note"] else ""
    lossy = f" Declared: {row['declared']}." if row["declared"] else ""
    return [
        f"### {name}",
        "",
        f"{row['package']} {row['version']}, `{row['place']}`; random numbers: {row['randomness']}; audited "
        f"{row['audited']}.{note}{lossy}",
        "",
        "```text",
        f"$ specmath audit --adapter {name}",
        *row["text"].rstrip().split("\n"),
        "```",
    ]
