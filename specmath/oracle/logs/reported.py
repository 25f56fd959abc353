"""Metrics that somebody reported, held against the rounds they were computed from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from specmath import metrics
from specmath.oracle.logs.findings import Finding, LogReport
from specmath.oracle.logs.rounds import Logged, read

NAMES = (
    "rounds",
    "emitted_tokens",
    "drafted_tokens",
    "accepted_tokens",
    "target_calls",
    "draft_calls",
    "acceptance_rate",
    "block_efficiency",
    "seconds",
)


def check_metrics(
    reported: Mapping[str, float | None], rounds: Iterable[Mapping[str, Any] | Any], *, tolerance: float = 5e-4
) -> LogReport:
    """Compare reported numbers with the definitions of `specmath.metrics`, and guess what else was computed.

    Numbers agree within ``tolerance``, relative. Rounds without ``target_calls`` count one call each. A number that
    disagrees is compared with what people compute in its place: means of ratios instead of ratios of sums, tested
    drafts instead of drafted ones, the bonus token left out.

    Parameters
    ----------
    reported : name -> number, names as in `specmath.metrics.summary`.
    rounds : the trace, as in `check_rounds`.

    Raises ValueError for unknown names, and rounds without a field that is needed.

    >>> trace = [
    ...     {"drafted": [5, 7, 8], "accepted": 0, "emitted": [6]},
    ...     {"drafted": [5, 7], "accepted": 1, "emitted": [5, 8]},
    ...     {"drafted": [1, 2, 3, 4], "accepted": 2, "emitted": [1, 2, 9]},
    ...     {"drafted": [5], "accepted": 1, "emitted": [5]},
    ... ]
    >>> print(check_metrics({"acceptance_rate": 0.5, "block_efficiency": 7 / 4}, trace))
    4 rounds, 1 findings
      inconsistent: acceptance_rate is 0.5, from the rounds 0.4; matches: mean of accepted / drafted [metrics]
    """
    listed = list(rounds)
    log = [read(one, place) for place, one in enumerate(listed)]
    unknown = [name for name in reported if name not in NAMES]
    if unknown:
        raise ValueError(f"reported has {unknown[0]!r}; allowed are {', '.join(map(repr, NAMES))}")
    found = []
    for name, value in reported.items():
        want = _from_rounds(name, listed, log)
        if _same(value, want, tolerance):
            continue
        others = {label: other(log) for label, other in CONFUSED.get(name, {}).items()}
        same = [label for label, number in others.items() if number is not None and _same(value, number, tolerance)]
        message = f"{name} is {_text(value)}, from the rounds {_text(want)}"
        found.append(Finding("metrics", "inconsistent", message + (f"; matches: {', '.join(same)}" if same else "")))
    return LogReport(tuple(found), len(log))


def _from_rounds(name: str, listed: list[Any], log: list[Logged]) -> float | None:
    if name == "rounds":
        return len(log)
    if name in ("target_calls", "block_efficiency") and not all(_has(one, "target_calls") for one in listed):
        return len(log) if name == "target_calls" else metrics.emitted_tokens(listed) / len(log) if log else None
    return getattr(metrics, name)(listed)


def _same(value: float | None, other: float | None, tolerance: float) -> bool:
    if value is None or other is None:
        return value is other
    return math.isclose(value, other, rel_tol=tolerance, abs_tol=1e-12)


def _text(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6g}"


def _has(one: Any, name: str) -> bool:
    return name in one if isinstance(one, Mapping) else hasattr(one, name)


def _share(above: Iterable[float], below: Iterable[float]) -> float | None:
    total = sum(below)
    return sum(above) / total if total else None


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


CONFUSED: dict[str, dict[str, Callable[[list[Logged]], float | None]]] = {
    "acceptance_rate": {
        "mean of accepted / drafted": lambda log: _mean(
            [one.accepted / len(one.drafted) for one in log if one.drafted]
        ),
        "accepted / tested drafts": lambda log: _share(
            (one.accepted for one in log), (min(one.accepted + 1, len(one.drafted)) for one in log)
        ),
        "share of rounds with an accepted draft": lambda log: _mean([float(one.accepted > 0) for one in log]),
        "share of rounds with all drafts accepted": lambda log: _mean(
            [float(one.accepted == len(one.drafted)) for one in log]
        ),
        "emitted / drafted": lambda log: _share((len(one.emitted) for one in log), (len(one.drafted) for one in log)),
        "accepted / emitted": lambda log: _share((one.accepted for one in log), (len(one.emitted) for one in log)),
    },
    "block_efficiency": {
        "accepted per round, bonus left out": lambda log: _mean([float(one.accepted) for one in log]),
        "1 + accepted per round, also where the text ended": lambda log: _mean([1.0 + one.accepted for one in log]),
        "emitted per round that drafted": lambda log: _mean([float(len(one.emitted)) for one in log if one.drafted]),
    },
    "accepted_tokens": {"emitted tokens": lambda log: sum(len(one.emitted) for one in log)},
}
"""What is computed under these names by mistake: name -> (description, function of the rounds)."""
