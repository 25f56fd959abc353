"""The stopping policies of `specmath.stopping` at work on a draft model's chain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.drafters.policy import Progress
from specmath import stopping


@dataclass(frozen=True)
class Stopping:
    """A policy of `specmath.stopping` as a drafter takes it: what it needs is read off the draft's laws.

    The policy is asked from the second token of a round on; the first is drafted in any case.

    Attributes
    ----------
    policy : it decides.
    acceptance : estimate of P(kept) of a token, from the law (V,) that it was drawn from and the token; the survival
        is the product over the round. None: not known, and policies that look at the survival raise ValueError.
    latent : the process's state for a round so far; None: not known.

    >>> law = np.array([0.9, 0.1])
    >>> [Stopping(stopping.Confidence(0.4)).decide(Progress(5, [token], [law])) for token in (0, 1)]
    [True, False]
    >>> Stopping(stopping.Survival(0.3), lambda law, token: float(law[token])).decide(Progress(5, [0, 0], [law, law]))
    True
    """

    policy: stopping.Policy
    acceptance: Callable[[NDArray[np.float64], int], float] | None = None
    latent: Callable[[Progress], Any] | None = None

    def view(self, state: Progress) -> stopping.View:
        """What the policy is shown; ValueError for an estimate that is no probability."""
        survival = None
        if self.acceptance is not None:
            survival = 1.0
            for law, token in zip(state.laws, state.drafted, strict=True):
                kept = float(self.acceptance(law, token))
                if not 0 <= kept <= 1:
                    raise ValueError(f"acceptance is {kept} for token {token}; allowed are probabilities from 0 to 1")
                survival *= kept
        last = state.laws[-1]
        return stopping.View(
            drafted=len(state.drafted),
            survival=survival,
            latent=None if self.latent is None else self.latent(state),
            confidence=float(last[state.drafted[-1]]),
            entropy=-math.fsum(p * math.log(p) for p in last[last > 0].tolist()),
        )

    def decide(self, state: Progress) -> bool:
        return self.policy.decide(self.view(state))

    def observe(self, drafted: int, accepted: int) -> None:
        self.policy.observe(drafted, accepted)

    def memory(self) -> Any:
        return self.policy.memory()

    def restore(self, memory: Any) -> Stopping:
        return replace(self, policy=self.policy.restore(memory))
