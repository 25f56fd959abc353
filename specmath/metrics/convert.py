"""From one metric to another: bonus or not, conditional or not, rates to lengths, and means over requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from specmath.arrays import check_count, check_number
from specmath.metrics.position import by_request
from specmath.metrics.trace import Trace, emitted_tokens

_HIGHEST = math.nextafter(math.inf, 0.0)


def with_bonus(accepted_length: float) -> float:
    """Emitted tokens per round from accepted drafts per round: 1 + accepted_length, rounds that end a text aside.

    >>> with_bonus(1.5)
    2.5
    """
    return 1 + check_number("accepted_length", accepted_length, 0.0, _HIGHEST, "finite numbers >= 0")


def without_bonus(tokens: float) -> float:
    """Accepted drafts per round from emitted tokens per round: tokens - 1, rounds that end a text aside.

    >>> without_bonus(2.5)
    1.5
    """
    return check_number("tokens", tokens, 1.0, _HIGHEST, "finite numbers >= 1") - 1


def survival_from_conditional(conditional: Sequence[float]) -> list[float]:
    """S_k = product of the first k conditional acceptances, (K,): what logs of equal draft lengths call per position.

    >>> survival_from_conditional([0.8, 0.5])
    [0.8, 0.4]
    """
    found, product = [], 1.0
    for place, rate in enumerate(conditional):
        product *= check_number(f"conditional[{place}]", rate, 0.0, 1.0, "numbers from 0 to 1")
        found.append(product)
    return found


def conditional_from_survival(survival: Sequence[float]) -> list[float | None]:
    """P(draft k accepted | all before it) = S_k / S_(k - 1), (K,); None behind a position that is never reached.

    Raises ValueError for curves that rise or leave [0, 1].

    >>> conditional_from_survival([0.8, 0.4, 0.0, 0.0])
    [0.8, 0.5, 0.0, None]
    """
    found, before = [], 1.0
    for place, here in enumerate(survival):
        allowed = f"numbers from 0 to {before:g}, as a survival never rises"
        value = check_number(f"survival[{place}]", here, 0.0, before, allowed)
        found.append(value / before if before else None)
        before = value
    return found


def tokens_from_survival(survival: Sequence[float]) -> float:
    """Block efficiency of a chain, bonus included: 1 + S_1 + .. + S_K.

    >>> tokens_from_survival([0.5, 0.25])
    1.75
    """
    conditional_from_survival(survival)  # its checks
    return 1 + math.fsum(survival)


def tokens_from_rate(acceptance_rate: float, draft_length: int) -> float:
    """Block efficiency, bonus included, from accepted / drafted of rounds of one draft length: 1 + rate L.

    >>> tokens_from_rate(0.5, 4)
    3.0
    """
    rate = check_number("acceptance_rate", acceptance_rate, 0.0, 1.0, "numbers from 0 to 1")
    return 1 + rate * check_count("draft_length", draft_length)


def rate_from_tokens(tokens: float, draft_length: int) -> float:
    """accepted / drafted from block efficiency, bonus included, of rounds of one draft length: (tokens - 1) / L.

    >>> rate_from_tokens(3.0, 4)
    0.5
    """
    length = check_count("draft_length", draft_length)
    return (check_number("tokens", tokens, 1.0, 1.0 + length, f"numbers from 1 to {1 + length}") - 1) / length


def acceptance_from_tokens(tokens: float, draft_length: int) -> float:
    """The acceptance a of a tested draft, equal at all positions, with 1 + a + .. + a^L = tokens; by bisection.

    Not accepted / drafted, which is smaller: drafts behind a rejection are never tested.

    >>> round(acceptance_from_tokens(3.3616, 4), 9)  # (1 - 0.8^5) / (1 - 0.8)
    0.8
    """
    length = check_count("draft_length", draft_length)
    goal = check_number("tokens", tokens, 1.0, 1.0 + length, f"numbers from 1 to {1 + length}")
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.fsum(middle**k for k in range(length + 1)) < goal else (low, middle)
    return high


def mbsu(tokens: float, draft_length: int, size_ratio: float) -> float:
    """Memory-bound speed-up: tokens / (c L + 1), c = parameters of the draft / parameters of the target.

    ``tokens`` is block efficiency, bonus included. The speed-up of a machine whose time is that of reading weights.

    Source: goel2024direct.

    >>> mbsu(3.0, 4, 0.05)
    2.5
    """
    ratio = check_number("size_ratio", size_ratio, 0.0, _HIGHEST, "finite numbers >= 0")
    goal = check_number("tokens", tokens, 1.0, _HIGHEST, "finite numbers >= 1")
    return goal / (ratio * check_count("draft_length", draft_length) + 1)


def request_mean(rounds: Trace, metric: Callable[[Any], float | None]) -> float | None:
    """Mean of a metric over requests, each counted once: (1/R) sum_r metric(rounds of r); None if none has a value.

    A metric of all rounds is a ratio of sums and weighs long requests more; the two differ, so say which it is.
    Requests for which the metric is None are left out.

    >>> from specmath.metrics import acceptance_rate
    >>> short = {"request": 0, "drafted": [5], "accepted": 1, "emitted": [5, 6]}
    >>> long = [{"request": 1, "drafted": [5], "accepted": 0, "emitted": [6]}] * 3
    >>> request_mean([short, *long], acceptance_rate), acceptance_rate([short, *long])
    (0.5, 0.25)
    """
    found = [value for one in by_request(rounds).values() if (value := metric(one)) is not None]
    return math.fsum(found) / len(found) if found else None


def token_mean(rounds: Trace, metric: Callable[[Any], float | None]) -> float | None:
    """Mean of a metric over emitted tokens, each with its request's value: sum_r e_r metric_r / sum_r e_r, e_r tokens.

    Requests for which the metric is None are left out; None if none has a value.

    >>> from specmath.metrics import acceptance_rate
    >>> short = {"request": 0, "drafted": [5], "accepted": 1, "emitted": [5, 6]}
    >>> long = [{"request": 1, "drafted": [5], "accepted": 0, "emitted": [6]}] * 2
    >>> token_mean([short, *long], acceptance_rate)
    0.5
    """
    pairs = [(emitted_tokens(one), metric(one)) for one in by_request(rounds).values()]
    known = [(weight, value) for weight, value in pairs if value is not None]
    total = sum(weight for weight, _ in known)
    return math.fsum(weight * value for weight, value in known) / total if total else None
