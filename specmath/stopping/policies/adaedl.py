"""AdaEDL: an entropy threshold that follows the acceptance of earlier rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from specmath.arrays import check_number
from specmath.stopping.policies.policy import PolicyKind, check_unit
from specmath.stopping.view import View, needed


@dataclass
class AdaEdl:
    """Goes on while 1 - sqrt(factor x entropy) >= limit; the limit moves towards a target acceptance.

    After a round with accepted / drafted = r: mean <- smooth mean + (1 - smooth) r, then
    limit <- slow limit + (1 - slow) (limit + step sign(target_acceptance - mean)), kept in [0, 1]. A round without
    drafts changes nothing.

    Attributes
    ----------
    limit : where it begins, in [0, 1].
    target_acceptance, factor, smooth, slow, step : the constants of the rule, all >= 0, the first, third and fourth
        at most 1. The defaults are those of the adaptive exit of zhang2024draftverify, with the factor of the paper.

    >>> policy = AdaEdl(limit=0.5)
    >>> policy.decide(View(1, entropy=1.25)), policy.decide(View(1, entropy=1.26))
    (True, False)
    >>> policy.observe(drafted=4, accepted=1)
    >>> round(policy.limit, 4)  # stops earlier now
    0.501
    """

    limit: float = 0.4
    target_acceptance: float = 0.9
    factor: float = 0.2
    smooth: float = 0.5
    slow: float = 0.9
    step: float = 0.01
    mean: float | None = None
    sequential = False

    def __post_init__(self) -> None:
        for name in ("limit", "target_acceptance", "smooth", "slow"):
            check_unit(name, getattr(self, name))
        for name in ("factor", "step"):
            check_number(name, getattr(self, name), 0.0, math.inf, "numbers >= 0")
        self._first = self.limit, self.mean

    def decide(self, state: View) -> bool:
        if state.drafted == 0:
            return True
        return 1 - math.sqrt(self.factor * needed("adaedl", state.entropy, "entropy")) >= self.limit

    def observe(self, drafted: int, accepted: int) -> None:
        if not drafted:
            return
        found = accepted / drafted
        self.mean = found if self.mean is None else self.smooth * self.mean + (1 - self.smooth) * found
        away = self.target_acceptance - self.mean
        sign = (away > 0) - (away < 0)
        self.limit = min(1.0, max(0.0, self.limit + (1 - self.slow) * self.step * sign))

    def memory(self) -> Any:
        return [self.limit, self.mean]

    def restore(self, memory: Any) -> AdaEdl:
        limit, mean = self._first if memory is None else memory
        made = replace(self, limit=limit, mean=mean)
        made._first = self._first
        return made


KIND = PolicyKind(
    "adaedl", "an entropy limit that follows earlier rounds", "agrawal2024adaedl, Section 3", AdaEdl, "rounds"
)
