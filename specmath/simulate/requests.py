"""What is asked of the simulated server: texts with a time of arrival, a length and a place where they stop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from specmath.arrays import check_count, check_number
from specmath.speed.check import cost, positive
from specmath.stopping.process import Process
from specmath.stopping.view import Policy


@dataclass(frozen=True, kw_only=True)
class Request:
    """One text.

    Attributes
    ----------
    max_tokens : most tokens to emit, >= 1.
    arrival : time of arrival, >= 0.
    prompt : tokens of the prompt, >= 1.
    stop : the stop token is this text's stop-th token, >= 1; None: it never comes.
    process, policy : of this text alone; None: those of the simulation.

    Raises ValueError for numbers out of range.
    """

    max_tokens: int = 200
    arrival: float = 0.0
    prompt: int = 1
    stop: int | None = None
    process: Process | None = None
    policy: Policy | None = None

    def __post_init__(self) -> None:
        check_count("max_tokens", self.max_tokens)
        check_count("prompt", self.prompt)
        cost("arrival", self.arrival)
        if self.stop is not None:
            check_count("stop", self.stop)

    @property
    def length(self) -> int:
        """Tokens that the text will have."""
        return self.max_tokens if self.stop is None else min(self.max_tokens, self.stop)


def poisson(
    count: int,
    rate: float,
    *,
    max_tokens: int = 200,
    mean_length: float | None = None,
    prompt: int = 1,
    seed: int = 0,
) -> tuple[Request, ...]:
    """``count`` requests that arrive as a Poisson process of ``rate`` per unit of time.

    ``mean_length``: the stop token's place is geometric with this mean, >= 1; None: texts end by ``max_tokens``.
    Raises ValueError for numbers out of range. The same for the same seed.

    >>> [round(one.arrival, 2) for one in poisson(3, 2.0)]
    [0.34, 0.85, 0.86]
    """
    check_count("count", count)
    generator = np.random.default_rng(seed)
    arrivals = np.cumsum(generator.exponential(1 / positive("rate", rate), count))
    stops: list[int | None] = [None] * count
    if mean_length is not None:
        chance = 1 / check_number("mean_length", mean_length, 1.0, 1e12, "numbers from 1 to 1e12")
        stops = [int(place) for place in generator.geometric(chance, count)]
    return tuple(
        Request(max_tokens=max_tokens, arrival=float(arrival), prompt=prompt, stop=stop)
        for arrival, stop in zip(arrivals, stops, strict=True)
    )
