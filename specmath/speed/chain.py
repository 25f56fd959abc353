"""Speed of a chain of drafts: Leviathan's model, its best draft length in closed form, and any survival curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from specmath.speed import survival as curves
from specmath.speed.check import Floats, cost, probability, seconds, survival_rows, whole

LONGEST = 10_000
"""Draft lengths beyond this are not looked at: no cost law holds so far."""


@dataclass(frozen=True)
class ChainPlan:
    """The best draft length and what it brings.

    Attributes
    ----------
    draft_length : 0 if drafting does not pay.
    tokens : expected emitted tokens per round.
    seconds : a round's time, in the unit of the costs.
    speedup : tokens per second over plain decoding's.
    speedups : (K + 1,) the speed-up of each draft length 0 .. K.
    """

    draft_length: int
    tokens: float
    seconds: float
    speedup: float
    speedups: Floats


def expected_tokens(acceptance: float, draft_length: int) -> float:
    """Emitted tokens of a round, (1 - a^(L + 1)) / (1 - a): drafts accepted independently with probability a.

    Raises ValueError unless 0 <= acceptance <= 1 and draft_length is a whole number >= 0.

    Source: leviathan2023fast, Equation 1.

    >>> round(expected_tokens(0.8, 5), 5), expected_tokens(1.0, 5)
    (3.68928, 6.0)
    """
    a, length = probability("acceptance", acceptance), whole("draft_length", draft_length)
    if a == 0.0 or a == 1.0:
        return 1.0 + length * a
    return -math.expm1((length + 1) * math.log(a)) / (1 - a)


def speedup(acceptance: float, draft_length: int, cost_ratio: float) -> float:
    """Leviathan's wall-time improvement, (1 - a^(L + 1)) / ((1 - a) (L c + 1)), c = draft step / target step.

    The target pass over L + 1 tokens costs as much as over one. Raises ValueError for bad numbers.

    Source: leviathan2023fast, Theorem 3.8.

    >>> round(speedup(0.8, 8, 0.05), 3)
    3.092
    """
    return expected_tokens(acceptance, draft_length) / (draft_length * cost("cost_ratio", cost_ratio) + 1)


def operations(acceptance: float, draft_length: int, operations_ratio: float) -> float:
    """Arithmetic per emitted token over plain decoding's: (L c' + L + 1) / expected tokens.

    ``operations_ratio`` c' is operations of the draft per token over the target's.

    Source: leviathan2023fast, Theorem 3.11.

    >>> round(operations(0.8, 5, 0.02), 3)
    1.653
    """
    ratio = cost("operations_ratio", operations_ratio)
    return (draft_length * ratio + draft_length + 1) / expected_tokens(acceptance, draft_length)


def limit_length(acceptance: float, cost_ratio: float) -> float:
    """The real draft length that maximises Leviathan's `speedup`, by Lambert's W; inf where longer is always better.

    With l = -ln a and m = 1/c - 1: L = u - m - 1 - 1/l, where u = -W_{-1}(-exp(-l m - 1)) / l. Negative values are
    returned as 0: drafting does not pay.

    Raises ValueError for bad numbers.

    Source: proof in docs/theory/speed.md.

    >>> round(limit_length(0.8, 0.05), 3), limit_length(0.8, 0.0)
    (7.857, inf)
    """
    a, c = probability("acceptance", acceptance), cost("cost_ratio", cost_ratio)
    if a == 0.0 or c >= 1.0:  # the first draft brings a <= 1
        return 0.0
    if a == 1.0 or c == 0.0:
        return math.inf
    from scipy.special import lambertw  # scipy is not imported with the package

    log, m = -math.log(a), 1 / c - 1
    exponent = -log * m - 1
    if exponent > -700:
        w = float(lambertw(-math.exp(exponent), -1).real)
    else:  # exp underflows: w = exponent - log(-w), iterated
        w = exponent
        for _ in range(60):
            w = exponent - math.log(-w)
    return max(-w / log - m - 1 - 1 / log, 0.0)


def best_draft_length(acceptance: float, cost_ratio: float, *, longest: int | None = None) -> ChainPlan:
    """The whole draft length with the largest Leviathan `speedup`; a round's time is in target steps.

    `speedup` rises, then falls: L + 1 is better than L exactly if a^(L + 1) (1 + L c) > c (1 - a^(L + 1)) / (1 - a),
    and once it is not, it never is again. Drafting pays if and only if a > c.

    Parameters
    ----------
    acceptance, cost_ratio : a and c.
    longest : longest draft length to look at. None: `LONGEST`; the best must then lie below it.

    Raises
    ------
    ValueError
        For bad numbers, and without ``longest`` where the best length is unbounded, naming the limit of the speed-up:
        1/(1 - a) for c = 0, 1/c for a = 1.

    Source: leviathan2023fast, Section 3.5; docs/theory/speed.md.

    >>> plan = best_draft_length(0.8, 0.05)
    >>> plan.draft_length, round(plan.speedup, 3)
    (8, 3.092)
    """
    a, c = probability("acceptance", acceptance), cost("cost_ratio", cost_ratio)
    most = LONGEST if longest is None else whole("longest", longest)
    if longest is None and limit_length(a, c) > LONGEST:
        reached = math.inf if c == 0.0 and a == 1.0 else 1 / (1 - a) if c == 0.0 else 1 / c
        raise ValueError(
            f"the best draft length for acceptance {a:g} and cost_ratio {c:g} is above {LONGEST}; allowed is a bound, "
            f"longest=...; the speed-up stays below {reached:.6g}"
        )
    # Beyond the real optimum nothing is better than its two neighbours.
    bound = min(most, int(min(limit_length(a, c), most)) + 1)
    return plan_chain(curves.iid(a, bound), draft_step=c)


def plan_chain(
    survival: Sequence[float] | Floats,
    *,
    draft_step: float | Callable[[int], float],
    verify: Callable[[int], float] = lambda tokens: 1.0,
    overhead: float = 0.0,
) -> ChainPlan:
    """The draft length L with the largest (1 + S_1 + .. + S_L) / (draft(L) + verify(L + 1) + overhead), L = 0 .. K.

    Parameters
    ----------
    survival : S_1 .. S_K, see `specmath.speed.survival`.
    draft_step : seconds of a draft step, or ``draft(L)``: seconds of all L steps of a round.
    verify : seconds of a target pass over so many tokens; verify(1) is a step of plain decoding.
    overhead : seconds that a round takes beside the two models and a step of plain decoding does not; 0 for L = 0.

    Every length is tried, so the best is found for any cost law. Raises ValueError for bad curves and costs.

    >>> plan = plan_chain([0.7, 0.5, 0.1], draft_step=0.1)
    >>> plan.draft_length, plan.speedups.round(3).tolist()
    (2, [1.0, 1.545, 1.833, 1.769])
    """
    tokens = curves.expected_tokens(survival_rows(survival))
    extra, plain = cost("overhead", overhead), seconds("verify", verify, 1, least=math.ulp(0.0))
    if callable(draft_step):
        drafting = [seconds("draft_step", draft_step, length) for length in range(1, len(tokens))]
    else:
        drafting = [length * cost("draft_step", draft_step) for length in range(1, len(tokens))]
    rounds = [plain]
    for length, steps in enumerate(drafting, start=1):
        rounds.append(steps + seconds("verify", verify, length + 1, least=math.ulp(0.0)) + extra)
    found = tokens * plain / np.asarray(rounds)
    best = int(np.argmax(found))
    return ChainPlan(best, float(tokens[best]), rounds[best], float(found[best]), found)
