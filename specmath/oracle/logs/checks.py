"""What a log alone tells: counts and rounds that no correct decoder writes, and acceptance above the optimum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from specmath.oracle.logs.excess import FALSE_ALARM, TwoSided, above_optimum, against_tests
from specmath.oracle.logs.findings import Finding, LogReport
from specmath.oracle.logs.followed import Followed
from specmath.oracle.logs.laws import judge_laws
from specmath.oracle.logs.rounds import Logged, read

Laws = Sequence[tuple[ArrayLike, ArrayLike] | None]
"""For every round the target's and the draft's law (V,) of its first token, None where they were not logged."""


def check_counts(
    accepted: ArrayLike,
    tested: ArrayLike,
    *,
    rounds: int | None = None,
    emitted: int | None = None,
    bound: ArrayLike | None = None,
    false_alarm: float = FALSE_ALARM,
) -> LogReport:
    """Check counts per position, as serving engines report them.

    A draft is accepted only if all before it are, so the counts fall with the position; a round emits its accepted
    drafts and at most one token more.

    Parameters
    ----------
    accepted : (L,) rounds in which the draft at this position, and so all before it, were accepted.
    tested : rounds that drafted at least this many tokens, (L,), or one number for all positions.
    rounds, emitted : draft-then-verify steps and emitted tokens, where they were logged.
    bound : the largest acceptance of the first position that a lossless rule can have in any of these rounds
        (`specmath.optimum`(...).upper); the mean over rounds, where their contexts were fixed beforehand.
    false_alarm : of the comparison with ``bound``, which is a test; all other findings are certain.

    Raises ValueError for arguments that are no counts.

    >>> print(check_counts([730, 760], 1000, rounds=1000, emitted=2600))
    1000 rounds, 2 findings
      impossible: position 1 was accepted in 760 rounds, position 0 before it in 730; allowed is at most that [falling]
      impossible: 2600 tokens from 1000 rounds with 1490 accepted drafts; allowed are 1000 to 2490 [emitted]
    >>> check_counts([830], 1000, bound=0.728).findings[0].check
    'optimum'
    """
    taken = _counts("accepted", accepted)
    tried = _counts("tested", tested)
    if tried.ndim == 0:
        tried = np.full_like(taken, tried)
    if taken.ndim != 1 or not taken.size or taken.shape != tried.shape:
        raise ValueError(f"accepted: shape {taken.shape}, tested: {tried.shape}; allowed is one axis of one length")
    found = []
    for place in range(len(taken)):
        if taken[place] > tried[place]:
            message = f"position {place} was accepted {taken[place]} times and drafted {tried[place]} times"
            found.append(Finding("accepted", "impossible", message, place))
        for name, counts, word in (("falling", taken, "accepted"), ("drafted", tried, "drafted")):
            if place and counts[place] > counts[place - 1]:
                message = (
                    f"position {place} was {word} in {counts[place]} rounds, position {place - 1} before it in "
                    f"{counts[place - 1]}; allowed is at most that"
                )
                found.append(Finding(name, "impossible", message, place))
    if rounds is not None and tried[0] > rounds:
        found.append(Finding("rounds", "impossible", f"{tried[0]} of {rounds} rounds drafted a token"))
    if rounds is not None and emitted is not None:
        most = rounds + int(taken.sum())
        if not rounds <= emitted <= most:
            message = (
                f"{emitted} tokens from {rounds} rounds with {taken.sum()} accepted drafts; allowed are {rounds} to "
                f"{most}"
            )
            found.append(Finding("emitted", "impossible", message))
    excess = None
    if bound is not None and taken[0] <= tried[0]:
        excess = above_optimum(taken[0], tried[0], bound, false_alarm=false_alarm)
        if excess.proof:
            found.append(Finding("optimum", "biased", f"position 0: {excess}", 0))
    return LogReport(tuple(found), int(tried[0]) if rounds is None else rounds, excess)


def _counts(name: str, values: ArrayLike) -> Any:
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or (array < 0).any():
        raise ValueError(f"{name} is {values!r}; allowed are whole numbers >= 0")
    return array.astype(np.int64)


def check_rounds(
    rounds: Iterable[Mapping[str, Any] | Any],
    *,
    laws: Laws | None = None,
    drafts: str = "iid",
    rule: str | None = None,
    stop: Iterable[int] = (),
    false_alarm: float = FALSE_ALARM,
) -> LogReport:
    """Check a trace of rounds: everything that is certain, and, with laws, what statistics can say.

    A round needs ``drafted``, ``accepted`` and ``emitted``; the other fields of ``round.schema.json`` are used where
    they are present. Certain: counts, the accepted path, tokens of probability zero, positions, nothing after a stop.
    With ``laws``: acceptance of the first position above the optimum, whatever the rule; first drafts that do not
    follow the draft's law; first emitted tokens that do not follow the target's. Deeper positions are left out: a rule
    that judges the chain as a whole may accept there more than the optimum of that position.

    Parameters
    ----------
    rounds : mappings, or objects with attributes; texts may follow one another or be told apart by ``request``.
    laws : one entry per round, see `Laws`; after temperature, top-k and top-p.
    drafts : the law that drew the candidates (`specmath.draft_laws.names()`).
    rule : "token_wise" if each draft x of a chain is accepted with probability min(1, p(x)/q(x)), "sampler_match" if
        with p(x); their accept tests are then checked from ``target_logprobs`` and ``draft_logprobs``, both ways.
    stop : stop tokens.
    false_alarm : per statistical check.

    Raises ValueError for rounds without a field that is needed, and arguments that do not fit.

    >>> print(check_rounds([{"drafted": [5, 7], "accepted": 1, "emitted": [5, 8, 9]}]))
    1 rounds, 1 findings
      impossible: round 0 emitted 3 tokens with 1 accepted; allowed is 2, or 1 where the text ends [emitted]
    """
    from specmath import draft_laws

    draft_laws.get(drafts)
    if rule not in (None, "token_wise", "sampler_match"):
        raise ValueError(f"rule is {rule!r}; allowed are None, 'token_wise' and 'sampler_match'")
    log = [read(one, place) for place, one in enumerate(rounds)]
    if laws is not None and len(laws) != len(log):
        raise ValueError(f"laws has {len(laws)} entries for {len(log)} rounds; allowed is one each")
    found = [finding for logged in log for finding in logged.alone(frozenset(stop))]
    found += _across(log)
    excess, statistics = None, list[tuple[str, Followed | TwoSided]]()
    if laws is not None:
        excess, followed = judge_laws(log, laws, drafts, false_alarm)
        statistics += followed
        if excess is not None and excess.proof:
            found.append(Finding("optimum", "biased", f"first position: {excess}"))
    tests = list(_tests(log, rule)) if rule is not None else []
    if tests:
        statistics.append(("accept_test", against_tests(*zip(*tests, strict=True), false_alarm=false_alarm)))
    for name, counted in statistics:
        if not counted.word:
            continue
        if isinstance(counted, Followed):
            what = (
                "first drafts do not follow the logged draft law"
                if name == "draft_law"
                else ("first emitted tokens do not follow the logged target law")
            )
            message = f"{what}; closest: {counted.word} (p <= {math.exp(-counted.log_e_value):.2g})"
        else:
            message = f"drafts pass the accept test of {rule!r} {counted.word}: {counted.happened:.0f} times, " + (
                f"{counted.expected:.1f} expected"
            )
        found.append(Finding(name, "biased", message))
    return LogReport(tuple(found), len(log), excess, tuple(statistics))


def _across(log: Sequence[Logged]) -> Iterator[Finding]:
    """What rounds of one text say about each other."""
    last: dict[int, Logged] = {}
    for logged in log:
        before = last.get(logged.request)
        if before is not None:
            if before.stop_reason is not None:
                message = f"round {logged.place} follows the end ({before.stop_reason}) of text {logged.request}"
                yield Finding("after_stop", "impossible", message, logged.place)
            if None not in (before.position, logged.position):
                reached = before.position + len(before.emitted)  # type: ignore[operator]
                if logged.position != reached:
                    message = f"round {logged.place} begins at {logged.position}, the one before ends at {reached}"
                    yield Finding("position", "inconsistent", message, logged.place)
            if not before.ended_known and len(before.emitted) == before.accepted:
                message = f"round {before.place} emitted its {before.accepted} drafts alone, and the text goes on"
                yield Finding("emitted", "impossible", message, before.place)
        last[logged.request] = logged


def _tests(log: Sequence[Logged], rule: str) -> Iterator[tuple[bool, float]]:
    """(accepted, probability) of every accept test of the chains in the log."""
    for logged in log:
        target, draft = logged.target_logprobs, logged.draft_logprobs
        if not logged.chain or target is None or draft is None:
            continue
        if logged.accepted > len(logged.drafted):
            continue
        for place in range(min(logged.accepted + 1, len(logged.drafted))):
            scale = draft[place] if rule == "token_wise" else 0.0
            if scale == -math.inf:
                continue
            if len(logged.emitted) == logged.accepted and place == logged.accepted:
                continue  # the text ended before this test
            yield place < logged.accepted, math.exp(min(0.0, target[place] - scale))
