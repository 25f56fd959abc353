"""What a round costs: a draft step, a target pass, and what a further token costs the target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from specmath.arrays import check_count
from specmath.exact.explorer import Number


@dataclass(frozen=True)
class Costs:
    """Cost of a round with k drafted tokens: ``target + k (draft + slot)``, in any one unit of time.

    Attributes
    ----------
    draft : one draft step, >= 0.
    target : one target pass over one token, > 0; plain decoding pays it for every token.
    slot : what each drafted token adds to the target's pass, >= 0.

    Raises ValueError for negative or infinite costs, and a target that costs nothing.

    >>> Costs(draft=0.2).round(3)
    1.6
    """

    draft: Number
    target: Number = 1
    slot: Number = 0

    def __post_init__(self) -> None:
        for name in ("draft", "target", "slot"):
            given = getattr(self, name)
            value = given.item() if isinstance(given, np.generic) else given
            if isinstance(value, bool) or not isinstance(value, int | float | Fraction) or not 0 <= value < math.inf:
                raise ValueError(f"{name} is {given!r}; allowed are finite costs >= 0")
            object.__setattr__(self, name, value)
        if not self.target > 0:
            raise ValueError(f"target is {self.target!r}; allowed are costs above 0")

    @property
    def token(self) -> Number:
        """What one drafted token costs, kept or not."""
        return self.draft + self.slot

    def verify(self, tokens: int) -> Number:
        """A target pass over so many tokens: the ``verify`` of `specmath.speed` and `specmath.trees`.

        >>> from specmath import speed
        >>> costs = Costs(draft=0.2, slot=0.01)
        >>> speed.plan_chain([0.8, 0.6], draft_step=costs.draft, verify=costs.verify).draft_length
        2
        """
        return self.target + (tokens - 1) * self.slot

    @classmethod
    def of(cls, draft_step: Number, verify: Callable[[int], Number], tokens: int = 2) -> Costs:
        """From a measured pass: straight between one token and ``tokens``; where it bends, ask `speed.plan_chain`.

        Raises ValueError for ``tokens`` below 2 and a pass over more tokens that costs less.

        >>> from specmath import speed
        >>> Costs.of(1.0, speed.Curve((1, 5), (10.0, 12.0)), 5)
        Costs(draft=1.0, target=10.0, slot=0.5)
        """
        if check_count("tokens", tokens) < 2:
            raise ValueError(f"tokens is {tokens!r}; allowed are whole numbers >= 2")
        return cls(draft_step, verify(1), (verify(tokens) - verify(1)) / (tokens - 1))

    def round(self, drafted: Number) -> Number:
        """What a round with so many drafted tokens costs."""
        return self.target + drafted * self.token


def check_costs(costs: Any) -> Costs:
    """The costs themselves; ValueError for anything else.

    >>> check_costs(0.2)
    Traceback (most recent call last):
    ValueError: costs is 0.2; allowed is Costs(draft=...), with a draft step in target passes
    """
    if not isinstance(costs, Costs):
        raise ValueError(f"costs is {costs!r}; allowed is Costs(draft=...), with a draft step in target passes")
    return costs
