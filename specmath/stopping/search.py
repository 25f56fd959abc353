"""The best policy of a simple family, by exact evaluation of all that differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from specmath.exact.explorer import Number
from specmath.stopping.costs import Costs
from specmath.stopping.evaluate import HORIZON, Evaluation, evaluate
from specmath.stopping.iteration import inverse
from specmath.stopping.policies.fixed import Fixed
from specmath.stopping.policies.look_ahead import LookAhead
from specmath.stopping.policies.policy import check_length
from specmath.stopping.policies.survival import Survival
from specmath.stopping.process import Process

HUNDREDTHS = tuple(place / 100 for place in range(101))


@dataclass(frozen=True)
class Best:
    """The best policy of a family and what it brings; equal ones: the first, which drafts least."""

    policy: Any
    found: Evaluation


def best_fixed(process: Process, costs: Costs, *, horizon: int = HORIZON, lag: int = 0) -> Best:
    """The best fixed draft length from 0 to ``horizon``.

    >>> from specmath.stopping import Constant
    >>> best_fixed(Constant(0.8), Costs(0.05), horizon=20).policy
    Fixed(draft_length=8)
    """
    check_length("horizon", horizon)
    return _best((Fixed(length) for length in range(horizon + 1)), process, costs, horizon, lag)


def best_survival(
    process: Process,
    costs: Costs,
    *,
    thresholds: Iterable[Number] = HUNDREDTHS,
    horizon: int = HORIZON,
    lag: int = 0,
) -> Best:
    """The best survival threshold of ``thresholds``, by default 0, 0.01, ..., 1.

    >>> from specmath.stopping import Observable
    >>> best = best_survival(Observable((0.2, 0.6, 1.0), (0.15, 0.15, 0.7)), Costs(0.2), thresholds=(0.3, 0.45))
    >>> best.policy, round(best.found.speedup, 4)
    (Survival(threshold=0.45), 2.2767)
    """
    return _best((Survival(one) for one in thresholds), process, costs, horizon, lag)


def best_look_ahead(process: Process, costs: Costs, *, horizon: int = HORIZON, lag: int = 0) -> Best:
    """One-step look-ahead at the price of its own rate: from plain decoding on, the rate found is the next price.

    >>> from specmath.stopping import Observable
    >>> best = best_look_ahead(Observable((0.2, 0.6, 1.0), (0.15, 0.15, 0.7)), Costs(0.2))
    >>> round(best.found.speedup, 4)
    2.2767
    """
    rate, found = inverse(costs.target), None
    for _ in range(100):
        policy = LookAhead.of(process, costs, rate, lag=lag)
        now = evaluate(policy, process, costs, horizon=horizon, lag=lag)
        if found is not None and not now.rate > found.found.rate:
            break
        rate, found = now.rate, Best(policy, now)
    assert found is not None
    return found


def _best(policies: Iterable[Any], process: Process, costs: Costs, horizon: int, lag: int) -> Best:
    found: Best | None = None
    for policy in policies:
        now = evaluate(policy, process, costs, horizon=horizon, lag=lag)
        if found is None or now.rate > found.found.rate:
            found = Best(policy, now)
    if found is None:
        raise ValueError("thresholds is empty; allowed are one or more numbers from 0 to 1")
    return found
