"""Batches on table models: every row's text is the one that it has alone, whatever the others are and do."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.harness import table, timeless
from proofs_tests.decode.zoo import COUPLED, REJECTION
from reference import decode, drafters
from reference.decode import Batch, Decoded, Request, batched
from reference.decode.text import Text
from reference.drafters import Task
from reference.models.protocol import Read
from reference.models.table import TableCache, TableModel
from specmath import metrics

SIZE = 4
KINDS = [(name, make, None) for name, make in COUPLED.items()]
KINDS += [(name, make, rule or "rejection") for name, (make, rule) in REJECTION.items()]
KINDS += [("autoregressive", lambda draft: None, None), ("autoregressive", lambda draft: None, "rejection")]


class Counted(TableModel):
    """A model that writes down the passes of all its caches: how many rows each served."""

    def __init__(self, model: TableModel) -> None:
        super().__init__(model.law, model.vocabulary_size, context_length=model.context_length)
        self.passes: list[int] = []

    def cache(self, rows: int = 1) -> TableCache:
        passes = self.passes

        class Cache(TableCache):
            def extend(self, reads):
                found = super().extend(reads)
                passes.append(len(reads))
                return found

        return Cache(self, rows)


TARGET, DRAFT = table(3, SIZE, context_length=40), table(5, SIZE)


@st.composite
def requests(draw: st.DrawFn, draft: TableModel = DRAFT) -> Request:
    """Any prompt, options, drafter and rule; now and then the target drafts for itself."""
    _, make, rule = draw(st.sampled_from(KINDS))
    options = decode.Options(
        max_tokens=draw(st.integers(1, 14)),
        temperature=draw(st.sampled_from([0.0, 0.7, 1.0])),
        top_k=draw(st.sampled_from([None, 2])),
        seed=draw(st.integers(0, 3)),
        request=draw(st.integers(0, 3)),
        stop=frozenset(draw(st.sets(st.integers(0, SIZE - 1), max_size=1))),
        randomness=None if rule is None else "rejection",
    )
    prompt = draw(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=6))
    drafter = make(draw(st.sampled_from([draft, draft, draft, TARGET])))
    return Request(prompt=prompt, options=options, drafter=drafter, rule=None if rule == "rejection" else rule)


def alone(request: Request, target: TableModel = TARGET) -> Decoded:
    stream = decode.stream(target, request.prompt, drafter=request.drafter, rule=request.rule, options=request.options)
    return timeless(decode.collect(stream))


def together(found: Sequence[Decoded | decode.Failure]) -> list:
    return [timeless(one) if isinstance(one, Decoded) else one for one in found]


@settings(max_examples=25)
@given(listed=st.lists(requests(), min_size=1, max_size=18), rows=st.integers(1, 17), data=st.data())
def test_every_row_is_what_it_is_alone(listed, rows, data):
    """More requests than rows: they join as others leave. In any order."""
    want = [alone(request) for request in listed]
    assert together(batched(TARGET, listed, rows=rows)) == want
    order = data.draw(st.permutations(range(len(listed))))
    permuted = together(batched(TARGET, [listed[i] for i in order], rows=rows))
    assert permuted == [want[i] for i in order]


def test_rows_that_share_their_text_are_caught():
    """Planted: the batch's tokens are one list. The comparison above sees it."""
    listed = [Request(prompt=[0], options=decode.Options(max_tokens=6, seed=seed)) for seed in range(3)]
    shared: list[int] = [0]

    class Shared(Text):
        def __init__(self, *arguments, **more) -> None:
            super().__init__(*arguments, **more)
            self.tokens = shared

    want = [alone(request) for request in listed]
    from reference.decode import loop

    with mock.patch.object(loop, "Text", Shared):
        assert together(batched(TARGET, listed)) != want


@settings(max_examples=20)
@given(listed=st.lists(requests(), min_size=1, max_size=8), data=st.data())
def test_preempted_requests_go_on_where_they_were(listed, data):
    """Rows leave in the middle of their text, wait as JSON would, and come back, other rows having come in between."""
    want = [alone(request) for request in listed]
    batch = Batch(TARGET, rows=3)
    whose = {batch.submit(request): number for number, request in enumerate(listed)}
    rounds: list[list[decode.Round]] = [[] for _ in listed]
    for _ in range(400):
        if not batch.busy:
            break
        running = set()
        for event in batch.step():
            assert isinstance(event.outcome, decode.Round)
            rounds[whose[event.ticket]].append(event.outcome)
            if event.outcome.stop_reason is None:
                running.add(event.ticket)
        if running and data.draw(st.booleans()):
            ticket = data.draw(st.sampled_from(sorted(running)))
            request = batch.preempt(ticket)
            assert request.saved is not None
            stored = decode.Saved.from_json(request.saved.as_json())
            whose[batch.submit(dataclasses.replace(request, saved=stored))] = whose[ticket]
    assert not batch.busy
    assert [timeless(decode.collect(own)) for own in rounds] == want


