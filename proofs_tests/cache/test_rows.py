"""Rows of a cache: who shares a pass, who moves where, what a spoiled text leaves behind, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from proofs_tests.cache.world import CONTEXT, SPARE, VOCABULARY, Judge, cache_of, network, prepare
from proofs_tests.numerics.helpers import same
from reference.cache import Rows, RowState, Slots
from reference.models.protocol import Read
from reference.numerics import ARITHMETICS, PreparedLlama

PREPARED = prepare("exact64")
JUDGE = Judge(PREPARED)
SPOILED = 7
"""A token whose embedding is NaN, in `spoiled`."""


def spoiled(name: str) -> PreparedLlama:
    made = network()
    made.model.embed_tokens.weight[SPOILED] = float("nan")
    made.model.embed_tokens.weight[SPOILED, 1:] = float("inf")
    prepared = PreparedLlama(made, ARITHMETICS[name], CONTEXT + SPARE)
    prepared.head = PreparedLlama(network(), ARITHMETICS[name], CONTEXT + SPARE).head  # the tied head would spread it
    return prepared


def live(cache: Rows, states: list[RowState]) -> bool:
    return sorted(state.row for state in states) == list(range(len(states)))


def test_rows_stay_together() -> None:
    cache = cache_of(PREPARED, 4)
    states = [cache.start() for _ in range(4)]
    for number, state in enumerate(states):
        state.extend([number + 1, 2])
    for leaving in (1, 2, 0):
        states.pop(leaving).close()
        assert live(cache, states)
        for state, logits in zip(states, cache.extend([Read(state, [], [5], [-1]) for state in states]), strict=True):
            assert torch.isfinite(logits).all()
            state.keep([])
    joined = cache.start()
    assert live(cache, [*states, joined])
    assert same(joined.extend([4, 4]), JUDGE([4, 4])[0])


def test_one_pass_where_sizes_agree_and_more_where_they_do_not() -> None:
    cache = cache_of(PREPARED, 6)
    states = [cache.start() for _ in range(6)]
    cache.extend([Read(state, [1, 2, 3][: 1 + i % 3]) for i, state in enumerate(states)])
    assert cache.passes == 1
    cache.extend([Read(states[0], [1] * 60), *(Read(state, [4]) for state in states[1:])])
    assert cache.passes == 3
    states[3].extend([5], [6], [-1])
    assert cache.passes == 4


def test_a_path_that_stands_in_its_place_is_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """And several that do not, of one round, move in one step."""
    calls: list[int] = []
    compact = Slots.compact

    def counted(self: Slots, rows: Any, start: Any, path: Any) -> None:
        calls.append(len(rows))
        compact(self, rows, start, path)

    monkeypatch.setattr(Slots, "compact", counted)
    cache = cache_of(PREPARED, 3)
    states = [cache.start() for _ in range(3)]
    for paths, moved in ((([0, 1], [0], []), []), (([1], [0], [2, 3]), [2])):
        cache.extend([Read(state, [1, 2], [3, 4, 5, 6], [-1, 0 if not moved else -1, -1, 2]) for state in states])
        for state, path in zip(states, paths, strict=True):
            state.keep(path)
        cache.extend([Read(state, [9]) for state in states])
        assert calls == moved


@pytest.mark.parametrize("name", ["exact64", "int8"])
def test_a_spoiled_text_spoils_no_other(name: str) -> None:
    """Beside it, in its row after it, and in the row that it moved out of."""
    prepared = spoiled(name)
    judge, cache = Judge(prepared), cache_of(prepared, 3)
    one, bad, other = (cache.start() for _ in range(3))
    found = cache.extend([Read(one, [1, 2, 3]), Read(bad, [1, SPOILED, 3, 4]), Read(other, [5], [6, 8], [-1, 0])])
    assert not torch.isfinite(found[1][1:]).any()
    assert same(found[0], judge([1, 2, 3])[0])
    other.keep([0])
    bad.extend([1] * 20)
    bad.close()  # `other` moves into its row
    assert other.row == 1
    found = cache.extend([Read(one, [4] * 20), Read(other, [4] * 19)])  # looks at slots where NaN stood
    assert same(found[0], judge([1, 2, 3, *[4] * 20])[0][3:])
    late = cache.start()
    found = cache.extend([Read(late, [2]), Read(one, [3]), Read(other, [3])])
    assert same(found[0], judge([2])[0])
    assert same(found[2], judge([5, 6, *[4] * 19, 3])[0][-1:])


@pytest.mark.parametrize("name", ["exact64", "int8"])
@pytest.mark.parametrize("spoil", ["text", "nodes", "rewound"])
def test_a_spoiled_text_in_the_last_row_leaves_nothing_behind(name: str, spoil: str) -> None:
    """Nobody moves. The next text in its row stands beside a longer one, so its pass looks at slots where NaN stood."""
    prepared = spoiled(name)
    judge, cache = Judge(prepared), cache_of(prepared, 2)
    longer, bad = cache.start(), cache.start()
    reads = Read(bad, [1], [SPOILED] * 8, [-1] * 8) if spoil == "nodes" else Read(bad, [1, *[SPOILED] * 8])
    assert not torch.isfinite(cache.extend([Read(longer, [2] * 12), reads])[1][1:]).any()
    if spoil == "rewound":
        bad.rewind(1)
        bad.extend([5])
    bad.close()
    late = cache.start()
    assert late.row == 1
    assert same(cache.extend([Read(longer, [3]), Read(late, [4])])[1], judge([4])[0])


@pytest.mark.parametrize("forgotten", [False, True], ids=["on trial", "forgotten"])
def test_spoiled_nodes_are_cleared_with_their_row(forgotten: bool) -> None:
    """In the row that they moved out of, where they may lie behind all that is in use, and in the one they moved to."""
    prepared = spoiled("exact64")
    judge, cache = Judge(prepared), cache_of(prepared, 3)
    longer, leaving, bad = (cache.start() for _ in range(3))
    cache.extend([Read(longer, [2] * 12), Read(leaving, [1]), Read(bad, [1], [SPOILED] * 8, [-1] * 8)])
    if forgotten:
        bad.keep([])
    leaving.close()
    late = cache.start()
    assert (bad.row, late.row) == (1, 2)
    assert same(cache.extend([Read(longer, [3]), Read(late, [4])])[1], judge([4])[0])
    bad.close()
    last = cache.start()
    assert (late.row, last.row) == (1, 2)
    found = cache.extend([Read(longer, [3]), Read(late, [5]), Read(last, [6])])
    assert same(found[1], judge([4, 5])[0][-1:])
    assert same(found[2], judge([6])[0])


def test_a_row_that_is_not_cleared_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slots, "clear", lambda *_: None)
    with pytest.raises(AssertionError):
        test_a_spoiled_text_spoils_no_other("exact64")


def refused(cache: Rows, reads: list[Read], message: str, states: list[RowState]) -> None:
    before = [(state.length, state.nodes) for state in states]
    slots, passes = cache.slots.keys.clone(), cache.passes
    with pytest.raises(ValueError, match=message):
        cache.extend(reads)
    assert [(state.length, state.nodes) for state in states] == before
    assert torch.equal(cache.slots.keys, slots)
    assert cache.passes == passes


def test_what_is_refused_changes_nothing() -> None:
    cache, strange = cache_of(PREPARED, 3), cache_of(PREPARED, 1)
    one, other, stranger = cache.start(), cache.start(), strange.start()
    cache.extend([Read(one, [1, 2], [3, 4], [-1, -1]), Read(other, [1] * (CONTEXT - 1))])
    for reads, message in (
        ([], "reads: none given"),
        ([Read(one, [1]), Read(one, [1])], "named twice"),
        ([Read(one, [1]), Read(stranger, [1])], r"reads\[1\]: its state belongs to another cache"),
        ([Read(one, [5]), Read(other, [1, 1])], f"tokens: 2 more after 95; the context holds {CONTEXT}"),
        ([Read(one, [5]), Read(other, [VOCABULARY])], r"tokens\[0\] is 23"),
        ([Read(one, [5]), Read(other, [])], "none given, and no tree"),
        ([Read(one, [5]), Read(other, [], [1], [0])], r"parents\[0\] is 0"),
        ([Read(other, [5]), Read(one, [], [1], [2])], r"parents\[0\] is 2; allowed are -1 \(the text\) to 1"),
        ([Read(other, [5]), Read(one, [], [1], [True])], r"parents\[0\] is True; allowed are -1 \(the text\) to 1"),
        ([Read(other, [5]), Read(one, [], [1], [-1.0])], r"parents\[0\] is -1.0; allowed are"),  # type: ignore[list-item]
        ([Read(one, [5]), Read(other, [1], [1], [-1])], "tree: 1 deep after 96"),
        (
            [Read(one, [5]), Read(other, [], [1] * 42, [-1] * 42)],
            f"tree: 42 tokens; {SPARE + 1} slots are left, see spare",
        ),
    ):
        refused(cache, reads, message, [one, other, stranger])
    paths: tuple[tuple[Any, str], ...] = (
        ([2], r"path\[0\] is 2"),
        ([0, 1], r"path\[1\] is 1; .* whose parent is node 0"),
        ([True], r"path\[0\] is True"),
        ([0.5], r"path\[0\] is 0.5"),
    )
    for path, message in paths:
        with pytest.raises(ValueError, match=message):
            one.keep(path)
    for length in (-1, 3, 1.5, True):
        with pytest.raises(ValueError, match=f"length is {length}; the state holds 2"):
            one.rewind(length)  # type: ignore[arg-type]
    assert (one.length, one.nodes) == (2, 2)
    assert same(one.extend([], [4], [1])[0], JUDGE([1, 2, 4, 4])[0][-1])


def test_closed_states_and_full_caches() -> None:
    cache = cache_of(PREPARED, 2)
    one, _ = cache.start(), cache.start()
    with pytest.raises(ValueError, match="rows: all 2 are taken"):
        cache.start()
    one.close()
    one.close()
    for use in (lambda: one.extend([1]), lambda: one.keep([]), lambda: one.rewind(0), one.stored):
        with pytest.raises(ValueError, match="state: it is closed"):
            use()
    with pytest.raises(ValueError, match="or is closed"):
        cache.extend([Read(one, [1])])
    assert cache.start().row == 1
    for rows in (0, True, 1.5):
        with pytest.raises(ValueError, match="rows is"):
            cache_of(PREPARED, rows)  # type: ignore[arg-type]


def test_a_pass_that_fails_leaves_the_texts_as_they_were() -> None:
    """Memory that runs out, say: the texts go on as if nothing had been read."""
    cache = cache_of(PREPARED, 2)
    one, other = cache.start(), cache.start()
    cache.extend([Read(one, [1, 2]), Read(other, [3])])
    forward = cache._forward

    def failing(*arguments: Any) -> Any:
        forward(*arguments)
        raise RuntimeError("out of memory")

    cache._forward = failing  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="out of memory"):
        cache.extend([Read(one, [4, 5]), Read(other, [6], [7], [-1])])
    cache._forward = forward
    assert (one.length, other.length, other.nodes) == (2, 1, 0)
    found = cache.extend([Read(one, [8]), Read(other, [9])])
    assert same(found[0], JUDGE([1, 2, 8])[0][-1:])
    assert same(found[1], JUDGE([3, 9])[0][-1:])


def test_large_caches_start_small(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network(context=2048)
    prepared = PreparedLlama(made, ARITHMETICS["exact64"], 3000)
    small = cache_of(prepared, 1)
    assert small.slots.size == 3000
    assert cache_of(prepared, 64).slots.size == 256
    monkeypatch.setattr("reference.cache.rows.FIRST", 32)
    large = cache_of(prepared, 64)
    assert large.slots.size == 32
    state = large.start()
    state.extend([1] * 40)
    assert large.slots.size == 64
    state.extend([1] * 120)
    assert large.slots.size == 160
    small.start().extend([1] * 160)
    assert torch.equal(small.slots.keys[:, 0, :, :160], large.slots.keys[:, 0])
