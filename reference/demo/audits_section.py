"""The report's section about the oracle: verdicts, smallest instances, and what a log alone shows."""

from __future__ import annotations

from html import escape

from reference.demo.audits import Audited, Audits, LogChecked
from reference.demo.page import section, table, verdict


def audits_section(audits: Audits) -> str:
    """HTML of the section."""
    planted = [one for one in audits.audited if one.planted and one.verdict is not None]
    return section(
        "oracle",
        "Somebody else’s verifier, judged by its exact law",
        "<p>These functions were written without this package in mind and run as they are. Every random number they "
        "draw is replaced by one that is not known yet; each time the code asks something of it, both answers are "
        "followed, with their probabilities. The result is the exact law of the text, rounding and the generator’s "
        "grid included.</p>",
        table(
            ["verifier", "what it is", "verdict", "total variation", "runs", "seconds", "cause", ""],
            [_row(one) for one in audits.audited],
            range(3, 6),
        ),
        "<p>For each mistake the smallest instance on which it shows: the laws of both models, and the law of the text "
        "as it should be and as it is.</p>",
        *(f"<details><summary>{escape(one.name)}</summary><pre>{escape(str(one.verdict))}</pre></details>"
          for one in planted),
        "<p>An engine that cannot be run can still be held against its log. No lossless rule emits a drafted token "
        "more often than the optimum.</p>",
        table(
            ["log", "first draft accepted", "optimum", "finding", ""],
            [_log(one) for one in audits.logs],
            (1, 2),
        ),
        '<p class="note">A verdict “lossless” means a total variation within the rounding of the function’s own dtype '
        "on all standard instances, and every hard rule kept. “Unsafe” is a law that is right up to rounding and a "
        "token that must never appear, or another broken rule. <code>specmath audit file.py:function</code> does this "
        "for any function.</p>",
    )  # fmt: skip


def _row(one: Audited) -> list[str]:
    found = one.verdict
    if found is None:
        return [f"<code>{escape(one.name)}</code>", f"left out: {escape(one.missing)}", *[""] * 6]
    return [
        f"<code>{escape(one.name)}</code>",
        escape(one.about),
        f"<b>{found.status}</b>",
        f"{found.total_variation:.3g}",
        str(found.runs),
        f"{one.seconds:.1f}",
        escape(found.cause),
        _word(one),
    ]


def _word(one: Audited) -> str:
    if one.passed is None:
        return '<span class="muted">no promise</span>'
    return verdict(one.passed, "seen" if one.planted else "as due", "MISSED" if one.planted else "NOT AS DUE")


def _log(one: LogChecked) -> list[str]:
    return [
        escape(one.name),
        f"{one.accepted} / {one.rounds}",
        f"{one.bound:.3f}",
        escape(one.finding) or "none",
        verdict(one.passed, "seen" if one.due else "as due", "MISSED" if one.due else "FALSE ALARM"),
    ]