def test_one_pass_of_the_target_for_a_step_and_one_of_the_draft_for_a_level():
    """Whatever the drafters: chains, trees and none side by side, more requests than rows."""
    target, draft = Counted(table(3, SIZE)), Counted(table(5, SIZE))
    listed = [
        Request(prompt=[n % SIZE], options=decode.Options(max_tokens=9 + n % 5, seed=n), drafter=KINDS[n][1](draft))
        for n in range(len(KINDS))
        if KINDS[n][2] is None
    ]
    batch = Batch(target, rows=5)
    for request in listed:
        batch.submit(request)
    steps, rounds = 0, 0
    while batch.busy:
        before = len(draft.passes)
        events = batch.step()
        steps, rounds = steps + 1, rounds + len(events)
        assert len(target.passes) == steps
        assert target.passes[-1] == len(events)
        assert len(draft.passes) - before == max(event.outcome.draft_calls for event in events)
        assert steps < 200
    assert sum(target.passes) == rounds > steps
    alone_passes = Counted(table(3, SIZE))
    for request in listed:
        alone(request, alone_passes)
    assert len(alone_passes.passes) == rounds


def test_a_target_that_drafts_for_itself_has_room_for_both():
    """Two states a text in a cache of as many rows as texts would not do; nor are target and draft read in one pass."""
    model = Counted(table(3, SIZE))
    listed = [
        Request(prompt=[n], options=decode.Options(max_tokens=12, seed=n), drafter=drafters.chain(model, 3))
        for n in range(SIZE)
    ]
    found = batched(model, listed, rows=SIZE)
    assert set(model.passes) == {SIZE}  # no pass of a step was split
    assert all(one.accepted == len(one.drafted) for text in found for one in text.rounds)  # its own noise
    assert together(found) == [alone(request, TARGET) for request in listed]


class Twice:
    """A chain drafter that has a second state of the draft for every text, and reads the text there as well."""

    def __init__(self, model: TableModel) -> None:
        self._model, self._drafter = model, drafters.chain(model, 3)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._drafter, name)

    def begin(self, task: Task, memory: Any = None) -> Any:
        drafter, second = self, task.open(self._model)

        class Drafting:
            def __init__(self) -> None:
                self._drafting = drafter._drafter.begin(task, memory)
                self.keep, self.memory = self._drafting.keep, self._drafting.memory

            def propose(self, tokens, most):
                yield Read(second, tokens[second.length :])
                return (yield from self._drafting.propose(tokens, most))

            def close(self):
                self._drafting.close()
                second.close()

        return Drafting()


def test_a_drafter_may_open_several_states_for_a_text():
    """More than a cache of as many rows as texts has: another one is made, and used again by the texts that follow."""
    draft, made = table(5, SIZE), []
    cache = draft.cache
    listed = [  # the first outlives all others
        Request(prompt=[n % SIZE], options=decode.Options(max_tokens=2 if n else 30, seed=n), drafter=Twice(draft))  # type: ignore[arg-type]
        for n in range(7)
    ]
    with mock.patch.object(draft, "cache", lambda rows=1: made.append(cache(rows)) or made[-1]):
        found = batched(TARGET, listed, rows=3)
    assert len(made) == 2
    assert [one.free for one in made] == [3, 3]
    assert together(found) == [alone(request) for request in listed]


def failing(model: TableModel, error: Exception, when: Callable[[Sequence[Read]], bool]) -> TableModel:
    """The model, whose caches raise ``error`` for the passes that ``when`` names, before anything is read."""

    class Cache(TableCache):
        def extend(self, reads):
            if when(reads):
                raise error
            return super().extend(reads)

    class Failing(TableModel):
        def cache(self, rows: int = 1) -> TableCache:
            return Cache(self, rows)

    return Failing(model.law, model.vocabulary_size, context_length=model.context_length)


ERRORS = [RuntimeError("out of memory"), MemoryError("no more"), KeyError("lost")]


def some(draft: TableModel) -> list[Request]:
    """Texts that share passes of target and draft."""
    made = [drafters.chain(draft, 3), drafters.tree(draft, (2, 2)), None]
    return [
        Request(prompt=[n % 3, 1], options=decode.Options(max_tokens=8, seed=n), drafter=made[n % 3]) for n in range(6)
    ]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("whose", ["target", "draft"])
