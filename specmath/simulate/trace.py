"""The records of simulated rounds: those of the decoder (``specmath/schemas/round.schema.json``), field by field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

SCHEMA_VERSION = 2
"""Of ``specmath/schemas/round.schema.json``."""

OWN, STOP, DRAFT = 0, 1, 2
"""Token ids: one that only the target drew, the one that ends a text, a drafted one (siblings: 2, 3, ..)."""

StopReason = Literal["stop", "length"]


class Drafted(NamedTuple):
    """A drafted token.

    Attributes
    ----------
    parent : place of the token above it, -1 for the text.
    draft, target : its probability under the draft's and under the target's law.
    token : its id.
    """

    parent: int
    draft: float
    target: float
    token: int = DRAFT


@dataclass(frozen=True, kw_only=True)
class Round:
    """One simulated round of one text, as a decoder would have recorded it; fields as in the schema.

    Token ids are names only: `OWN`, `STOP`, `DRAFT`. The laws are the simplest that fit the acceptances: target
    probability = acceptance x draft probability, and the draft probability is one where the process knows none.
    """

    request: int
    round: int
    position: int
    drafted: tuple[int, ...]
    parents: tuple[int, ...]
    draft_logprobs: tuple[float, ...]
    target_logprobs: tuple[float, ...]
    accepted: int
    emitted: tuple[int, ...]
    logprobs: tuple[float, ...]
    stop_reason: StopReason | None
    target_calls: int
    draft_calls: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The record of the schema; a log-probability of -inf becomes null."""
        record: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
        for name, value in vars(self).items():
            if isinstance(value, tuple):
                value = [None if item == -math.inf else item for item in value]
            record[name] = value
        return record


def log(probability: float) -> float:
    """Natural log; -inf for zero."""
    return math.log(probability) if probability > 0 else -math.inf


def named(drafts: Sequence[Drafted], path: Sequence[int], own: bool, count: int, stops: bool) -> dict[str, Any]:
    """What the text is given: the ``count`` first of the tokens of ``path`` and the target's own one, if there is one.

    The own token's probability is what the drafts beside it leave over, one where nothing was drafted beside it.
    ``stops``: the last of them is the stop token.
    """
    tokens = [one.token for one in drafts]
    if stops and count <= len(path):
        tokens[path[count - 1]] = STOP
    emitted = [tokens[place] for place in path]
    values = [drafts[place].target for place in path]
    if own:
        last = path[-1] if path else -1
        emitted.append(STOP if stops and count == len(path) + 1 else OWN)
        left = 1 - sum(one.target for one in drafts if one.parent == last)
        values.append(max(left, math.ulp(0.0)))  # rounding: what was emitted is possible
    return {
        "drafted": tuple(tokens),
        "parents": tuple(one.parent for one in drafts),
        "draft_logprobs": tuple(log(one.draft) for one in drafts),
        "target_logprobs": tuple(log(one.target) for one in drafts),
        "accepted": min(len(path), count),
        "emitted": tuple(emitted[:count]),
        "logprobs": tuple(min(log(value), 0.0) for value in values[:count]),
    }
