"""The audit of a generate function that is named on the command line, beside its target's law."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from specmath.oracle.generate.audit import audit_generate
from specmath.oracle.load import load_beside
from specmath.oracle.sampled.fallback import audit_or_sample
from specmath.oracle.verdict import Verdict

BESIDE = ("target", "draft", "together")
"""Arguments of `audit_generate` that are names of functions in the same module."""


def audit_named(name: str, options: Mapping[str, Any], progress: Callable[[int, int], None] | None = None) -> Verdict:
    """Audit ``path/to/file.py:generate``; of ``options`` those in `BESIDE` are names in the same module.

    Raises ValueError for names that are not there, and as `audit_generate` does.
    """
    options = {key: value for key, value in options.items() if key != "kind" and value is not None}
    names = {key: options.pop(key) for key in BESIDE if key in options}
    generate, *others = load_beside(name, *names.values())
    beside = dict(zip(names, others, strict=True))
    if "samples" in options:
        return audit_or_sample(generate, kind="generate", **beside, **options, progress=progress)
    return audit_generate(generate, beside.pop("target"), **beside, **options, progress=progress)
