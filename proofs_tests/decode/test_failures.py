"""A row that fails in a batch ends as a `Failure`; the others do not notice."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from proofs_tests.decode.harness import table, timeless
from reference import decode, drafters
from reference.decode import Batch, Decoded, Failure, Request, batched
from reference.drafters import Proposal
from reference.models.protocol import Read
from reference.models.table import TableModel

SIZE = 4
DRAFT = table(5, SIZE)


class Fragile(TableModel):
    """Logits hold NaN for every text that begins with 3, from its sixth token on."""

    def logits(self, prefix):
        broken = prefix[0] == 3 and len(prefix) > 5
        return np.full(SIZE, np.nan) if broken else super().logits(prefix)


TARGET = Fragile(table(3, SIZE).law, SIZE, context_length=40)
OPTIONS = decode.Options(max_tokens=12, seed=4)


class Broken:
    """A chain drafter in which one thing goes wrong, from the second round on."""

    def __init__(self, what: str) -> None:
        self._drafter, self._what, self._rounds = drafters.chain(DRAFT, 3), what, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._drafter, name)

    def begin(self, task, memory=None):
        if self._what == "begin":
            raise RuntimeError("no idea how to begin")
        self._rounds = 0
        self._task, self._drafting = task, self._drafter.begin(task, memory)
        return self

    def propose(self, tokens, most):
        self._rounds += 1
        state = self._drafting._state
        if self._rounds == 2:
            match self._what:
                case "raises":
                    raise KeyError("a table without this word")
                case "reads tokens out of range":
                    yield Read(state, [SIZE])
                case "reads nothing":
                    yield Read(state, [])
                case "reads a tree that is none":
                    yield Read(state, [], [0, 0], [-1, 5])
                case "reads no list":
                    yield Read(state, None)  # type: ignore[arg-type]
                case "yields something else":
                    yield "logits, please"
                case "reads a closed state":
                    other = self._task.open(DRAFT)
                    other.close()
                    yield Read(other, [0])
                case "proposes a token out of range":
                    return Proposal([SIZE], [-1])
                case "proposes a tree that is none":
                    return Proposal([0, 0], [-1, 3])
        return (yield from self._drafting.propose(tokens, most))

    def keep(self, path):
        if self._rounds == 2 and self._what == "cannot keep":
            raise ZeroDivisionError("nothing kept")
        self._drafting.keep(path)

    def close(self):
        if self._what == "cannot close":
            raise OSError("will not go")
        self._drafting.close()

    def memory(self):
        return self._drafting.memory()


FAILURES = {
    "begin": "RuntimeError: no idea how to begin",
    "raises": "KeyError: 'a table without this word'",
    "reads tokens out of range": r"tokens[0] is 4; allowed are token ids from 0 to 3",
    "reads nothing": "tokens: none given, and no tree",
    "reads a tree that is none": "parents[1] is 5; allowed are -1 (the text)",
    "reads no list": "TypeError: ",
    "yields something else": "drafter: it asked for 'logits, please'; allowed is a Read of a state that is open",
    "reads a closed state": "drafter: it asked for Read(",
    "proposes a token out of range": "tree[0] is 4; allowed are token ids from 0 to 3",
    "proposes a tree that is none": "parents[1] is 3; allowed are -1 (the text)",
    "cannot keep": "ZeroDivisionError: nothing kept",
}


def good() -> list[Request]:
    """Requests of every kind that end well."""
    return [
        Request(prompt=[0], options=OPTIONS),
        Request(prompt=[1, 2], options=OPTIONS, drafter=drafters.chain(DRAFT, 3)),
        Request(prompt=[2], options=OPTIONS, drafter=drafters.tree(DRAFT, (2, 2)), rule="recursive"),
        Request(prompt=[0, 1, 0], options=OPTIONS, drafter=drafters.lookup(draft_length=3)),
    ]


def alone(request: Request) -> Decoded:
    stream = decode.stream(TARGET, request.prompt, drafter=request.drafter, rule=request.rule, options=request.options)
    return timeless(decode.collect(stream))


WANT = [alone(request) for request in good()]


def check_others(found: list[Decoded | Failure], bad: int) -> Failure:
    """The failed one; all others are what they are alone."""
    failure = found.pop(bad)
    assert isinstance(failure, Failure)
    assert [timeless(one) for one in found] == WANT  # type: ignore[arg-type]
    return failure


@pytest.mark.parametrize("what", FAILURES)
@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_drafter_that_fails_takes_nobody_with_it(what, bad):
    listed = good()
    options = dataclasses.replace(OPTIONS, request=77)
    listed.insert(bad, Request(prompt=[1], options=options, drafter=Broken(what)))
    for rows in (2, 8):
        failure = check_others(batched(TARGET, listed, rows=rows), bad)
        assert failure.request == 77
        assert FAILURES[what] in failure.error
        assert len(failure.rounds) == (what != "begin")
        assert all(one.request == 77 for one in failure.rounds)


def test_a_drafter_that_cannot_close_has_decoded_its_text_all_the_same():
    broken = Request(prompt=[1, 2], options=OPTIONS, drafter=Broken("cannot close"))
    found = batched(TARGET, [*good(), broken])
    assert [timeless(one) for one in found] == [*WANT, WANT[1]]  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", [None, "token_wise"])
@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_row_whose_logits_hold_nan_takes_nobody_with_it(bad, rule):
    listed = good()
    listed.insert(bad, Request(prompt=[3], options=OPTIONS, drafter=drafters.chain(DRAFT, 2), rule=rule))
    for rows in (2, 8):
        failure = check_others(batched(TARGET, listed, rows=rows), bad)
        assert failure.error.startswith("target: logits: ")
        assert "NaN" in failure.error
        kept = 1 + sum(len(one.emitted) for one in failure.rounds)
        assert 3 <= kept <= 6  # what was committed before, with its rounds


def test_a_draft_whose_logits_hold_nan_says_so():
    draft = Fragile(table(5, SIZE).law, SIZE)
    listed = [*good(), Request(prompt=[3], options=OPTIONS, drafter=drafters.chain(draft, 2), rule="token_wise")]
    assert check_others(batched(table(3, SIZE, context_length=40), listed), 4).error.startswith("draft: logits: ")


def test_the_place_of_a_failed_row_is_taken_by_the_next():
    """Two rows, three failures among many requests: nobody waits for ever, and no row is lost."""
    broken = [Request(prompt=[1], options=OPTIONS, drafter=Broken("raises")) for _ in range(3)]
    listed = [request for pair in zip(broken, good(), strict=False) for request in pair]
    found = batched(TARGET, listed, rows=2)
    assert [isinstance(one, Failure) for one in found] == [True, False] * 3
    assert [timeless(one) for one in found[1::2]] == WANT[:3]  # type: ignore[arg-type]


def test_a_request_that_is_refused_later_disturbs_nobody_at_work():
    batch = Batch(TARGET, rows=4)
    for request in good():
        batch.submit(request)
    rounds: list[list[decode.Round]] = [[] for _ in range(5)]
    for step in range(200):
        if not batch.busy:
            break
        for event in batch.step():
            assert isinstance(event.outcome, decode.Round)
            rounds[event.ticket].append(event.outcome)
        if step == 1:
            with pytest.raises(ValueError, match="prompt has 50 tokens; allowed are up to 39"):
                batch.submit(Request(prompt=[0] * 50))
            batch.submit(good()[0])
    assert [timeless(decode.collect(own)) for own in rounds] == [*WANT, WANT[0]]


def test_a_stream_that_fails_says_why_once_and_can_be_saved():
    stream = decode.stream(TARGET, [3], options=OPTIONS)
    emitted = [next(stream).emitted for _ in range(5)]
    with pytest.raises(ValueError, match="target: logits: a row holds NaN"):
        next(stream)
    assert list(stream) == []
    assert stream.save().emitted == tuple(token for one in emitted for token in one)
    assert decode.resume(table(3, SIZE), stream.save()).save() == stream.save()
