"""Definitions of the metrics over a round trace.

A round is a mapping with the fields of ``specmath/schemas/round.schema.json`` or an object with attributes of the same
names. Rounds of several texts may be put together: every metric is a sum over rounds, or a ratio of two such sums (not
a mean of ratios).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Trace = Iterable[Mapping[str, Any] | Any]


def _field(one: Mapping[str, Any] | Any, name: str) -> Any:
    try:
        return one[name] if isinstance(one, Mapping) else getattr(one, name)
    except (KeyError, AttributeError):
        raise ValueError(f"rounds: a {type(one).__name__} without the field {name!r} is no round record") from None


def emitted_tokens(rounds: Trace) -> int:
    """Tokens added to the text: sum of ``len(emitted)``, in tokens.

    >>> emitted_tokens([{"emitted": [3, 4]}, {"emitted": [5]}])
    3
    """
    return sum(len(_field(one, "emitted")) for one in rounds)


def drafted_tokens(rounds: Trace) -> int:
    """Tokens proposed by the draft, used or not: sum of ``len(drafted)``, in tokens.

    >>> drafted_tokens([{"drafted": [3, 4]}, {"drafted": []}])
    2
    """
    return sum(len(_field(one, "drafted")) for one in rounds)


def accepted_tokens(rounds: Trace) -> int:
    """Drafted tokens that were emitted: sum of ``accepted``, in tokens. Drafts behind a stop token do not count.

    >>> accepted_tokens([{"accepted": 2}, {"accepted": 0}])
    2
    """
    return sum(_field(one, "accepted") for one in rounds)


def target_calls(rounds: Trace) -> int:
    """Forward passes of the target, the one that also reads the prompt included.

    >>> target_calls([{"target_calls": 1}, {"target_calls": 1}])
    2
    """
    return sum(_field(one, "target_calls") for one in rounds)


def draft_calls(rounds: Trace) -> int:
    """Forward passes of the draft, the one that also reads the prompt included.

    >>> draft_calls([{"draft_calls": 4}, {"draft_calls": 0}])
    4
    """
    return sum(_field(one, "draft_calls") for one in rounds)


def seconds(rounds: Trace) -> float:
    """Wall-clock time inside the rounds; what the reader of a stream does between them is not counted.

    >>> seconds([{"seconds": 0.25}, {"seconds": 0.5}])
    0.75
    """
    return float(sum(_field(one, "seconds") for one in rounds))


def acceptance_rate(rounds: Trace) -> float | None:
    """`accepted_tokens` / `drafted_tokens`, from 0 to 1; None if nothing was drafted.

    Drafts after the first rejection count as drafted, so for a chain of length L this is below the acceptance of a
    single token: the share of draft work that ended in the text.

    >>> acceptance_rate([{"drafted": [3, 4, 5], "accepted": 1}, {"drafted": [6], "accepted": 1}])
    0.5
    """
    listed = list(rounds)
    drafted = drafted_tokens(listed)
    return accepted_tokens(listed) / drafted if drafted else None


def block_efficiency(rounds: Trace) -> float | None:
    """`emitted_tokens` / `target_calls`, in tokens per call; None if there was no call.

    No round is left out: the first one, whose call also reads the prompt, emits tokens like any other, and the last
    one counts although the end of the text may cut it short. Autoregressive decoding gives exactly 1, a chain of
    length L at most L + 1.

    >>> block_efficiency([{"emitted": [3, 4], "target_calls": 1}, {"emitted": [5], "target_calls": 1}])
    1.5
    """
    listed = list(rounds)
    calls = target_calls(listed)
    return emitted_tokens(listed) / calls if calls else None


def summary(rounds: Trace) -> dict[str, int | float | None]:
    """All metrics of a trace by name, and ``rounds``, their number.

    >>> one = {"drafted": [5], "accepted": 1, "emitted": [5, 8], "target_calls": 1, "draft_calls": 1, "seconds": 0.5}
    >>> summary([one, one])["block_efficiency"]
    2.0
    """
    listed = list(rounds)
    return {
        "rounds": len(listed),
        "emitted_tokens": emitted_tokens(listed),
        "drafted_tokens": drafted_tokens(listed),
        "accepted_tokens": accepted_tokens(listed),
        "target_calls": target_calls(listed),
        "draft_calls": draft_calls(listed),
        "acceptance_rate": acceptance_rate(listed),
        "block_efficiency": block_efficiency(listed),
        "seconds": seconds(listed),
    }
