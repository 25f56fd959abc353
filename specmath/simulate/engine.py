"""The simulated server: requests arrive, enter the batch, are decoded round by round, and leave."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from specmath.arrays import check_count
from specmath.simulate.overlap import Dsi, Overlap, Overlapped, Pearl
from specmath.simulate.parallel import BlockByBlock, Servers
from specmath.simulate.requests import Request
from specmath.simulate.result import Result, Served, Span, Step
from specmath.simulate.schedules import Beside, Schedule, Serial
from specmath.simulate.text import Text
from specmath.simulate.timing import Timing
from specmath.simulate.trace import Round
from specmath.speed.check import cost, whole
from specmath.stopping.compiled import Compiled, compiled
from specmath.stopping.costs import Costs
from specmath.stopping.estimate import floated
from specmath.stopping.evaluate import HORIZON
from specmath.stopping.policies.fixed import Fixed
from specmath.stopping.policies.hindsight import Hindsight
from specmath.stopping.process import Process
from specmath.stopping.view import Policy
from specmath.trees.tree import DraftTree, children_of

ROUNDING = 1e-9


def simulate(
    plan: int | Policy | DraftTree,
    process: Process | None,
    timing: Timing | Costs | float,
    requests: int | Iterable[Request] = 1,
    *,
    batch: int = 1,
    overlap: Overlap | None = None,
    horizon: int = HORIZON,
    lag: int = 0,
    seed: int = 0,
    most_rounds: int | None = None,
) -> Result:
    """Decode all requests, event by event; the same result for the same arguments.

    A round drafts for every text of the batch, verifies all in one target pass, and commits; after it, finished texts
    leave and waiting ones enter, in the order of arrival. A text's draws depend on ``seed`` and on its number alone:
    batch, timing and arrivals change when a text is written, not what is written.

    Parameters
    ----------
    plan : a draft length, a policy of `specmath.stopping` (each text has its own), or a draft tree.
    process : where acceptance comes from. None with a tree, whose weights say it: below an accepted node at most one
        child is accepted, with its weight over the node's.
    timing : the clock; a number is the cost of a draft step in target steps.
    requests : the texts, or how many of 200 tokens that are all there at the beginning.
    batch : most texts in a round, >= 1.
    overlap : drafting beside verification, for draft lengths and ``batch`` 1; None: one after the other.
    horizon, lag : most tokens of a policy's round; drafted tokens whose acceptance it does not see yet.
    seed : of all draws.
    most_rounds : end after so many rounds of the server, texts unfinished; None: at the end of the last text.

    Raises
    ------
    ValueError
        For bad numbers, no requests, a policy without a process, a tree with one, trees whose children are accepted
        with more than probability one, 'hindsight', and overlap with what it does not allow.

    >>> from specmath.stopping import Constant
    >>> found = simulate(2, Constant(1.0), 0.25, 1)
    >>> found.trace[0].emitted, round(found.speedup, 3)  # 66 rounds of three tokens, one of two
    ((2, 2, 0), 1.995)
    """
    clock = _timing(timing)
    check_count("batch", batch)
    whole("horizon", horizon)
    whole("lag", lag)
    whole("seed", seed)
    if most_rounds is not None:
        check_count("most_rounds", most_rounds)
    texts = _texts(plan, process, requests, seed)
    schedule = _schedule(texts, clock, batch, overlap, horizon, lag)
    return _served(texts, schedule, clock, batch, most_rounds)


def _served(texts: list[Text], schedule: Schedule, timing: Timing, batch: int, most: int | None) -> Result:
    waiting = deque(sorted(texts, key=lambda text: (text.request.arrival, text.number)))
    live: list[Text] = []
    now, steps, trace = 0.0, [], []
    while (waiting or live) and (most is None or len(steps) < most):
        if not live:
            now = max(now, waiting[0].request.arrival)
        new = 0
        while waiting and len(live) < batch and waiting[0].request.arrival <= now:
            text = waiting.popleft()
            text.admitted = now
            new += text.request.prompt
            live.append(text)
        read = now + timing.prompts(new)
        done = schedule.step(live, now, read)
        prompts = (Span("target", now, read, new),) if read > now else ()
        names = tuple(text.number for text in live)
        steps.append(Step(now, done.end, names, sum(len(one.emitted) for one in done.records), prompts + done.spans))
        trace += done.records
        now = done.end
        for record, time in zip(done.records, done.times, strict=True):
            _note(texts[record.request], record, time)
        live = [text for text in live if text.ended is None]
    return Result(tuple(map(_account, texts)), tuple(steps), tuple(trace), timing.plain)


def _note(text: Text, record: Round, time: float) -> None:
    text.first = time if text.first is None else text.first
    if record.stop_reason:
        text.finished = time


def _account(text: Text) -> Served:
    times = text.request.arrival, text.admitted, text.first, text.finished
    return Served(text.number, *times, text.emitted, text.rounds, text.ended)


def _timing(timing: Any) -> Timing:
    if isinstance(timing, Costs):
        return Timing.of(timing)
    return timing if isinstance(timing, Timing) else Timing.steps(cost("timing", timing))


def _texts(plan: Any, process: Process | None, requests: int | Iterable[Request], seed: int) -> list[Text]:
    listed = list(requests) if isinstance(requests, Iterable) else [Request()] * check_count("requests", requests)
    if not listed:
        raise ValueError("requests is empty; allowed are one or more")
    known: dict[int, Compiled] = {}
    texts = []
    for number, (one, own) in enumerate(zip(listed, np.random.SeedSequence(seed).spawn(len(listed)), strict=True)):
        if not isinstance(one, Request):
            raise ValueError(f"requests[{number}] is a {type(one).__name__}; allowed are Request objects")
        chosen, source = _plan(plan if one.policy is None else one.policy), one.process or process
        if isinstance(chosen, DraftTree) != (source is None):
            what = "None: the weights are the acceptance" if source is not None else "an acceptance process"
            raise ValueError(f"process of request {number} does not fit its plan; allowed is {what}")
        if source is not None and id(source) not in known:
            known[id(source)] = floated(compiled(source))
        texts.append(Text(number, one, None if source is None else known[id(source)], chosen, own))
    return texts


def _plan(plan: Any) -> Policy | DraftTree:
    if isinstance(plan, DraftTree):
        for node, below in children_of(plan.parents).items():
            above = 1.0 if node < 0 else float(plan.weights[node])
            if sum(float(plan.weights[child]) for child in below) > above + ROUNDING:
                raise ValueError(f"plan: the children of node {node} weigh more than it; allowed is at most its weight")
        return plan
    if isinstance(plan, Hindsight):
        raise ValueError("plan is 'hindsight', which knows the future; allowed are evaluate() and estimate()")
    return plan if hasattr(plan, "decide") else Fixed(whole("plan", plan))


def _schedule(
    texts: list[Text], timing: Timing, batch: int, overlap: Overlap | None, horizon: int, lag: int
) -> Schedule:
    if overlap is None:
        return Serial(timing, horizon, lag)
    if batch != 1:
        raise ValueError(f"batch is {batch}; allowed beside overlap is 1")
    policy = texts[0].policy
    if not isinstance(policy, Fixed) or any(text.policy != policy for text in texts) or not policy.draft_length:
        raise ValueError("plan: allowed beside overlap is one draft length >= 1 for all requests")
    if isinstance(overlap, Overlapped):
        return Beside(timing, policy.draft_length, overlap.early, overlap.hit, overlap.transfer)
    if isinstance(overlap, Pearl):
        return BlockByBlock(timing, policy.draft_length)
    if isinstance(overlap, Dsi):
        if timing.overhead:
            raise ValueError(
                f"overhead is {timing.overhead}; allowed with Dsi() is 0: its servers have no common round"
            )
        return Servers(timing, policy.draft_length, overlap.targets)
    raise ValueError(f"overlap is {overlap!r}; allowed are Pearl(), Dsi(), Overlapped(...) and None")
