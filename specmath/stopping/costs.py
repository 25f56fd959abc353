"""What a round costs: a draft step, a target pass, and what a further token costs the target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

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
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | Fraction) or not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value!r}; allowed are finite costs >= 0")
        if not self.target > 0:
            raise ValueError(f"target is {self.target!r}; allowed are costs above 0")

    @property
    def token(self) -> Number:
        """What one drafted token costs, kept or not."""
        return self.draft + self.slot

    def round(self, drafted: Number) -> Number:
        """What a round with so many drafted tokens costs."""
        return self.target + drafted * self.token
