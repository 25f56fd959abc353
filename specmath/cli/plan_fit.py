"""What `specmath plan` knows of the acceptance: a number, counts, or a trace, each with the interval it allows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specmath.speed import survival

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """Acceptance, and where it comes from.

    Attributes
    ----------
    kind : "acceptance", "counts" or "trace".
    acceptance : of a tested draft, over all positions.
    conditional : (K,) acceptance by position of a trace; None: every position has ``acceptance``.
    bounds : acceptance at both ends of Wilson's interval, for counts.
    sums : (R, 2K) tested and accepted by position, for each request of a trace.
    source : what the report says of it.
    notes : what the reader should know.
    """

    kind: str
    acceptance: float
    conditional: Floats | None = None
    bounds: tuple[float, float] | None = None
    sums: Floats | None = None
    source: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def curve(self, longest: int) -> Floats:
        """P(the first k drafts are accepted), k = 1 .. ``longest``, and no further than a trace goes."""
        if self.conditional is None:
            return survival.iid(self.acceptance, longest)
        return survival.by_position(self.conditional[:longest].tolist())


def of_counts(accepted: int, tested: int) -> Known:
    """Accepted of tested drafts: their ratio, and Wilson's interval."""
    from specmath.metrics.interval import wilson

    found = wilson(accepted, tested)
    return Known(
        "counts", accepted / tested, bounds=(found.low, found.high), source={"accepted": accepted, "tested": tested}
    )


def of_trace(path: Path) -> Known:
    """The rounds of a file, as `specmath decode --json` prints them; ValueError names the file."""
    from specmath.metrics.position import position_counts
    from specmath.oracle.logs.files import CountLog, read_log

    log = read_log(path)
    if isinstance(log, CountLog):
        raise ValueError(f"{path}: counts; allowed with --trace are rounds, for counts there is --counts")
    requests: dict[Any, list[dict[str, Any]]] = {}
    for one in log.rounds:
        requests.setdefault(one.get("request"), []).append(one)
    try:
        counts = [position_counts(rounds) for rounds in requests.values()]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    size = max(len(one.tested) for one in counts)
    sums = np.zeros((len(counts), 2 * size))
    for row, one in zip(sums, counts, strict=True):
        row[: len(one.tested)] = one.tested
        row[size : size + len(one.accepted)] = one.accepted
    total = sums.sum(axis=0)
    tested, accepted = total[:size], total[size:]
    seen = int(np.count_nonzero(tested))  # deeper drafts were never compared with the target
    if not seen:
        raise ValueError(f"{path}: no draft of its {len(log.rounds)} rounds was tested; allowed are rounds with drafts")
    sums = np.concatenate([sums[:, :seen], sums[:, size : size + seen]], axis=1)
    notes = []
    if len(counts) == 1:
        notes.append("one request: no interval, it needs two or more")
    elif len(counts) < 20:
        notes.append(f"{len(counts)} requests: with fewer than twenty the interval is too short")
    return Known(
        "trace",
        float(accepted.sum() / tested.sum()),
        conditional=accepted[:seen] / tested[:seen],
        sums=sums if len(counts) > 1 else None,
        source={
            "file": str(path),
            "requests": len(counts),
            "rounds": len(log.rounds),
            "tested": [int(one) for one in tested[:seen]],
            "accepted": [int(one) for one in accepted[:seen]],
        },
        notes=tuple(notes),
    )
