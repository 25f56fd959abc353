"""The named checks: what must hold on every instance, each with the defect that it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from specmath.oracle.grid import FLOAT32_ZERO
from specmath.oracle.instance import EPS, KINDS
from specmath.oracle.joint import Joint
from specmath.oracle.verdict import CheckResult

MOST_ZEROS = 64
"""Impossible tokens with at most so many times the probability of a uniform 0.0 come from the ends of the grid."""
Finding = tuple[float, str]
"""A number and a message; the number is 0 where the check holds."""


@dataclass(frozen=True)
class Check:
    """A named check.

    Attributes
    ----------
    name : what it is called in verdicts.
    kinds : for which functions it is made.
    fails : status of a function that fails it.
    run : ``run(joint, tolerance) -> (value, message)``, value 0 where it holds.
    """

    name: str
    kinds: tuple[str, ...]
    fails: str
    run: Callable[[Joint, float], Finding]


def tolerance(found: Joint, dtype: str) -> float:
    """Allowed total variation: 8 eps for each token that a round may emit.

    Eps is that of ``dtype``, and of float32 at most where the uniforms were coarser than those of float32.
    """
    eps = EPS[dtype] if found.coarsest <= FLOAT32_ZERO else min(EPS[dtype], EPS["float32"])
    return 8 * eps * sum(row.length for row in found.instance.rows)


def _law(found: Joint, allowed: float) -> Finding:
    if found.total_variation <= allowed or not found.cells:
        return 0.0, ""
    text, expected, actual = found.cells[0]
    where = " | ".join(" ".join(map(str, row)) for row in text)
    message = f"total variation {found.total_variation:.3g}; text {where}: expected {expected:.6g}, found {actual:.6g}"
    return found.total_variation, message


def _raised(name: str) -> Callable[[Joint, float], Finding]:
    def run(found: Joint, allowed: float) -> Finding:
        mine = {outcome: p for outcome, p in found.raised.items() if outcome.check == name}
        if not mine:
            return 0.0, ""
        likely = max(mine, key=mine.__getitem__)
        return sum(mine.values()), f"{likely.message}, probability {sum(mine.values()):.3g}"

    return run


def _support(found: Joint, allowed: float) -> Finding:
    if not found.outside:
        return 0.0, ""
    rows = next(iter(found.outside))
    return sum(found.outside.values()), f"emitted {rows}, which is outside of the vocabulary"


def _zero(grid: bool) -> Callable[[Joint, float], Finding]:
    """Impossible tokens: of the size of grid points (``grid``), or of any other."""

    def run(found: Joint, allowed: float) -> Finding:
        total = sum(found.impossible.values())
        if not total or (total <= MOST_ZEROS * found.coarsest) != grid:
            return 0.0, ""
        rows = max(found.impossible, key=found.impossible.__getitem__)
        return total, f"emitted {rows}, which the target cannot, with probability {total:.3g} in all"

    return run


def _mutated(found: Joint, allowed: float) -> Finding:
    return (1.0, f"changed its inputs: {', '.join(found.mutated)}") if found.mutated else (0.0, "")


def _stream(found: Joint, allowed: float) -> Finding:
    said = []
    if found.seeded:
        said.append(f"the function seeds a generator itself ({', '.join(found.seeded)})")
    if found.reseeded:
        said.append(f"the same random numbers were drawn twice ({', '.join(found.reseeded)})")
    return (1.0 if said else 0.0), "; ".join(said)


def _mates(found: Joint, allowed: float) -> Finding:
    if found.mates <= allowed:
        return 0.0, ""
    return found.mates, f"the rows are not independent, by a total variation of {found.mates:.3g}"


CHECKS = (
    Check("returns", KINDS, "failed", _raised("returns")),
    Check("shape", KINDS, "failed", _raised("shape")),
    Check("count_range", KINDS, "failed", _raised("count_range")),
    Check("padding", KINDS, "failed", _raised("padding")),
    Check("support", KINDS, "biased", _support),
    Check("exact_law", KINDS, "biased", _law),
    Check("zero_probability", KINDS, "unsafe", _zero(False)),
    Check("unsafe_zero", KINDS, "unsafe", _zero(True)),
    Check("batch_mates", ("batch",), "biased", _mates),
    Check("inputs_not_mutated", KINDS, "unsafe", _mutated),
    Check("draft_stream", KINDS, "unsafe", _stream),
)
"""In the order in which they decide the status."""


def checks(kind: str) -> tuple[str, ...]:
    """Names of the checks for a kind of function.

    >>> checks("chain")[:6]
    ('returns', 'shape', 'count_range', 'padding', 'support', 'exact_law')
    """
    return (*(check.name for check in CHECKS if kind in check.kinds), "same_seed")


def run(found: Joint, dtype: str) -> dict[str, CheckResult]:
    """All checks of the instance's kind on what it showed."""
    allowed = tolerance(found, dtype)
    results = {}
    for check in CHECKS:
        if found.instance.kind in check.kinds:
            value, message = check.run(found, allowed)
            name = found.instance.name if value else ""
            results[check.name] = CheckResult(check.name, not value, message, name, value)
    return results


def status(results: dict[str, CheckResult], allowed: float) -> str:
    """The status that the failed checks give; failures rarer than ``allowed`` make a function unsafe only."""
    worst = "lossless"
    for check in CHECKS:
        found = results.get(check.name)
        if found is None or found.passed:
            continue
        if check.fails != "unsafe" and found.value > allowed:
            return check.fails
        worst = "unsafe"
    return worst


def statement(name: str) -> str:
    """One line on what a check asserts, for help and documentation."""
    return STATEMENTS[name]


STATEMENTS = {
    "returns": "no run raises",
    "shape": "every run returns tokens in a form that is allowed",
    "count_range": "a round emits 1 to K+1 tokens",
    "padding": "nothing but -1 follows the first -1",
    "support": "every emitted number is a token of the vocabulary",
    "exact_law": "the joint law of drafts, verification and continuation is the target's",
    "zero_probability": "a token of target probability zero is never emitted",
    "unsafe_zero": "nor where a uniform is exactly 0.0, or rounds to 1.0",
    "batch_mates": "the law of a row does not depend on the other rows",
    "inputs_not_mutated": "target, draft, tokens and parents are left as they were",
    "draft_stream": "generators are left where they are: not seeded, and no number or key used twice",
    "same_seed": "the same seed gives the same tokens",
}
