"""What a simulation leaves behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from specmath.arrays import check_number
from specmath.simulate.trace import Round, StopReason


@dataclass(frozen=True)
class Span:
    """A model at work from ``start`` to ``end``, over ``tokens`` tokens (target) or steps (draft)."""

    model: Literal["draft", "target"]
    start: float
    end: float
    tokens: int


@dataclass(frozen=True)
class Step:
    """A round of the server: the texts that were in it, when, and who worked."""

    start: float
    end: float
    requests: tuple[int, ...]
    emitted: int
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Served:
    """What became of a request; times on the simulation's clock, None for what had not happened at its end.

    Attributes
    ----------
    request : its number, in the order in which requests were handed in.
    arrival, admitted, first, finished : it came, entered the batch, had its first tokens, ended.
    tokens, rounds : emitted tokens and rounds.
    stop_reason : "stop", "length", or None.
    """

    request: int
    arrival: float
    admitted: float | None
    first: float | None
    finished: float | None
    tokens: int
    rounds: int
    stop_reason: StopReason | None

    @property
    def waiting(self) -> float | None:
        """From arrival to admission."""
        return None if self.admitted is None else self.admitted - self.arrival

    @property
    def first_token(self) -> float | None:
        """From arrival to the first tokens."""
        return None if self.first is None else self.first - self.arrival

    @property
    def latency(self) -> float | None:
        """From arrival to the end."""
        return None if self.finished is None else self.finished - self.arrival

    @property
    def per_token(self) -> float | None:
        """From admission to the end, per emitted token."""
        return None if self.finished is None or self.admitted is None else (self.finished - self.admitted) / self.tokens


@dataclass(frozen=True)
class Result:
    """A simulated server.

    Attributes
    ----------
    requests : one for each request, in their order.
    rounds : rounds of the server, in time.
    trace : the decoder's record of every round of every text, in time; what `specmath.metrics` reads.
    plain : time of a token in plain decoding of one text.
    """

    requests: tuple[Served, ...]
    rounds: tuple[Step, ...]
    trace: tuple[Round, ...]
    plain: float

    @property
    def tokens(self) -> int:
        """Emitted tokens."""
        return sum(one.tokens for one in self.requests)

    @property
    def busy(self) -> float:
        """Time in rounds; the rest is waiting for requests."""
        return math.fsum(one.end - one.start for one in self.rounds)

    @property
    def span(self) -> float:
        """From the first arrival to the end of the last round."""
        return self.rounds[-1].end - min(one.arrival for one in self.requests)

    @property
    def throughput(self) -> float:
        """Emitted tokens / `span`."""
        return self.tokens / self.span

    @property
    def speedup(self) -> float:
        """Emitted tokens / `busy` x `plain`: against plain decoding, one text after the other."""
        return self.tokens / self.busy * self.plain

    def percentiles(
        self,
        what: Literal["latency", "first_token", "waiting", "per_token"] = "latency",
        levels: Sequence[float] = (50, 90, 99),
    ) -> tuple[float, ...]:
        """Percentiles over the requests that got there, straight lines between order statistics.

        Raises ValueError for an unknown quantity, levels outside 0 to 100, and if no request got there.
        """
        if what not in ("latency", "first_token", "waiting", "per_token"):
            raise ValueError(f"what is {what!r}; allowed are 'latency', 'first_token', 'waiting' and 'per_token'")
        for level in levels:
            check_number("levels", level, 0.0, 100.0, "numbers from 0 to 100")
        found = [value for one in self.requests if (value := getattr(one, what)) is not None]
        if not found:
            raise ValueError(f"no request has a {what}; allowed are simulations that last until one has")
        return tuple(float(value) for value in np.percentile(found, levels))
