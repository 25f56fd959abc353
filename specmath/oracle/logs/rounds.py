"""One round of a log, read from a mapping or an object, and what can be said about it alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specmath.oracle.logs.findings import Finding

CLOSE = 1e-3
"""Largest difference of two log-probabilities of one token that are said to come from one law."""


@dataclass(frozen=True)
class Logged:
    """A round as `round.schema.json` has it; what was not logged is None. ``place`` is its number in the log."""

    place: int
    drafted: tuple[int, ...]
    accepted: int
    emitted: tuple[int, ...]
    parents: tuple[int, ...]
    request: int
    position: int | None
    stop_reason: str | None
    ended_known: bool
    draft_logprobs: tuple[float, ...] | None
    target_logprobs: tuple[float, ...] | None
    logprobs: tuple[float, ...] | None

    @property
    def chain(self) -> bool:
        """Whether each drafted token follows the one before."""
        return self.parents == tuple(range(-1, len(self.drafted) - 1))

    @property
    def first(self) -> tuple[int, ...]:
        """The candidates for the first token."""
        return tuple(token for token, parent in zip(self.drafted, self.parents, strict=True) if parent < 0)

    def path(self) -> list[int] | None:
        """Indices of the accepted drafts, one after the other; None if the accepted tokens were not drafted."""
        nodes: list[list[int]] = [[]]  # all paths that spell the accepted tokens so far: equal siblings are possible
        for token in self.emitted[: self.accepted]:
            nodes = [
                [*path, i]
                for path in nodes
                for i, (drafted, parent) in enumerate(zip(self.drafted, self.parents, strict=True))
                if drafted == token and parent == (path[-1] if path else -1)
            ]
            if not nodes:
                return None
        return nodes[0]

    def alone(self, stop: frozenset[int]) -> Iterator[Finding]:
        """Findings that need no other round."""
        yield from self._counts()
        yield from self._zeros()
        for place, token in enumerate(self.emitted[:-1]):
            if token in stop:
                after = len(self.emitted) - 1 - place
                message = f"round {self.place} emitted {after} tokens after stop token {token}"
                yield Finding("after_stop", "impossible", message, self.place)
                break

    def _counts(self) -> Iterator[Finding]:
        if not 0 <= self.accepted <= len(self.drafted):
            message = f"round {self.place} accepted {self.accepted} of {len(self.drafted)} drafts"
            yield Finding("accepted", "impossible", message, self.place)
            return
        more = len(self.emitted) - self.accepted
        may_end = self.stop_reason is not None or not self.ended_known
        if not self.emitted or not (more == 1 or (more == 0 and may_end)):
            message = (
                f"round {self.place} emitted {len(self.emitted)} tokens with {self.accepted} accepted; allowed is "
                f"{self.accepted + 1}, or {self.accepted} where the text ends"
            )
            yield Finding("emitted", "impossible", message, self.place)
        if more >= 0 and self.path() is None:
            message = (
                f"round {self.place} counts {list(self.emitted[: self.accepted])} as accepted, which is no drafted path"
            )
            yield Finding("path", "impossible", message, self.place)

    def _zeros(self) -> Iterator[Finding]:
        path = self.path() if 0 <= self.accepted <= len(self.drafted) else None
        for node in path or []:
            if self.target_logprobs is not None and self.target_logprobs[node] == -math.inf:
                message = f"round {self.place} accepted token {self.drafted[node]}, which the target never emits"
                yield Finding("zero_probability", "impossible", message, self.place)
        for token, value in zip(self.emitted, self.logprobs or (), strict=False):
            if value == -math.inf:
                message = f"round {self.place} emitted token {token}, which the target never emits"
                yield Finding("zero_probability", "impossible", message, self.place)
        if self.chain and self.draft_logprobs is not None:
            for token, value in zip(self.drafted, self.draft_logprobs, strict=True):
                if value == -math.inf:
                    message = (
                        f"round {self.place} drafted token {token} of draft probability 0: the declared draft law "
                        "is not the one that was sampled from"
                    )
                    yield Finding("draft_law", "impossible", message, self.place)
        if path and self.logprobs is not None and self.target_logprobs is not None:
            for node, value in zip(path, self.logprobs, strict=False):
                logged = self.target_logprobs[node]
                if math.isfinite(logged) and not abs(value - logged) <= CLOSE:
                    message = (
                        f"round {self.place}: token {self.drafted[node]} has log-probability {logged:.6g} as a draft "
                        f"and {value:.6g} as emitted"
                    )
                    yield Finding("logprobs", "inconsistent", message, self.place)


def read(one: Mapping[str, Any] | Any, place: int) -> Logged:
    """A round of a log; ValueError names the round and the field that is missing or does not fit."""

    def has(name: str) -> bool:
        return name in one if isinstance(one, Mapping) else hasattr(one, name)

    def field(name: str) -> Any:
        if not has(name):
            return None
        return one[name] if isinstance(one, Mapping) else getattr(one, name)

    for name in ("drafted", "accepted", "emitted"):
        if field(name) is None:
            raise ValueError(f"rounds[{place}]: no field {name!r}; needed are drafted, accepted and emitted")
    drafted, emitted = tuple(map(int, field("drafted"))), tuple(map(int, field("emitted")))
    parents = field("parents")
    parents = tuple(range(-1, len(drafted) - 1)) if parents is None else tuple(map(int, parents))
    if len(parents) != len(drafted) or any(not -1 <= parent < node for node, parent in enumerate(parents)):
        raise ValueError(
            f"rounds[{place}]: parents is {list(parents)} for {len(drafted)} drafted tokens; allowed are -1 or the "
            "index of an earlier one, one each"
        )
    request, position = field("request"), field("position")
    return Logged(
        place=place,
        drafted=drafted,
        accepted=int(field("accepted")),
        emitted=emitted,
        parents=parents,
        request=0 if request is None else int(request),
        position=None if position is None else int(position),
        stop_reason=field("stop_reason"),
        ended_known=has("stop_reason"),
        draft_logprobs=_logs(field("draft_logprobs"), "draft_logprobs", len(drafted), place),
        target_logprobs=_logs(field("target_logprobs"), "target_logprobs", len(drafted), place),
        logprobs=_logs(field("logprobs"), "logprobs", len(emitted), place),
    )


def _logs(values: Sequence[float | None] | None, name: str, count: int, place: int) -> tuple[float, ...] | None:
    if values is None:
        return None
    found = tuple(-math.inf if value is None else float(value) for value in values)
    if len(found) != count or any(math.isnan(value) or value > CLOSE for value in found):
        raise ValueError(f"rounds[{place}]: {name} is {list(values)}; allowed are {count} numbers <= 0, or null")
    return found