def test_a_shared_pass_that_fails_once_costs_no_row(error, whose):
    """Whatever it raises: its reads are served one by one, and no text changes."""
    shared: list[int] = []

    def once(reads: Sequence[Read]) -> bool:
        if len(reads) > 1:
            shared.append(len(reads))
        return len(reads) > 1 and len(shared) == 2

    target, draft = TARGET, DRAFT
    if whose == "target":
        target = failing(target, error, once)
    else:
        draft = failing(draft, error, once)
    assert together(batched(target, some(draft))) == [alone(request) for request in some(DRAFT)]
    assert len(shared) > 2


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("whose", ["target", "draft", "its own draft"])
def test_a_pass_that_always_fails_for_one_row_ends_that_row_only(error, whose):
    """The text that begins with 3, from its sixth token on, or whatever is read in the model that it alone drafts
    with."""

    def third(reads: Sequence[Read]) -> bool:
        texts = [[*read.state._tokens, *read.tokens] for read in reads]  # type: ignore[attr-defined]
        return any(text[0] == 3 and len(text) > 5 for text in texts)

    target = failing(TARGET, error, third) if whose == "target" else TARGET
    draft = failing(DRAFT, error, third) if whose == "draft" else DRAFT
    own = failing(DRAFT, error, lambda reads: True) if whose == "its own draft" else draft
    bad = Request(prompt=[3], options=decode.Options(max_tokens=20, request=9), drafter=drafters.chain(own, 2))
    found = batched(target, [*some(draft)[:3], bad, *some(draft)[3:]])
    failure = found.pop(3)
    assert together(found) == [alone(request) for request in some(DRAFT)]
    assert isinstance(failure, decode.Failure)
    assert (failure.request, failure.error) == (9, f"{type(error).__name__}: {error}")
    assert bool(failure.rounds) == (whose != "its own draft")


def test_caches_of_drafts_last_as_long_as_somebody_uses_them():
    """Batches that serve for days: a draft that no text in work uses is let go, and only then."""
    models = [table(seed, SIZE) for seed in (5, 6, 7)]
    batch = Batch(TARGET, rows=3)

    def submit(model: int | None, tokens: int) -> int:
        drafter = None if model is None else drafters.chain(models[model], 2)
        return batch.submit(Request(prompt=[0], options=decode.Options(max_tokens=tokens), drafter=drafter))

    for model, tokens in ((0, 3), (0, 16), (1, 6), (None, 2), (2, 4), (1, 9), (0, 5)):
        submit(model, tokens)
    held: dict[int, list[TableCache]] = {}
    seen, dropped = set(), 0
    for _ in range(100):
        batch.step()
        used = {id(request.drafter.model) for request, _ in batch._live.values() if request.drafter}  # type: ignore[attr-defined]
        assert set(batch._drafts) == set(batch._users) == used
        for model in used & held.keys():
            assert batch._drafts[model][1] == held[model]  # the same caches as before
        dropped += len(held.keys() - used)
        seen |= used
        held = {model: list(caches) for model, (_, caches) in batch._drafts.items()}  # type: ignore[misc]
        if not batch.busy:
            break
    assert seen == {id(model) for model in models}
    assert dropped >= 3
    assert batch._drafts == batch._users == {}
    ticket = submit(0, 9)
    batch.step()
    assert set(batch._drafts) == {id(models[0])}
    batch.preempt(ticket)
    assert batch._drafts == {}


def test_seconds_are_shares_that_add_up():
    """Each round has an equal share of its step, so that the sum over all rounds is at most the time that passed."""
    listed = [Request(prompt=[0], options=decode.Options(max_tokens=5, seed=seed)) for seed in range(6)]
    batch, shares = Batch(TARGET, rows=4), []
    for request in listed:
        batch.submit(request)
    begun = time.perf_counter()
    while batch.busy:
        events = batch.step()
        assert len({event.outcome.seconds for event in events}) == 1
        shares += [event.outcome.seconds for event in events]
    passed = time.perf_counter() - begun
    assert len(shares) == 30
    assert min(shares) > 0
    assert 0 < math.fsum(shares) <= passed
    assert metrics.summary(one for text in batched(TARGET, listed) for one in text.rounds)["rounds"] == 30


def test_events_come_round_by_round_and_tickets_in_order():
    listed = [Request(prompt=[0], options=decode.Options(max_tokens=3 + n, seed=n)) for n in range(3)]
    events = list(decode.batched_events(TARGET, listed, rows=2))
    assert [event.ticket for event in events] == [0, 1, 0, 1, 0, 1, 1, 2, 2, 2, 2, 2]
    assert [event.outcome.stop_reason for event in events if event.ticket == 2] == [None] * 4 + ["length"]


def test_a_batch_without_requests_ends():
    assert batched(TARGET, []) == []
    assert not Batch(TARGET).busy
    assert Batch(TARGET).step() == []


@pytest.mark.parametrize("rows", [0, -1, 1.5, True])
def test_rows_that_are_none_are_refused(rows):
    with pytest.raises(ValueError, match=r"rows is .*; allowed are whole numbers >= 1"):
        batched(TARGET, [], rows=rows)


def refused(listed: Iterable[Request], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batched(TARGET, listed)


def test_a_request_that_cannot_be_decoded_is_named_before_any_work():
    good = Request(prompt=[0])
    refused([good, Request()], r"requests\[1\]: prompt is empty")
    refused([good, good, Request(prompt=[0] * 40)], r"requests\[2\]: prompt has 40 tokens; allowed are up to 39")
    refused([Request(prompt=[9])], r"requests\[0\]: prompt\[0\] is 9; allowed are token ids from 0 to 3")
    refused([Request(prompt=[0], rule="block")], r"requests\[0\]: rule: given without a drafter")
    with pytest.raises(ValueError, match="prompt is empty"):
        decode.batched_events(TARGET, [Request()])
    with pytest.raises(KeyError):
        Batch(TARGET).preempt(0)
