"""Acceptance by position in a chain of drafts, from a round trace: conditional and unconditional."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from specmath.metrics.trace import Trace, _field


@dataclass(frozen=True)
class PositionCounts:
    """How often each position of a chain was tested and accepted, position 1 first.

    Attributes
    ----------
    tested : (K,) rounds in which the draft at position k was compared with the target: all before it were accepted.
    accepted : (K,) rounds in which it was accepted.
    rounds : rounds that drafted at least one token.
    """

    tested: tuple[int, ...]
    accepted: tuple[int, ...]
    rounds: int


def truncated(one: object) -> bool:
    """Whether the text ended on an accepted draft, so that no correction or bonus token follows: |emitted| = accepted.

    Raises ValueError for a round that emits neither accepted nor accepted + 1 tokens, or accepts more than it drafted.

    >>> truncated({"drafted": [5, 7], "accepted": 1, "emitted": [5]})
    True
    """
    drafted, accepted, emitted = len(_field(one, "drafted")), _field(one, "accepted"), len(_field(one, "emitted"))
    if not 0 <= accepted <= drafted:
        raise ValueError(f"rounds: accepted is {accepted} of {drafted} drafts; allowed are 0 to {drafted}")
    if emitted not in (accepted, accepted + 1):
        raise ValueError(
            f"rounds: {emitted} emitted with {accepted} accepted; allowed are {accepted + 1}, or {accepted} where the "
            "text ends"
        )
    return emitted == accepted


def truncated_rounds(rounds: Trace) -> int:
    """Rounds that `truncated` is true of: they emit one token less than accepted + 1.

    >>> plain = {"drafted": [], "accepted": 0, "emitted": [6]}
    >>> truncated_rounds([{"drafted": [5, 7], "accepted": 1, "emitted": [5]}, plain])
    1
    """
    return sum(truncated(one) for one in rounds)


def position_counts(rounds: Trace) -> PositionCounts:
    """tested_k = #{drafted >= k, accepted >= k - 1, draft k was looked at}, accepted_k = #{accepted >= k}.

    A round whose text ended on its accepted draft k - 1 says nothing about draft k: there it is not tested.

    Raises ValueError for rounds that drafted a tree (several candidates at a position), and as `truncated`.

    >>> position_counts([
    ...     {"drafted": [5, 7], "accepted": 2, "emitted": [5, 7, 1]},
    ...     {"drafted": [5, 7], "accepted": 0, "emitted": [6]},
    ...     {"drafted": [5, 7], "accepted": 1, "emitted": [5]},  # 5 was a stop token
    ... ])
    PositionCounts(tested=(3, 1), accepted=(2, 1), rounds=3)
    """
    tested: list[int] = []
    accepted: list[int] = []
    drafting = 0
    for one in rounds:
        short, length, kept = truncated(one), len(_field(one, "drafted")), _field(one, "accepted")
        _check_chain(one, length)
        drafting += length > 0
        while len(tested) < length:
            tested.append(0)
            accepted.append(0)
        for place in range(kept):
            tested[place] += 1
            accepted[place] += 1
        if kept < length and not short:
            tested[kept] += 1
    return PositionCounts(tuple(tested), tuple(accepted), drafting)


def conditional_acceptance(rounds: Trace) -> list[float | None]:
    """P(draft k accepted | drafts 1 .. k - 1 accepted): accepted_k / tested_k, (K,); None where nothing was tested.

    >>> one = {"drafted": [5, 7], "accepted": 1, "emitted": [5, 8]}
    >>> conditional_acceptance([one, {**one, "accepted": 2, "emitted": [5, 7, 1]}])
    [1.0, 0.5]
    """
    counts = position_counts(rounds)
    return [kept / seen if seen else None for kept, seen in zip(counts.accepted, counts.tested, strict=True)]


def unconditional_acceptance(rounds: Trace) -> list[float]:
    """P(drafts 1 .. k accepted): accepted_k / rounds that drafted, (K,). Rounds that drafted less than k count, too.

    The "per-position acceptance rate" of vLLM's and llama.cpp's logs.

    >>> one = {"drafted": [5, 7], "accepted": 0, "emitted": [8]}
    >>> unconditional_acceptance([one, {**one, "accepted": 2, "emitted": [5, 7, 1]}])
    [0.5, 0.5]
    """
    counts = position_counts(rounds)
    return [kept / counts.rounds for kept in counts.accepted]


def token_acceptance(rounds: Trace) -> float | None:
    """Acceptance of a draft that is tested: sum accepted_k / sum tested_k; None if nothing was tested.

    The largest-likelihood estimate of leviathan2023fast's alpha where all positions share one acceptance.

    >>> token_acceptance([{"drafted": [5, 7, 8], "accepted": 1, "emitted": [5, 1]}])
    0.5
    """
    counts = position_counts(rounds)
    return sum(counts.accepted) / sum(counts.tested) if counts.tested and sum(counts.tested) else None


def accepted_length(rounds: Trace) -> float | None:
    """Mean accepted drafts per round that drafted, bonus left out: sum accepted / rounds; None without such rounds.

    >>> plain = {"drafted": [], "accepted": 0, "emitted": [6]}
    >>> accepted_length([{"drafted": [5], "accepted": 1, "emitted": [5, 1]}, plain])
    1.0
    """
    kept = [_field(one, "accepted") for one in rounds if len(_field(one, "drafted"))]
    return sum(kept) / len(kept) if kept else None


def discard_rate(rounds: Trace) -> float | None:
    """Drafted tokens that were not emitted, per emitted token: (drafted - accepted) / emitted; None without tokens.

    Source: huang2024specdecpp, Section 3.

    >>> discard_rate([{"drafted": [5, 7], "accepted": 1, "emitted": [5, 8]}])
    0.5
    """
    listed = list(rounds)
    emitted = sum(len(_field(one, "emitted")) for one in listed)
    lost = sum(len(_field(one, "drafted")) - _field(one, "accepted") for one in listed)
    return lost / emitted if emitted else None


def verification_rate(rounds: Trace) -> float | None:
    """Forward passes of the target per emitted token: target_calls / emitted = 1 / block efficiency.

    Source: huang2024specdecpp, Section 3.

    >>> verification_rate([{"emitted": [5, 8], "target_calls": 1}])
    0.5
    """
    listed = list(rounds)
    emitted = sum(len(_field(one, "emitted")) for one in listed)
    return sum(_field(one, "target_calls") for one in listed) / emitted if emitted else None


def by_request(rounds: Iterable[object]) -> dict[object, list[object]]:
    """The rounds of each text, by their field ``request``, in the order in which the texts begin.

    >>> list(by_request([{"request": 0}, {"request": 1}, {"request": 0}]))
    [0, 1]
    """
    found: dict[object, list[object]] = {}
    for one in rounds:
        found.setdefault(_field(one, "request"), []).append(one)
    return found


def _check_chain(one: object, length: int) -> None:
    parents = one.get("parents") if isinstance(one, dict) else getattr(one, "parents", None)
    if parents is not None and list(parents) != list(range(-1, length - 1)):
        raise ValueError(
            f"rounds: parents are {list(parents)}, a tree; allowed are chains, {list(range(-1, length - 1))}"
        )
