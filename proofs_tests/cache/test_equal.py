"""Whatever is done to a cache, its logits, keys and values are those of each text read whole and alone, bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from proofs_tests.cache.world import KINDS, SHAPES, Judge, World, cache_of, prepare, random_ops
from proofs_tests.numerics.helpers import ROWS, same, threads
from reference.cache import Piece, Rows, RowState, Slots, layout
from reference.cache import rows as rows_module
from reference.models.protocol import Read
from reference.numerics import PreparedLlama

EXACT = ["exact64", "int8"]
OPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 10**6)), min_size=3, max_size=25)
PREPARED = {(name, shape): prepare(name, shape) for name in EXACT for shape in SHAPES}


@pytest.mark.parametrize("name", EXACT)
@given(shape=st.sampled_from(SHAPES), rows=st.integers(1, 6), ops=OPS)
@settings(max_examples=100)
def test_any_operations(name: str, shape: tuple[int, int, int, int], rows: int, ops: list[tuple[str, int]]) -> None:
    assert World(PREPARED[name, shape], rows).run(ops).wrong == 0


@pytest.mark.parametrize("name", EXACT)
def test_long_runs_do_everything(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots that grow, and enough of everything that the comparison means something."""
    monkeypatch.setattr(rows_module, "AT_ONCE", 0)
    monkeypatch.setattr(rows_module, "FIRST", 8)
    done: Counter[str] = Counter()
    for seed in range(4):
        world = World(PREPARED[name, SHAPES[seed % 3]], 5).run(random_ops(seed, 150))
        assert world.wrong == 0
        done.update(compared=world.compared, moved=world.moved, batched=world.batched, grown=world.cache.slots.size > 8)
    assert done["compared"] > 3000
    assert done["moved"] > 25
    assert done["batched"] > 40
    assert done["grown"] == 4


@pytest.mark.parametrize("name", EXACT)
def test_row_counts(name: str) -> None:
    """1 to 17 and 31 to 65 texts in one pass, in any order, on one thread and on two."""
    prepared = PREPARED[name, SHAPES[0]]
    judge, cache = Judge(prepared), cache_of(prepared, 65)
    texts = {cache.start(): [row % 7, 3, row % 5, 9][: 1 + row % 4] for row in range(65)}
    states = list(texts)
    cache.extend([Read(state, text) for state, text in texts.items()])
    for step, count in enumerate(ROWS):
        order = np.random.default_rng(count).permutation(65)[:count]
        chosen = [states[row] for row in order] if count % 2 else states[:count]
        with threads(2 if step % 8 == 0 else 1):
            found = cache.extend([Read(state, [], [step % 3], [-1]) for state in chosen])
        for state, logits in zip(chosen, found, strict=True):
            assert same(logits[0], judge([*texts[state], step % 3])[0][-1])
            state.keep([])


# --- planted defects -------------------------------------------------------------------------------------------------


def off_by_one(patch: pytest.MonkeyPatch) -> None:
    """Compaction takes the node after the one that was accepted."""
    compact = Slots.compact
    patch.setattr(Slots, "compact", lambda self, rows, start, path: compact(self, rows, start, path + 1))


def not_compacted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Slots, "compact", lambda *_: None)


def wrong_text(patch: pytest.MonkeyPatch) -> None:
    """Compaction of a text moves the slots of the first row."""
    compact = Slots.compact
    patch.setattr(Slots, "compact", lambda self, rows, start, path: compact(self, rows * 0, start, path))


def padded_with_zeros(patch: pytest.MonkeyPatch) -> None:
    """Paths of different lengths filled up with node 0 instead of the node that stands there."""
    compact = Slots.compact

    def planted(self: Slots, rows: Tensor, start: Tensor, path: Tensor) -> None:
        stays = path == torch.arange(path.shape[1])
        stays[:, :1] = False
        compact(self, rows, start, torch.where(stays, 0, path))

    patch.setattr(Slots, "compact", planted)


def sibling(patch: pytest.MonkeyPatch) -> None:
    """Each node sees the node before it."""
    seen = layout._seen

    def planted(piece: Piece, width: int, nodes: int) -> Any:
        found = seen(piece, width, nodes)
        found[:, :-1] |= found[:, 1:]
        return found

    patch.setattr(layout, "_seen", planted)


def slot_as_position(patch: pytest.MonkeyPatch) -> None:
    numbers = layout._numbers

    def planted(piece: Piece, width: int) -> list[list[int]]:
        tokens, positions, limits = numbers(piece, width)
        return [tokens, [min(piece.start + i, 95) for i in range(width)] if piece.parents else positions, limits]

    patch.setattr(layout, "_numbers", planted)


