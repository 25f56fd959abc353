"""The exact audit where randomness can be followed, and samples where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specmath.oracle.audit import audit
from specmath.oracle.generate.audit import audit_generate
from specmath.oracle.kinds import takes_seed
from specmath.oracle.sampled.audit import SAMPLES, TOLERANCE, audit_sampled
from specmath.oracle.sampled.generate import audit_generate_sampled
from specmath.oracle.verdict import Verdict

EXACT_ONLY = ("budget", "minimise")
"""Options that samples have no use for."""
GENERATE_ONLY = ("arrays", "declared", "together")
"""Options of `audit_generate` that samples have no use for."""


def audit_or_sample(
    function: Callable[..., Any],
    *,
    samples: int = SAMPLES,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    **options: Any,
) -> Verdict:
    """`audit`, and `audit_sampled` where that is undecided; with ``kind="generate"`` the same of whole calls.

    A function that takes a seed is sampled at once. ``options`` are those of `audit`, or of `audit_generate` with its
    ``target``; the sampled audit is given what it knows of them.

    Raises ValueError as these do.

    >>> import os
    >>> def verify(target, draft, tokens):
    ...     return int(tokens[0]) if os.urandom(1)[0] < 256 * target[tokens[0]] else int(target.argmax())
    >>> verdict = audit_or_sample(verify, kind="node", n=1)
    >>> verdict.status, verdict.evidence
    ('biased', 'sequential')
    """
    more: dict[str, Any] = {"samples": samples, "tolerance": tolerance, "seed": seed}
    kept = {name: value for name, value in options.items() if name not in EXACT_ONLY}
    if options.get("kind") != "generate":
        verdict = None if takes_seed(function) else audit(function, **options)
        return verdict if verdict and verdict.status != "undecided" else audit_sampled(function, **more, **kept)
    given = {name: value for name, value in options.items() if name != "kind"}
    if "target" not in given:
        raise ValueError('target is missing; needed with kind="generate" is target(text) -> law (V,)')
    verdict = None if takes_seed(function) else audit_generate(function, **given)
    if verdict is not None and verdict.status != "undecided":
        return verdict
    if given.get("declared") is not None:
        raise ValueError("declared is given, and samples of whole calls are tested against the target only")
    kept = {name: value for name, value in kept.items() if name != "kind" and name not in GENERATE_ONLY}
    if kept.get("dtype") is None:
        kept.pop("dtype", None)
    return audit_generate_sampled(function, **more, **kept)
