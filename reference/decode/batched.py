"""Many texts at once: their rounds run side by side, and what they want read goes into one forward pass.

Rows have nothing in common but the pass: prompts, lengths, drafters, rules, temperatures, seeds and stop tokens are
their own. A row that ends gives its place to the next request; a row that fails does so alone. With an arithmetic whose
bits do not depend on the layout every row's text is the one that it would have alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from reference.decode.loop import Steps, Stream
from reference.decode.options import check_count
from reference.decode.request import Request
from reference.decode.trace import Decoded, Failure, Round, collect
from reference.models.protocol import Cache, LanguageModel, Read, State
from specmath.arrays import Array


@dataclass(frozen=True)
class Event:
    """What happened to a request: its ticket (from `Batch.submit`) and the committed round, or why it failed."""

    ticket: int
    outcome: Round | Failure


class Batch:
    """Continuous batching: at most ``rows`` texts in work, the others wait.

    >>> from reference.decode import Options
    >>> from reference.models.table import TableModel
    >>> coins = TableModel(lambda prefix: [0.5, 0.5], 2)
    >>> batch = Batch(coins, rows=2)
    >>> batch.submit(Request(prompt=[0], options=Options(max_tokens=1)))
    0
    >>> [event.outcome.stop_reason for event in batch.step()], batch.busy
    (['length'], False)
    """

    def __init__(self, target: LanguageModel, *, rows: int = 8) -> None:
        check_count("rows", rows)
        self._target, self._rows = target, rows
        self._targets: Cache | None = None
        self._drafts: dict[int, tuple[LanguageModel, list[Cache]]] = {}  # by model, kept alive with its caches
        self._waiting: deque[tuple[int, Request]] = deque()
        self._live: dict[int, tuple[Request, Stream]] = {}
        self._users: dict[int, set[int]] = {}  # tickets in work by the draft model that they opened
        self._tickets = self._admitting = 0

    def submit(self, request: Request) -> int:
        """Queue a request; its ticket. ValueError for one that cannot be decoded, see `decode.stream`."""
        request.check(self._target)
        self._waiting.append((self._tickets, request))
        self._tickets += 1
        return self._tickets - 1

    @property
    def busy(self) -> bool:
        """Whether any request is in work or waits."""
        return bool(self._live or self._waiting)

    def step(self) -> list[Event]:
        """One round of every row, after waiting requests have taken the empty rows."""
        begun, events = time.perf_counter(), self._admit()
        rounds = {ticket: stream.round() for ticket, (_, stream) in self._live.items()}
        outcomes = _run(rounds, {ticket: stream.target for ticket, (_, stream) in self._live.items()})
        share = (time.perf_counter() - begun) / max(len(outcomes), 1)  # so that a batch's seconds add up
        events += [Event(ticket, self._settle(ticket, outcome, share)) for ticket, outcome in outcomes.items()]
        return sorted(events, key=lambda event: event.ticket)

    def _admit(self) -> list[Event]:
        """Start waiting requests in the empty rows; those that could not be started."""
        failed = []
        while self._waiting and len(self._live) < self._rows:
            self._admitting, request = self._waiting.popleft()
            ticket = self._admitting
            try:
                stream = Stream(self._target, request, start=self._start, open=self._open)
            except Exception as error:  # a drafter's, since the request itself was checked
                self._forget(ticket)
                failed.append(Event(ticket, _failure(request, error)))
            else:
                self._live[ticket] = request, stream
        return failed

    def preempt(self, ticket: int) -> Request:
        """Take a request out of work; `submit` what comes back to go on with it. KeyError if it is not in work."""
        request, stream = self._live.pop(ticket)
        saved = stream.save()
        self._leave(ticket, stream)
        return replace(request, saved=saved)

    def _leave(self, ticket: int, stream: Stream) -> None:
        """Close a stream, and let go of what it used."""
        with suppress(Exception):  # a drafter's, and the text is done
            stream.close()
        self._forget(ticket)

    def _forget(self, ticket: int) -> None:
        """Drop the caches of drafts that nobody else uses."""
        for model, users in list(self._users.items()):
            users.discard(ticket)
            if not users:
                del self._users[model], self._drafts[model]

    def _start(self) -> State:
        if self._targets is None:
            self._targets = self._target.cache(self._rows)
        return self._targets.start()

    def _open(self, model: LanguageModel) -> State:
        """In a cache that no target's state is in: a target that drafts for itself has both, and is read in turn."""
        self._users.setdefault(id(model), set()).add(self._admitting)
        caches = self._drafts.setdefault(id(model), (model, []))[1]
        for cache in caches:
            try:
                return cache.start()
            except ValueError:  # full: drafters may open several states for a text
                continue
        caches.append(model.cache(self._rows))
        return caches[-1].start()

    def _settle(self, ticket: int, outcome: Round | Exception, share: float) -> Round | Failure:
        request, stream = self._live[ticket]
        if isinstance(outcome, Round) and not outcome.stop_reason:
            return replace(outcome, seconds=share)
        del self._live[ticket]
        self._leave(ticket, stream)
        return replace(outcome, seconds=share) if isinstance(outcome, Round) else _failure(request, outcome)