def one_more(patch: pytest.MonkeyPatch) -> None:
    """Each token of the text sees the slot behind it: another token, or what a rejected one left there."""
    numbers = layout._numbers

    def planted(piece: Piece, width: int) -> list[list[int]]:
        tokens, positions, limits = numbers(piece, width)
        return [tokens, positions, [limit + 1 for limit in limits]]

    patch.setattr(layout, "_numbers", planted)


def stale(patch: pytest.MonkeyPatch) -> None:
    """What was written once stays, though the text was cut back or the node was rejected."""
    write = Slots.write

    def planted(self: Slots, layer: int, rows: Any, places: Any, key: Tensor, value: Tensor) -> None:
        before = self.keys[layer].clone(), self.values[layer].clone()
        write(self, layer, rows, places, key, value)
        used = before[0].abs().sum(-1, keepdim=True) > 0
        self.keys[layer] = torch.where(used, before[0], self.keys[layer])
        self.values[layer] = torch.where(used, before[1], self.values[layer])

    patch.setattr(Slots, "write", planted)


def padding_in_place(patch: pytest.MonkeyPatch) -> None:
    """Rows with fewer tokens are filled up with token 0, in the slot of their last one."""
    numbers = layout._numbers

    def planted(piece: Piece, width: int) -> list[list[int]]:
        tokens, positions, limits = numbers(piece, width)
        more = width - len(piece.tokens)
        return [[*tokens[: width - more], *[0] * more], positions, limits]

    patch.setattr(layout, "_numbers", planted)


def left_behind(patch: pytest.MonkeyPatch) -> None:
    """A text that takes over the row of another leaves its keys where they were."""
    patch.setattr(Slots, "move", lambda *_: None)


def short_move(patch: pytest.MonkeyPatch) -> None:
    """A text moves with one token less than it has."""
    move = Slots.move
    patch.setattr(Slots, "move", lambda self, source, goal, used: move(self, source, goal, max(0, used - 1)))


def forgotten_row(patch: pytest.MonkeyPatch) -> None:
    """A text moves, and its state goes on in the old row."""
    leave = Rows.leave

    def planted(self: Rows, state: RowState) -> None:
        before = {id(other): other.row for other in self._live}
        leave(self, state)
        for other in self._live:
            other.row = before[id(other)]

    patch.setattr(Rows, "leave", planted)


def first_rows(patch: pytest.MonkeyPatch) -> None:
    """A pass over some texts reads those of the first rows."""
    read = Slots.read
    planted = lambda self, layer, rows, end: read(  # noqa: E731
        self, layer, rows if isinstance(rows, slice) else slice(0, len(rows)), end
    )
    patch.setattr(Slots, "read", planted)


def empty_growth(patch: pytest.MonkeyPatch) -> None:
    """Slots that grow lose their content."""
    patch.setattr(rows_module, "AT_ONCE", 0)
    patch.setattr(rows_module, "FIRST", 8)
    grown = Slots.grown

    def planted(self: Slots, size: int) -> Slots:
        more = grown(self, size)
        more.keys.zero_()
        return more

    patch.setattr(Slots, "grown", planted)


def dropped_path(patch: pytest.MonkeyPatch) -> None:
    """A text is cut back inside the path it has kept, and the rest of the path never moves."""
    rewind = RowState.rewind

    def planted(self: RowState, length: int) -> None:
        rewind(self, length)
        self.cache._kept = [kept for kept in self.cache._kept if kept[0] is not self]

    patch.setattr(RowState, "rewind", planted)


DEFECTS = [
    off_by_one,
    not_compacted,
    wrong_text,
    padded_with_zeros,
    sibling,
    slot_as_position,
    one_more,
    stale,
    padding_in_place,
    left_behind,
    short_move,
    forgotten_row,
    first_rows,
    empty_growth,
    dropped_path,
]


def differences(prepared: PreparedLlama, seeds: int = 12) -> int:
    """Wrong comparisons over random runs, up to the first run that has one."""
    for seed in range(seeds):
        world = World(prepared, 4)
        try:
            world.run(random_ops(seed, 60))
        except IndexError:  # a row that does not exist: the defect shows itself
            world.wrong += 1
        if world.wrong:
            return world.wrong
    return 0


@pytest.mark.parametrize("plant", DEFECTS)
def test_planted_defects_are_caught(plant: Callable[[pytest.MonkeyPatch], None]) -> None:
    """Twelve random runs of 60 operations find each; without a defect they find nothing."""
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        assert differences(PREPARED["exact64", SHAPES[0]])


def test_nothing_is_found_where_nothing_is_planted() -> None:
    assert not differences(PREPARED["exact64", SHAPES[0]], seeds=6)
    assert differences(prepare("native"))
