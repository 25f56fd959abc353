"""A round can be captured as a CUDA graph: nothing is looked at, nothing moves in memory, and replays give the texts.

No device is needed. On meta tensors, which have no values, a look at one raises. A recorded round, run again operation
by operation (`fixed_replay`), must go on where the one before it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from proofs_tests.decode.fixed_cases import Case, differences, mixed, one_by_one, planted
from proofs_tests.decode.fixed_replay import Replayed, Tape, on_meta
from reference.decode import Options
from reference.decode import fixed as module
from reference.decode.fixed import PERSISTENT, Script
from reference.decode.fixed_graph import Captured

ROWS = (
    ((1,), Options(max_tokens=20, seed=1)),
    ((2, 0, 5, 7), Options(max_tokens=9, temperature=0.0)),
    ((3, 3), Options(max_tokens=20, seed=2, temperature=0.7, stop=frozenset({0, 3, 5}))),
)
GREEDY = tuple((prompt, Options(max_tokens=12, temperature=0.0)) for prompt, _ in ROWS)
CHAIN, TREE = (-1, 0, 1), (-1, -1, 0, 0, 1, 2, 2, 6)
CASES = [
    Case("full", "exact64", "draft", CHAIN, ROWS),
    Case("full", "int8", "draft", TREE, ROWS),
    Case("wide", "exact64", None, (), ROWS),
    Case("ties", "exact64", "early", TREE, GREEDY),
    Case("full", "native", "draft", CHAIN, ROWS),
]


def without_values(case: Case, decoder: ModuleType = module) -> Any:
    arguments = case.arguments
    for name in ("target", "draft"):
        arguments[name] = arguments[name] and on_meta(arguments[name])
    return decoder.FixedRounds(**arguments)


@pytest.mark.parametrize("case", CASES)
def test_no_value_is_looked_at(case: Case) -> None:
    rounds = without_values(case)
    rounds.round(rounds.size)
    with Tape() as tape:
        rounds.round(rounds.size - 1)
    assert not tape.forbidden()
    assert len(tape.calls) > 100


COMMIT = "        self._commit(emitted, kept)\n"
LOOKS = {
    "a number of Python": (COMMIT, COMMIT.replace("kept)", "kept + 0 * int(kept.max()))")),
    "a question to the host": ("if self.tree.nodes:\n", "if self.live.any():\n"),
    "a mask as an index": ("self.rounds += self.live", "self.rounds[self.live] += 1"),
    "numbers of the host": (COMMIT, COMMIT.replace("kept)", "kept + torch.tensor([0]).to(kept.device))")),
}
"""What a capture refuses: the source as it stands, what it is replaced by."""


@pytest.mark.parametrize("name", LOOKS)
def test_looks_are_caught(name: str) -> None:
    decoder = planted(*LOOKS[name])
    here = decoder.FixedRounds(**CASES[0].arguments)
    with Tape() as tape:
        here.round(here.size)
    assert tape.forbidden()
    if name != "numbers of the host":  # which meta tensors take
        rounds = without_values(CASES[0], decoder)
        with pytest.raises((RuntimeError, NotImplementedError, ValueError), match=r"(?i)meta"):
            rounds.round(rounds.size)


@pytest.mark.parametrize("case", CASES)
def test_replays_decode_the_texts(case: Case) -> None:
    """Also begun again from the start, with what the first run left in the slots; tensors stay where they are."""
    rounds = module.FixedRounds(**case.arguments)
    where = {name: getattr(rounds, name).data_ptr() for name in PERSISTENT}
    slots = [part.data_ptr() for own in rounds._slots for part in (own.keys, own.values)]
    begin, replayed = rounds.saved(), Replayed(rounds)
    first = module.run(rounds, replayed, every=3)
    if case.arithmetic != "native":
        assert not differences(case, first)
    assert replayed.replays > len(replayed.tapes)
    rounds.restore(begin)
    assert module.run(rounds, replayed, every=3) == first
    assert where == {name: getattr(rounds, name).data_ptr() for name in PERSISTENT}
    assert slots == [part.data_ptr() for own in rounds._slots for part in (own.keys, own.values)]


def test_a_script_changes_its_agreement_between_replays() -> None:
    rows = tuple((prompt, Options(max_tokens=30, seed=i)) for i, (prompt, _) in enumerate(ROWS))
    case = Case("full", "exact64", "draft", (-1, 0), rows)
    plain = module.fixed(**{**case.arguments, "draft": None, "tree": None})
    texts = [[*prompt, *text.tokens] for (prompt, _), text in zip(rows, plain, strict=True)]
    truth = torch.tensor([[*text, *[0] * (34 - len(text))] for text in texts])
    rounds = module.FixedRounds(**case.arguments, script=Script(truth, 1.0))
    begin, replayed = rounds.saved(), Replayed(rounds)
    for agreement, most in ((1.0, 10), (0.0, 30), (1.0, 10)):
        rounds.restore(begin)
        rounds.agree(agreement)
        texts = module.run(rounds, replayed)
        assert [text.tokens for text in texts] == [text.tokens for text in plain]
        assert [text.rounds for text in texts] == [most] * 3
    assert len(replayed.tapes) == 1


WRITE, BEFORE = "        self.tokens[rows, places] = ", "        before = self.lengths.clone()\n"
STALE = {
    "lengths are made anew": ("self.lengths += count", "self.lengths = self.lengths + count"),
    "tokens are made anew": (WRITE, "        self.tokens = self.tokens.clone()\n" + WRITE),
    "what lives is made anew": ("self.live &= ~stops", "self.live = self.live & ~stops"),
    "where the last round ended": (
        BEFORE + COMMIT,
        BEFORE.replace("= ", "= self.past if hasattr(self, 'past') else ")
        + COMMIT
        + BEFORE.replace("before", "self.past"),
    ),
}
"""What is right in Python, and what a replay does not see: the source as it stands, what it is replaced by."""


@pytest.mark.parametrize("name", STALE)
def test_what_a_replay_does_not_see_is_caught(name: str) -> None:
    decoder = planted(*STALE[name])
    assert not differences(mixed()[0], decoder.fixed(**mixed()[0].arguments))
    assert any(lost(decoder, case) for case in mixed())


def test_replays_lose_nothing_without_a_defect() -> None:
    assert not any(lost(module, case) for case in mixed())


MOST = 36
"""Rounds that the longest of these texts can take."""


def lost(decoder: ModuleType, case: Case) -> bool:
    """Whether replays give other texts; a defect may keep them from ending."""
    rounds = decoder.FixedRounds(**case.arguments)
    replayed = Replayed(rounds)
    for _ in range(MOST):
        replayed.round(rounds.size)
    found = zip(rounds.tokens.tolist(), rounds.prompts, rounds.lengths.tolist(), strict=True)
    return [tuple(row[start:length]) for row, start, length in found] != [row[0] for row in one_by_one(case)]


class Recorded:
    """In place of a CUDA graph."""

    def __init__(self) -> None:
        self.tape = Tape()

    def replay(self) -> None:
        self.tape.replay()


@contextmanager
def recording(graph: Recorded, pool: object) -> Iterator[None]:
    """In place of a capture, which runs nothing: so what it wrote is taken back."""
    rounds, used = recording.rounds, recording.pools  # type: ignore[attr-defined]
    used.add(pool)
    saved = rounds.saved()
    recording.on = True  # type: ignore[attr-defined]
    with graph.tape:
        yield
    recording.on = False  # type: ignore[attr-defined]
    rounds.restore(saved)


def test_the_steps_of_a_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Captured` with everything of CUDA replaced: a pass before each capture, one pool, one graph for each end."""
    case = CASES[0]
    rounds = module.FixedRounds(**case.arguments)
    seen: list[str] = []

    class There:
        """The rounds, said to be on CUDA."""

        tokens = SimpleNamespace(is_cuda=True, device="cuda")
        saved, restore = rounds.saved, rounds.restore

        def round(self, end: int) -> None:
            seen.append("recorded" if recording.on else "before")  # type: ignore[attr-defined]
            rounds.round(end)

    stream = SimpleNamespace(wait_stream=lambda other: None)
    recording.rounds, recording.pools, recording.on = rounds, set(), False  # type: ignore[attr-defined]
    for name, value in {
        "graph_pool_handle": lambda: "pool",
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda own: nullcontext(),
        "device": lambda own: nullcontext(),
        "CUDAGraph": Recorded,
        "graph": recording,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    captured = Captured(There())  # type: ignore[arg-type]
    monkeypatch.setattr(module, "BUCKET", 8)
    assert not differences(case, module.run(rounds, captured, every=3))
    assert len(captured.ends) > 2
    assert seen == ["before", "recorded"] * len(captured.ends)
    assert recording.pools == {"pool"}  # type: ignore[attr-defined]