def _failure(request: Request, error: Exception) -> Failure:
    said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return Failure(request=request.resolved().options.request, error=said)


def _run(rounds: dict[int, Steps], targets: dict[int, State]) -> dict[int, Round | Exception]:
    """Drive all rounds to their end. Reads of drafts are served until every row waits for the target, which then reads
    all rows in one pass."""
    ended: dict[int, Round | Exception] = {}
    wanted: dict[int, Read] = {}

    def go_on(ticket: int, logits: Array | Exception | None) -> None:
        steps = rounds[ticket]
        try:
            read = steps.throw(logits) if isinstance(logits, Exception) else steps.send(logits)  # type: ignore[arg-type]
            if not isinstance(read, Read) or getattr(read.state, "cache", None) is None:
                raise ValueError(f"drafter: it asked for {read!r}; allowed is a Read of a state that is open")
            wanted[ticket] = read
        except StopIteration as end:
            ended[ticket] = end.value
        except Exception as error:  # this row's, whatever it is: the others go on
            ended[ticket] = error

    for ticket in rounds:
        go_on(ticket, None)
    while wanted:
        drafts = {ticket: read for ticket, read in wanted.items() if read.state is not targets[ticket]}
        now = drafts or dict(wanted)
        for ticket in now:
            del wanted[ticket]
        for ticket, logits in _serve(now).items():
            go_on(ticket, logits)
    return ended


def _serve(reads: dict[int, Read]) -> dict[int, Array | Exception]:
    """One pass for each cache that is asked. If a pass is refused its reads are served one by one, so that the error
    reaches the row that caused it."""
    by_cache: dict[int, dict[int, Read]] = {}
    for ticket, read in reads.items():
        by_cache.setdefault(id(read.state.cache), {})[ticket] = read
    served: dict[int, Array | Exception] = {}
    for group in by_cache.values():
        cache = next(iter(group.values())).state.cache
        before = {ticket: (read.state.length, read.state.nodes) for ticket, read in group.items()}
        try:
            served |= zip(group, cache.extend(list(group.values())), strict=True)
        except Exception as refused:
            for ticket, read in group.items():
                if (read.state.length, read.state.nodes) != before[ticket]:  # half read: there is no second time
                    served[ticket] = refused
                    continue
                try:
                    served[ticket] = cache.extend([read])[0]
                except Exception as error:
                    served[ticket] = error
    return served


def batched_events(target: LanguageModel, requests: Iterable[Request], *, rows: int = 8) -> Iterator[Event]:
    """Decode requests with ``rows`` in work at a time; every round as soon as it is committed. Tickets count the
    requests from 0. All requests are checked before the first is decoded."""
    batch = Batch(target, rows=rows)
    for request in requests:
        batch.submit(request)
    return _events(batch)


def _events(batch: Batch) -> Iterator[Event]:
    while batch.busy:
        yield from batch.step()


def batched(target: LanguageModel, requests: Iterable[Request], *, rows: int = 8) -> list[Decoded | Failure]:
    """Decode all requests, ``rows`` at a time; the outcome of each, in their order.

    ``seconds`` of a round is its share of the batch's time. Raises ValueError naming the request that cannot be decoded
    (see `decode.stream`) before any work; a request that fails while it runs ends as a `Failure`, and only it.

    >>> from reference.decode import Options
    >>> from reference.models.table import TableModel
    >>> coins = TableModel(lambda prefix: [0.5, 0.5], 2)
    >>> requests = [Request(prompt=[0], options=Options(max_tokens=4, seed=seed)) for seed in range(3)]
    >>> [len(one.tokens) for one in batched(coins, requests, rows=2)]
    [4, 4, 4]
    """
    listed = list(requests)
    for index, request in enumerate(listed):
        try:
            request.check(target)
        except ValueError as error:
            raise ValueError(f"requests[{index}]: {error}") from None
    rounds: list[list[Round]] = [[] for _ in listed]
    failed: dict[int, Failure] = {}
    for event in batched_events(target, listed, rows=rows):
        if isinstance(event.outcome, Failure):
            failed[event.ticket] = replace(event.outcome, rounds=tuple(rounds[event.ticket]))
        else:
            rounds[event.ticket].append(event.outcome)
    return [failed[i] if i in failed else collect(own) for i, own in enumerate(rounds)]
