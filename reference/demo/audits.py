"""What the oracle says of strangers' verifiers, and of an engine's log; every expectation is stated beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from reference.demo import strangers
from specmath import optimum, oracle
from specmath.oracle.logs.checks import check_counts

INSTANCES: int | None = None
"""Standard instances that each verifier meets, None for all of them; tests take fewer."""

DRAFT_LENGTH = 2
PUBLISHED: tuple[str, ...] = ("transformers.speculative_sampling",)
"""Adapters of published functions; they are shown where the package is installed."""

TARGET, DRAFT = (0.5, 0.3, 0.2), (0.2, 0.3, 0.5)
"""Laws of the log's first position."""
ROUNDS = 10_000


@dataclass(frozen=True)
class Subject:
    """A verifier, how its drafts are drawn, and what the audit has to find.

    ``status`` is the verdict that is due, "" where nothing is promised; ``cause`` is part of the cause that is due.
    """

    name: str
    about: str
    function: Callable[..., Any]
    drafts: str = "iid"
    status: str = "lossless"
    cause: str = ""


SUBJECTS = (
    Subject("right", "accepts with min(1, p/q), else draws from the residual", strangers.right),
    Subject(
        "redraws from the target", "planted: after a rejection the residual is forgotten",
        strangers.redraws_from_the_target, status="biased", cause="residual taken from the target",
    ),
    Subject(
        "bonus one row early", "planted: the token after full acceptance has the law of the place before",
        strangers.bonus_one_row_early, status="biased", cause="bonus from the row before",
    ),
    Subject(
        "right, on likeliest drafts", "planted: the first function, but its caller drafts the likeliest tokens",
        strangers.right, drafts="top_k", status="biased", cause="drafts that were not drawn from the draft law",
    ),
)  # fmt: skip
"""Planted ones are those of which another status than "lossless" is due."""


@dataclass(frozen=True)
class Audited:
    """One row: a subject, its verdict (None if it was left out, for the reason ``missing``) and the seconds it took."""

    name: str
    about: str
    status: str
    cause: str
    verdict: oracle.Verdict | None
    seconds: float
    missing: str = ""

    @property
    def planted(self) -> bool:
        return self.status not in ("", "lossless")

    @property
    def passed(self) -> bool | None:
        """Whether the verdict is the one that is due; None where nothing is promised."""
        if not self.status or self.verdict is None:
            return None
        return self.verdict.status == self.status and self.cause in self.verdict.cause


@dataclass(frozen=True)
class LogChecked:
    """Counts of a log against the optimum: rounds whose first draft was accepted, and whether a finding is due."""

    name: str
    accepted: int
    rounds: int
    bound: float
    finding: str
    due: bool

    @property
    def passed(self) -> bool:
        return bool(self.finding) == self.due


@dataclass(frozen=True)
class Audits:
    """Everything the section shows."""

    audited: tuple[Audited, ...]
    logs: tuple[LogChecked, ...]

    @property
    def failures(self) -> list[str]:
        """Verdicts that are not the ones due, one line each."""
        found = []
        for one in self.audited:
            if one.passed is False and one.verdict is not None:
                said = f"{one.verdict.status} ({one.verdict.cause or 'no cause'})"
                word = "defect not seen" if one.planted else "oracle"
                found.append(
                    f"{word}: verifier {one.name!r} is {said}, due is {one.status} ({one.cause or 'no cause'})"
                )
        for log in self.logs:
            if not log.passed:
                share = f"{log.accepted} of {log.rounds} accepted, at most {log.bound:.3f} on average"
                found.append(f"log {log.name!r}: {share}: {'no finding' if log.due else 'a finding'}")
        return found

    def as_json(self) -> dict[str, Any]:
        """The section of ``demo.schema.json``."""
        return {
            "audited": [
                {
                    "name": one.name,
                    "about": one.about,
                    "due": one.status or None,
                    "passed": one.passed,
                    "missing": one.missing or None,
                    "seconds": round(one.seconds, 3),
                    "verdict": None if one.verdict is None else one.verdict.as_json(),
                }
                for one in self.audited
            ],
            "logs": [
                {
                    "name": log.name,
                    "accepted": log.accepted,
                    "rounds": log.rounds,
                    "bound": log.bound,
                    "finding": log.finding or None,
                    "due": log.due,
                    "passed": log.passed,
                }
                for log in self.logs
            ],
        }


def check(
    watch: Callable[[Iterable[Any]], Iterable[Any]] = iter,
    subjects: tuple[Subject, ...] = SUBJECTS,
) -> Audits:
    """Audit the strangers' verifiers and the published ones, and look at two logs; ``watch`` shows progress."""
    steps: list[Callable[[], Audited]] = [
        *(partial(_audited, one) for one in subjects),
        *(partial(_published, name) for name in PUBLISHED),
    ]
    return Audits(tuple(step() for step in watch(steps)), tuple(_logs()))


def _audited(one: Subject) -> Audited:
    begun = time.perf_counter()
    instances = oracle.standard("chain", drafts=one.drafts, n=DRAFT_LENGTH)[:INSTANCES]
    verdict = oracle.audit(one.function, kind="chain", arrays="torch", drafts=one.drafts, instances=instances)
    return Audited(one.name, one.about, one.status, one.cause, verdict, time.perf_counter() - begun)


def _published(name: str) -> Audited:
    """Nothing is promised of other people's code, and it is not always there."""
    from specmath.oracle.adapters import registry

    begun = time.perf_counter()
    verdict, missing = None, ""
    try:
        instances = oracle.standard("chain", n=DRAFT_LENGTH)[:INSTANCES]
        verdict = registry.audit_adapter(name, instances=instances)
    except registry.Missing as reason:
        missing = str(reason)
    name = name if verdict is None else verdict.function
    return Audited(name, "as it is installed, unmodified", "", "", verdict, time.perf_counter() - begun, missing)


def _logs() -> Iterable[LogChecked]:
    """Counts that a lossless rule has on average, and counts that none can have."""
    best = float(optimum(TARGET, DRAFT, n=1).upper)
    for name, share, due in (("at the optimum", best, False), ("above the optimum", best + 0.05, True)):
        accepted = round(share * ROUNDS)
        findings = check_counts([accepted], ROUNDS, bound=best).findings
        said = "; ".join(finding.message for finding in findings)
        yield LogChecked(name, accepted, ROUNDS, best, said, due)
