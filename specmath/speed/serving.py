"""Draft lengths for a batch: goodput, and the best split of a verification budget over requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from specmath.speed.check import cost, seconds, survival_rows, whole


@dataclass(frozen=True)
class Allocation:
    """Draft lengths for the requests of a batch.

    Attributes
    ----------
    draft_lengths : per request; all 0 is plain decoding.
    tokens : expected emitted tokens of the round, over all requests.
    seconds : the round's time.
    goodput : tokens / seconds.
    speedup : goodput over that of plain decoding.
    """

    draft_lengths: tuple[int, ...]
    tokens: float
    seconds: float
    goodput: float
    speedup: float


def goodput(
    survival: Any,
    draft_lengths: Sequence[int],
    *,
    verify: Callable[[int], float],
    draft: Callable[[int], float],
    overhead: float = 0.0,
) -> Allocation:
    """Tokens per second of a batch: sum_r (1 + S_r1 + .. + S_rL_r) / (verify(sum_r (L_r + 1)) + draft(max L_r)).

    Parameters
    ----------
    survival : (R, K), P(the first k drafts of request r are all accepted).
    draft_lengths : L_r, 0 to K, one for each request.
    verify : seconds of a target pass over so many tokens of all requests together.
    draft : seconds of so many draft steps of the batch; requests that draft less wait. Not asked for 0 steps.
    overhead : seconds of every round, drafts or not.

    Raises ValueError for bad curves, lengths and costs.

    Source: liu2024optimizing.

    >>> both = goodput([[0.8, 0.6], [0.2, 0.1]], [2, 0], verify=lambda t: 1 + 0.1 * t, draft=lambda L: 0.1 * L)
    >>> round(both.tokens, 6), round(both.seconds, 6), round(both.speedup, 6)
    (3.4, 1.6, 1.275)
    """
    rows = survival_rows(survival, 2)
    if len(draft_lengths) != len(rows):
        raise ValueError(
            f"draft_lengths has {len(draft_lengths)} entries; allowed are {len(rows)}, one for each request"
        )
    lengths = [whole(f"draft_lengths[{r}]", length) for r, length in enumerate(draft_lengths)]
    if max(lengths) > rows.shape[1]:
        raise ValueError(f"draft_lengths holds {max(lengths)}; allowed are up to {rows.shape[1]}, where survival ends")
    tokens = len(rows) + math.fsum(math.fsum(row[:length]) for row, length in zip(rows, lengths, strict=True))
    spent = seconds("verify", verify, len(rows) + sum(lengths), least=math.ulp(0.0)) + cost("overhead", overhead)
    spent += seconds("draft", draft, max(lengths)) if max(lengths) else 0.0
    plain = len(rows) / (seconds("verify", verify, len(rows), least=math.ulp(0.0)) + overhead)
    return Allocation(tuple(lengths), tokens, spent, tokens / spent, tokens / spent / plain)


def allocate(
    survival: Any,
    *,
    verify: Callable[[int], float],
    draft: Callable[[int], float],
    overhead: float = 0.0,
    most: int | None = None,
) -> Allocation:
    """The draft lengths with the largest `goodput`, for any law of ``verify`` and any ``draft`` that never falls.

    Given the longest length M and the number C of drafts the time is fixed, and the tokens are most where the C drafts
    are those of largest survival: each request's survival falls along its drafts, so the C largest of all are whole
    prefixes. One sort per M and every C: O(R K^2 log(R K)); ``verify`` need neither rise nor be convex.

    Parameters
    ----------
    survival, verify, draft, overhead : as in `goodput`.
    most : most drafts of all requests together (the budget of TETRIS, or where a measured ``verify`` ends); None for
        any.

    Raises ValueError for bad curves and costs, and for a ``draft`` that falls.

    Source: wu2025tetris (the budget); liu2024optimizing (goodput); proof in docs/theory/speed.md.

    >>> rows = [[0.9, 0.81, 0.73], [0.3, 0.09, 0.03]]
    >>> allocate(rows, verify=lambda t: 1 + 0.05 * t, draft=lambda L: 0.05 * L).draft_lengths
    (3, 1)
    """
    rows = survival_rows(survival, 2)
    requests, longest = rows.shape
    limit = rows.size if most is None else min(whole("most", most), rows.size)
    extra = cost("overhead", overhead)
    reading = [seconds("verify", verify, requests + count, least=math.ulp(0.0)) for count in range(limit + 1)]
    best, chosen = requests / (reading[0] + extra), np.zeros(requests, dtype=np.int64)
    drafting = [seconds("draft", draft, length) for length in range(1, longest + 1)]
    if any(later < earlier for earlier, later in pairwise(drafting)):
        raise ValueError(f"draft falls: {drafting} seconds; allowed are costs that never fall with the length")
    for length, steps in enumerate(drafting, start=1):
        values = rows[:, :length]
        # Only how many of a request's drafts are taken counts. Equal values: even lengths.
        owner, place = np.divmod(np.arange(values.size), length)
        order = np.lexsort((owner, place, -values.ravel()))[:limit]
        tokens = requests + np.cumsum(values.ravel()[order])
        rates = tokens / (np.asarray(reading[1 : len(order) + 1]) + steps + extra)
        if rates.size and rates.max() > best:
            count = int(rates.argmax()) + 1
            best, chosen = float(rates[count - 1]), np.bincount(owner[order[:count]], minlength=requests)
    return goodput(rows, chosen.tolist(), verify=verify, draft=draft, overhead=overhead)
