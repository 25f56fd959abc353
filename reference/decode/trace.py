"""What decoders leave behind: one record per round, from which every metric is derived."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA_VERSION = 2
"""Of ``specmath/schemas/round.schema.json``."""

StopReason = Literal["stop", "length", "context"]


@dataclass(frozen=True, kw_only=True)
class Round:
    """One draft-then-verify step, as it was committed.

    Attributes
    ----------
    request, round : number of the text and of the round inside it, from 0.
    position : number of tokens (prompt included) before this round.
    drafted, parents : the drafted tokens and the index of each one's parent, -1 for the text itself: a chain, or
        several candidates and what was drafted after each of them.
    draft_logprobs, target_logprobs : natural log of each drafted token's probability under the draft's next-token law
        after its parent and under the target's, both after temperature, top-k and top-p; -inf is possible for the
        target, and at temperature 0 for candidates beside the draft's likeliest. Copied tokens have draft probability
        one. Candidates that are not drawn independently (without replacement, fixed ones) have the same law's value.
    accepted : how many of the emitted tokens were drafted, all of them on one path from the text.
    emitted : the tokens added to the text: the accepted ones, then the correction or bonus token. That last one is
        absent if an accepted token is a stop token.
    logprobs : natural log of each emitted token's probability under the target's law, as in plain decoding; a token
        chosen at temperature 0 has probability one.
    stop_reason : None, and in the last round "stop" (a stop token was emitted), "length" (max_tokens reached) or
        "context" (the target's context is full).
    target_calls, draft_calls : forward passes of the models, one for all tokens that are read together.
    seconds : wall-clock time of the round.
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
        """The record of ``round.schema.json``; a log-probability of -inf becomes null."""
        record: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
        for name, value in vars(self).items():
            if isinstance(value, tuple):
                value = [None if item == -math.inf else item for item in value]
            record[name] = value
        return record


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A finished text: the emitted tokens (prompt excluded), the rounds that emitted them, and why it ended."""

    tokens: tuple[int, ...]
    rounds: tuple[Round, ...]
    stop_reason: StopReason

    @property
    def logprobs(self) -> tuple[float, ...]:
        """Natural log of each emitted token's probability under the target's law."""
        return tuple(value for one in self.rounds for value in one.logprobs)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request of a batch that could not be finished: its number, what went wrong, and the rounds until then."""

    request: int
    error: str
    rounds: tuple[Round, ...] = ()


def collect(rounds: Iterable[Round]) -> Decoded:
    """Run a stream of rounds to its end; ValueError for rounds that do not reach the end of a text."""
    done = tuple(rounds)
    reason = done[-1].stop_reason if done else None
    if reason is None:
        raise ValueError(f"rounds: {len(done)} without a stop reason at the end; allowed are those up to a text's end")
    tokens = tuple(token for one in done for token in one.emitted)
    return Decoded(tokens=tokens, rounds=done, stop_reason=reason)
