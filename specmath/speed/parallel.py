"""Drafting while the target verifies: PEARL, DSI, overlap, and speculation on the outcome of a verification.

Times are in target steps: c = draft step / target step. Drafts are accepted independently with one probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from specmath.arrays import check_count
from specmath.speed.chain import expected_tokens
from specmath.speed.check import Floats, cost, positive, probability

MOST_TERMS = 10**7
"""Cycle lengths that `dsi` adds up one by one."""


@dataclass(frozen=True)
class Parallel:
    """A parallel method in the long run.

    Attributes
    ----------
    speedup : tokens per target step of time.
    tokens : emitted tokens per cycle, from one correction to the next; inf for acceptance 1.
    seconds : target steps of time per cycle; inf for acceptance 1.
    targets : copies of the target that must be at work at once.
    """

    speedup: float
    tokens: float
    seconds: float
    targets: int


def pearl(acceptance: float, draft_length: int, cost_ratio: float) -> Parallel:
    """PEARL: the draft writes a block of L while the target verifies what is there.

    A step lasts s = max(L c, 1). A cycle begins by verifying the first token of the block being drafted; if it is
    accepted, each further step verifies L tokens, until one is rejected. There is no bonus token, so a cycle emits
    1 / (1 - a) tokens, in 1 + a / (1 - a^L) steps:

        speed-up = (1 + a + .. + a^(L-1)) / (s (1 - a^L + a)).

    Raises ValueError for bad numbers.

    Source: liu2025pearl, with the loop of its published engine; proof in docs/theory/speed.md.

    >>> round(pearl(0.8, 5, 0.2).speedup, 3), pearl(1.0, 5, 0.2).speedup
    (2.283, 5.0)
    """
    a, length = probability("acceptance", acceptance), check_count("draft_length", draft_length)
    step = max(length * cost("cost_ratio", cost_ratio), 1.0)
    whole_block = a**length
    speed = expected_tokens(a, length - 1) / (step * (1 - whole_block + a))
    if a == 1.0:
        return Parallel(speed, math.inf, math.inf, 1)
    return Parallel(speed, 1 / (1 - a), step * (1 + a / (1 - whole_block)), 1)


def dsi(acceptance: float, draft_length: int, cost_ratio: float) -> Parallel:
    """DSI: verification of each block of L runs beside the drafting of the next; no wait until a rejection.

    A cycle ends with the first rejection and emits m tokens with probability a^(m-1) (1 - a). It takes
    min(1 + L c J, m), J = floor((m - 1) / L) + 1 blocks: the target decodes alone at the same time, and the faster of
    the two is used. Never slower than plain decoding.

    Raises ValueError for bad numbers.

    Source: timor2025dsi, with the accounting of its published simulator; proof in docs/theory/speed.md.

    >>> round(dsi(0.8, 5, 0.1).speedup, 2), dsi(0.8, 5, 0.1).targets
    (3.04, 2)
    """
    a, length = probability("acceptance", acceptance), check_count("draft_length", draft_length)
    c = cost("cost_ratio", cost_ratio)
    targets = math.ceil(1 / (length * c)) if c else 0
    if c >= 1.0:  # drafting never wins
        return Parallel(1.0, math.inf if a == 1.0 else 1 / (1 - a), math.inf if a == 1.0 else 1 / (1 - a), 1)
    if c == 0.0:
        raise ValueError("cost_ratio is 0.0; allowed are numbers > 0: the number of targets would be unbounded")
    # Cycles of up to 1 + L c / (1 - c) tokens may be faster without drafts; the longer ones never are.
    last = length * c / (1 - c) + 2
    if 0.0 < a < 1.0:
        last = min(last, 2 - 745 / math.log(a))  # a^(m - 1) is zero in floats from here on
    if last > MOST_TERMS:
        raise ValueError(
            f"dsi: cost_ratio {c:g} is so close to 1 that {last:.3g} terms matter; allowed are {MOST_TERMS}"
        )
    m = np.arange(1, int(last) + 1)
    wait = 1 + length * c * ((m - 1) // length + 1)
    saved = float(np.sum(a ** (m - 1) * np.maximum(wait - m, 0.0)))  # times 1 - a
    scaled = (1 - a) * (1 - (1 - a) * saved) + length * c / expected_tokens(a, length - 1)
    if a == 1.0:
        return Parallel(1 / scaled, math.inf, math.inf, targets)
    return Parallel(1 / scaled, 1 / (1 - a), scaled / (1 - a), targets)


def overlapped(
    acceptance: float,
    draft_length: int,
    cost_ratio: float,
    *,
    early: float,
    hit: float,
    transfer: float = 0.0,
) -> Parallel:
    """Drafting beside the target's last layers: a guess at what the round will emit is made after its first ones.

    A round takes early + max(1 - early, L c) + transfer, and L c more where the guess is wrong (probability 1 - hit);
    it emits (1 - a^(L+1)) / (1 - a) tokens.

    Parameters
    ----------
    early : share of the target's pass after which the guess exists, 0 to 1.
    hit : P(the drafted continuation fits what the round emits).
    transfer : time per round to hand over, in target steps.

    Raises ValueError for bad numbers.

    Source: bhendawade2025mirror describes the schedule; the formula is this package's model of it, not the paper's.

    >>> round(overlapped(0.8, 5, 0.1, early=0.5, hit=1.0).speedup, 3)
    3.689
    """
    length, c = check_count("draft_length", draft_length), cost("cost_ratio", cost_ratio)
    share, fits = probability("early", early), probability("hit", hit)
    drafting = length * c
    spent = share + max(1 - share, drafting) + cost("transfer", transfer) + (1 - fits) * drafting
    tokens = expected_tokens(acceptance, length)
    return Parallel(tokens / spent, tokens, spent, 1)


def ahead(hit: float, tokens_hit: float, tokens_miss: float, *, draft_ahead: float, draft_after: float) -> Parallel:
    """Speculation on the outcome of the verification that is under way (SSD, Saguaro).

    With probability ``hit`` the drafts for the actual outcome are ready: the round takes max(1, draft_ahead). Else a
    fall-back drafts after it: 1 + draft_after.

        speed-up = (h E_hit + (1 - h) E_miss) / (h max(1, d) + (1 - h) (1 + f)).

    Raises ValueError for bad numbers; tokens are at least 1.

    Source: kumar2026saguaro; the accounting is this package's.

    >>> round(ahead(0.8, 3.7, 2.0, draft_ahead=0.9, draft_after=0.1).speedup, 3)
    3.294
    """
    h = probability("hit", hit)
    for name, value in (("tokens_hit", tokens_hit), ("tokens_miss", tokens_miss)):
        if positive(name, value) < 1:
            raise ValueError(f"{name} is {value}; allowed are numbers >= 1: every round emits a token")
    tokens = h * tokens_hit + (1 - h) * tokens_miss
    spent = h * max(1.0, cost("draft_ahead", draft_ahead)) + (1 - h) * (1 + cost("draft_after", draft_after))
    return Parallel(tokens / spent, tokens, spent, 1)


def fan_out(acceptance: float, draft_length: int, budget: float, *, exponent: float) -> Floats:
    """How many outcomes to prepare for each number of accepted drafts k = 0 .. L, as real numbers (L + 1,).

    A guess at the emitted token among F misses with probability F^-r. The budget sum_k F_k = B that loses least,
    min sum_k P(k) F_k^-r, has F_k proportional to P(k)^(1 / (1 + r)): P(k) = a^k (1 - a), and a^L for all accepted.

    Raises ValueError for bad numbers.

    Source: kumar2026saguaro (a capped geometric series); proof in docs/theory/speed.md.

    >>> fan_out(0.25, 2, 7.0, exponent=1.0).round(3).tolist()
    [3.914, 1.957, 1.13]
    """
    a, length = probability("acceptance", acceptance), check_count("draft_length", draft_length)
    power = 1 / (1 + positive("exponent", exponent))
    chances = np.append(a ** np.arange(length) * (1 - a), a**length)
    weights = chances**power
    return positive("budget", budget) * weights / weights.sum()
