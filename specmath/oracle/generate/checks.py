"""The named checks of whole generate calls, each with the defect that it is for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from specmath.oracle.checks import MOST_ZEROS, Finding
from specmath.oracle.generate.law import Found, Law_
from specmath.oracle.grid import FLOAT32_ZERO
from specmath.oracle.instance import EPS
from specmath.oracle.prompted import Text
from specmath.oracle.verdict import CheckResult


@dataclass(frozen=True)
class Check:
    """As `specmath.oracle.checks.Check`, on what a generate call showed.

    ``made`` says for which calls it is made: where it can fail.
    """

    name: str
    fails: str
    statement: str
    run: Callable[[Found, float], Finding]
    made: Callable[[Found], bool] = lambda found: True


def tolerance(found: Found, dtype: str) -> float:
    """Allowed total variation: 8 eps of the dtype (of float32 at most, where uniforms are coarser) for every token."""
    eps = EPS[dtype] if found.coarsest <= FLOAT32_ZERO else min(EPS[dtype], EPS["float32"])
    return 8 * eps * found.instance.length * len(found.instance.prompts)


def _raised(name: str) -> Callable[[Found, float], Finding]:
    def run(found: Found, allowed: float) -> Finding:
        mine = {outcome: p for outcome, p in found.raised.items() if outcome.check == name}
        if not mine:
            return 0.0, ""
        likely = max(mine, key=mine.__getitem__)
        return math.fsum(mine.values()), f"{likely.message}, probability {math.fsum(mine.values()):.3g}"

    return run


def _texts(which: Callable[[Found], Law_], says: str) -> Callable[[Found, float], Finding]:
    def run(found: Found, allowed: float) -> Finding:
        law = which(found)
        if not law:
            return 0.0, ""
        likely = max(law, key=law.__getitem__)
        total = math.fsum(law.values())
        return total, f"returned {words(likely)}, {says}, with probability {total:.3g} in all"

    return run


def _count(found: Found, allowed: float) -> Finding:
    value, message = _texts(lambda f: f.wrong_length, f"not {found.instance.length} new tokens")(found, allowed)
    prompts = found.instance.prompts
    pairs = [(row, prompt) for rows in found.texts for row, prompt in zip(rows, prompts, strict=True)]
    if value and all(row[: len(prompt)] == prompt for row, prompt in pairs):
        message += "; every text begins with the prompt, and only new tokens are expected"
    return value, message


def _law(found: Found, allowed: float) -> Finding:
    if found.total_variation <= allowed or not found.cells:
        return 0.0, ""
    rows, expected, actual = found.cells[0]
    where = f"text {words(rows)}: expected {expected:.6g}, found {actual:.6g}"
    return found.total_variation, f"total variation {found.total_variation:.3g}; {where}"


def _mates(found: Found, allowed: float) -> Finding:
    value, message = _law(found, allowed)
    return value, message and f"rows together do not have the law that they have alone: {message}"


def _zero(grid: bool) -> Callable[[Found, float], Finding]:
    def run(found: Found, allowed: float) -> Finding:
        law = found.impossible
        total = math.fsum(law.values())
        if not total or (total <= MOST_ZEROS * found.coarsest) != grid:
            return 0.0, ""
        return _texts(lambda f: f.impossible, "which the target cannot write")(found, allowed)

    return run


def _mutated(found: Found, allowed: float) -> Finding:
    return (1.0, f"changed {', '.join(found.changed[:3])}") if found.changed else (0.0, "")


def _stream(found: Found, allowed: float) -> Finding:
    said = []
    if found.seeded:
        said.append(f"the function seeds a generator itself ({', '.join(found.seeded)})")
    if found.reseeded:
        said.append(f"the same random numbers were drawn twice ({', '.join(found.reseeded)})")
    return (1.0 if said else 0.0), "; ".join(said)


def _memory(found: Found, allowed: float) -> Finding:
    return (1.0, "; ".join(found.remembered)) if found.remembered else (0.0, "")


def _one(found: Found) -> bool:
    return len(found.instance.prompts) == 1


def _equal(found: Found) -> bool:
    return not _one(found) and len({len(prompt) for prompt in found.instance.prompts}) == 1


def _unequal(found: Found) -> bool:
    return not _one(found) and not _equal(found)


def _models(found: Found) -> bool:
    return found.models


CHECKS = (
    Check("returns", "failed", "no run raises", _raised("returns")),
    Check("shape", "failed", "every run returns tokens in a form that is allowed", _raised("shape")),
    Check(
        "count_range",
        "failed",
        "a text has as many new tokens as asked for, fewer only after a stop token",
        _count,
    ),
    Check(
        "nothing_after_stop",
        "biased",
        "nothing follows the stop token",
        _texts(lambda f: f.after_stop, "which goes on after the stop token"),
        lambda found: found.instance.stop is not None,
    ),
    Check(
        "support",
        "biased",
        "every number that is returned is a token of the vocabulary",
        _texts(lambda f: f.outside, "which is outside of the vocabulary"),
    ),
    Check("exact_law", "biased", "the law of the new tokens is that of the target's own text", _law, _one),
    Check("zero_probability", "unsafe", "a text of target probability zero is never returned", _zero(False)),
    Check("unsafe_zero", "unsafe", "nor where a uniform is exactly 0.0, or rounds to 1.0", _zero(True)),
    Check("batch_mates", "biased", "prompts of one length have, together, the laws they have alone", _mates, _equal),
    Check("batch_padding", "biased", "and so have prompts of different lengths", _mates, _unequal),
    Check("inputs_not_mutated", "unsafe", "parameters and buffers of models are left as they were", _mutated, _models),
    Check("draft_stream", "unsafe", "generators are not seeded, and no number is used twice", _stream),
    Check("no_memory", "unsafe", "a call leaves no settings behind that change the next one", _memory, _models),
)
"""In the order in which they decide the status."""

SAME = "same_seed"
STATEMENTS = {check.name: check.statement for check in CHECKS} | {SAME: "the same random numbers give the same tokens"}


def run(found: Found, dtype: str) -> dict[str, CheckResult]:
    """All checks that are made on the instance."""
    allowed, results = tolerance(found, dtype), {}
    for check in CHECKS:
        if check.made(found):
            value, message = check.run(found, allowed)
            name = found.instance.name if value else ""
            results[check.name] = CheckResult(check.name, not value, message, name, value)
    return results


def status(results: dict[str, CheckResult], allowed: float) -> str:
    """The status that the failed checks give; failures rarer than ``allowed`` make a function unsafe only."""
    worst = "lossless"
    for check in CHECKS:
        found = results.get(check.name)
        if found is not None and not found.passed:
            if check.fails != "unsafe" and found.value > allowed:
                return check.fails
            worst = "unsafe"
    return worst


def weight(results: dict[str, CheckResult]) -> int:
    """How grave the gravest failed check is: the earlier in `CHECKS`, the more; 0 where all hold."""
    failed = [place for place, check in enumerate(CHECKS) if check.name in results and not results[check.name].passed]
    return len(CHECKS) - failed[0] if failed else 0


def words(rows: tuple[Text, ...]) -> str:
    """Tokens as they are printed."""
    return " | ".join(" ".join(map(str, row)) for row in rows) or "nothing"
