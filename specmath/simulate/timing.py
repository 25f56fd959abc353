"""The simulator's clock: how long a target pass and a chain of draft steps take, in seconds or in target steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from specmath.speed.check import cost, seconds
from specmath.stopping.costs import Costs


@dataclass(frozen=True)
class Timing:
    """Laws of time, as `specmath.speed.goodput` takes them.

    Attributes
    ----------
    verify : time of a target pass over so many tokens of all texts together, > 0.
    draft : time of so many draft steps of the batch, >= 0; not asked for 0 steps.
    overhead : of every round, >= 0.
    context : added to a target pass for each token of text that it attends to, >= 0.
    prefill : time to read so many prompt tokens, before a text's first round; None: no time.

    The unit is the caller's: seconds, or target steps with ``verify(1) = 1``. Raises ValueError for negative or
    infinite times, when they come up.

    >>> timing = Timing.steps(0.05)
    >>> timing.drafting(4), timing.reading(5, 100)
    (0.2, 1.0)
    """

    verify: Callable[[int], float]
    draft: Callable[[int], float]
    overhead: float = 0.0
    context: float = 0.0
    prefill: Callable[[int], float] | None = None

    def __post_init__(self) -> None:
        for name in ("verify", "draft", "prefill"):
            law = getattr(self, name)
            if not (callable(law) or (law is None and name == "prefill")):
                raise ValueError(f"{name} is {law!r}; allowed are functions of a number of tokens")
        cost("overhead", self.overhead)
        cost("context", self.context)

    @classmethod
    def steps(cls, cost_ratio: float) -> Timing:
        """Leviathan's clock: every target pass takes 1, a draft step ``cost_ratio``."""
        return cls.of(Costs(draft=cost("cost_ratio", cost_ratio)))

    @classmethod
    def of(cls, costs: Costs) -> Timing:
        """The clock of `specmath.stopping`: target + slot (tokens - 1), and draft for each step."""
        target, slot, draft = float(costs.target), float(costs.slot), float(costs.draft)
        return cls(verify=lambda tokens: target + slot * (tokens - 1), draft=lambda steps: draft * steps)

    @property
    def plain(self) -> float:
        """Time of a token in plain decoding of one text."""
        return self.reading(1, 0) + self.overhead

    def reading(self, tokens: int, context: int) -> float:
        """A target pass over ``tokens`` new tokens above ``context`` tokens of text."""
        return seconds("verify", self.verify, tokens, least=math.ulp(0.0)) + self.context * context

    def drafting(self, steps: int) -> float:
        """So many draft steps."""
        return seconds("draft", self.draft, steps) if steps else 0.0

    def prompts(self, tokens: int) -> float:
        """Reading prompts of so many tokens together."""
        return seconds("prefill", self.prefill, tokens) if tokens and self.prefill is not None else 0.0
