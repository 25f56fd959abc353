"""Storage and layout on their own: moves against lists, visibility against its definition, and no look at a value."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reference.cache import FREE, Piece, Slots, group, lay_out, tree_layout
from reference.cache.layout import visible_slots


def numbered(layers: int = 2, rows: int = 3, heads: int = 2, size: int = 9, width: int = 2) -> Slots:
    """Every number is different."""
    made = Slots.empty(layers, rows, heads, size, width)
    made.keys.copy_(torch.arange(made.keys.numel()).view(made.keys.shape))
    made.values.copy_(-made.keys)
    return made


@given(data=st.data())
@settings(max_examples=60)
def test_compaction_moves_what_it_should(data: st.DataObject) -> None:
    """Against a loop over lists; rows with shorter paths are filled up with the identity."""
    slots = numbered()
    keys = slots.keys.tolist()
    rows = data.draw(st.lists(st.integers(0, 2), unique=True, min_size=1))
    starts = [data.draw(st.integers(0, 5)) for _ in rows]
    paths = [sorted(data.draw(st.sets(st.integers(0, 8 - start), max_size=4))) for start in starts]
    longest = max(1, *(len(path) for path in paths))
    starts = [min(start, 9 - longest) for start in starts]
    filled = [[*path, *range(len(path), longest)] for path in paths]
    for row, start, path in zip(rows, starts, paths, strict=True):
        for layer in keys:
            for head in layer[row]:
                head[start : start + len(path)] = [list(head[start + node]) for node in path]
    slots.compact(torch.tensor(rows), torch.tensor(starts), torch.tensor(filled))
    assert torch.equal(slots.keys, torch.tensor(keys))
    assert torch.equal(slots.values, -slots.keys)


def test_paths_may_overlap_with_their_goals() -> None:
    """Planted: a slot after the other, in an order that reads what was written before."""
    slots, copied = numbered(), numbered()
    path = [2, 0, 1]
    slots.compact(torch.tensor([1]), torch.tensor([3]), torch.tensor([path]))
    assert torch.equal(slots.keys[:, 1, :, 3:6], numbered().keys[:, 1, :, [5, 3, 4]])
    for place, node in enumerate(path):
        copied.keys[:, 1, :, 3 + place] = copied.keys[:, 1, :, 3 + node]
    assert not torch.equal(slots.keys, copied.keys)


@pytest.mark.parametrize("rows", [slice(1, 3), torch.tensor([1, 2]), torch.tensor([2, 0])])
@pytest.mark.parametrize("places", [slice(3, 5), torch.tensor([[3, 4], [7, 7]])])
def test_what_is_written_is_read(rows: slice | Tensor, places: slice | Tensor) -> None:
    slots, before = numbered(), numbered()
    key = torch.arange(16.0).view(2, 2, 2, 2) + 1000  # (R, T, G, d)
    if not isinstance(places, slice):
        key[1, 1] = key[1, 0]
    slots.write(1, rows, places, key, 2 * key)
    keys, values = slots.read(1, rows, 8)
    numbers = [1, 2] if isinstance(rows, slice) else rows.tolist()
    for index, row in enumerate(numbers):
        slot = [3, 4] if isinstance(places, slice) else places[index].tolist()
        for token in range(2):
            assert torch.equal(keys[index, :, slot[token]], key[index, token])
            assert torch.equal(values[index, :, slot[token]], 2 * key[index, token])
        others = [number for number in range(9) if number not in slot]
        assert torch.equal(slots.keys[:, row][:, :, others], before.keys[:, row][:, :, others])
    rest = [row for row in range(3) if row not in numbers]
    assert torch.equal(slots.keys[:, rest], before.keys[:, rest])
    assert torch.equal(slots.keys[0], before.keys[0])
    assert (keys.data_ptr() == slots.keys[1, numbers[0]].data_ptr()) == isinstance(rows, slice)


def test_moving_clearing_and_growing() -> None:
    slots, before = numbered(), numbered()
    slots.move(2, 0, 4)
    assert torch.equal(slots.keys[:, 0, :, :4], before.keys[:, 2, :, :4])
    assert torch.equal(slots.values[:, 0, :, 4:], before.values[:, 0, :, 4:])
    slots.clear(1, 2, 5)
    assert not slots.keys[:, 1, :, 2:5].any()
    assert torch.equal(slots.values[:, 1, :, 5:], before.values[:, 1, :, 5:])
    more = slots.grown(20)
    assert more.size == 20
    assert torch.equal(more.keys[:, :, :, :9], slots.keys)
    assert not more.values[:, :, :, 9:].any()


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    """A text, tokens after it or none, nodes that are there and new ones."""
    length, text = draw(st.integers(0, 9)), draw(st.integers(0, 4))
    if length + text == 0:
        text = 1
    old = 0 if text else draw(st.integers(0, 4))
    size = old + draw(st.integers(0 if text else 1, 5))
    parents = [draw(st.integers(-1, node - 1)) for node in range(size)]
    depths: list[int] = []
    for parent in parents:
        depths.append(1 + (depths[parent] if parent >= 0 else 0))
    tokens = draw(st.lists(st.integers(0, 99), min_size=text + size - old, max_size=text + size - old))
    return Piece(tokens, text, length, parents, depths)


def above(piece: Piece, node: int) -> set[int]:
    return set() if node < 0 else {node} | above(piece, piece.parents[node])


@given(made=st.lists(pieces(), min_size=1, max_size=4))
@settings(max_examples=150)
def test_layouts_are_what_they_are_defined_to_be(made: list[Piece]) -> None:
    """Token by token: position, slot, and the set of slots that it sees."""
    found = lay_out(made, "cpu")
    rows, width = found.tokens.shape
    positions = found.positions.expand(rows, width)
    places = found.places
    if isinstance(places, slice):
        places = torch.arange(places.start, places.stop).expand(rows, width)
    visible = torch.ones(width, found.end, dtype=torch.bool) if found.visible is None else found.visible
    visible = visible.expand(rows, 1, width, found.end)
    assert found.end == max(piece.end for piece in made)
    for row, piece in enumerate(made):
        for token in range(width):
            own = min(token, len(piece.tokens) - 1)  # rows that are shorter repeat their last token
            if own < piece.text:
                position = slot = piece.length + own
                seen = set(range(slot + 1))
            else:
                node = own - piece.text + piece.old
                slot, position = piece.below + node, piece.below + piece.depths[node] - 1
                seen = set(range(piece.below)) | {piece.below + other for other in above(piece, node)}
            assert int(found.tokens[row, token]) == piece.tokens[own]
            assert int(positions[row, token]) == position
            assert int(places[row, token]) == slot
            assert set(visible[row, 0, token].nonzero()[:, 0].tolist()) == seen


def tree_of(parents: list[int]) -> tuple[Tensor, Tensor]:
    piece = Piece([0] * len(parents), 0, 1, parents)
    depths = torch.tensor([len(above(piece, node)) for node in range(len(parents))])
    return depths, torch.tensor(
        [[other in above(piece, node) for other in range(len(parents))] for node in range(len(parents))]
    )


@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    parents=st.integers(1, 6).flatmap(lambda n: st.tuples(*(st.integers(-1, i - 1) for i in range(n)))),
    per_row=st.booleans(),
)
@settings(max_examples=100)
def test_a_static_tree_is_the_same_layout(lengths: list[int], parents: tuple[int, ...], per_row: bool) -> None:
    """`tree_layout` against `lay_out`, which the test above defines."""
    depths, ancestors = tree_of(list(parents))
    made = [Piece([0] * len(parents), 0, length, list(parents), depths.tolist()) for length in lengths]
    expected, size = lay_out(made, "cpu"), 20
    rows = len(lengths)
    one = (depths.expand(rows, -1), ancestors.expand(rows, -1, -1)) if per_row else (depths, ancestors)
    positions, places, visible = tree_layout(torch.tensor(lengths), *one, size)
    assert torch.equal(positions, expected.positions.expand(rows, -1))
    slots = expected.places
    if isinstance(slots, slice):
        slots = torch.arange(slots.start, slots.stop).expand(rows, -1)
    assert torch.equal(places, slots)
    assert visible.shape == (rows, 1, len(parents), size)
    seen = torch.ones(len(parents), expected.end, dtype=torch.bool) if expected.visible is None else expected.visible
    assert torch.equal(visible[..., : expected.end], seen.expand(rows, 1, -1, -1))
    assert not visible[..., expected.end :].any()


def looks(lengths: Tensor, depths: Tensor, ancestors: Tensor, size: int) -> Tensor:
    """Planted: the number of slots is taken from the longest text."""
    return torch.arange(int(lengths.max()))


def test_no_value_is_looked_at() -> None:
    """Tensors without values: whoever looks at one fails. So the calls can be captured in a graph."""
    depths, ancestors = (part.to("meta") for part in tree_of([-1, 0, 0]))
    lengths = torch.zeros(5, dtype=torch.int64, device="meta")
    positions, places, visible = tree_layout(lengths, depths, ancestors, 12)
    assert (positions.shape, places.shape, visible.shape) == ((5, 3), (5, 3), (5, 1, 3, 12))
    assert visible_slots(places, lengths, None, 12).shape == (5, 1, 3, 12)
    slots = Slots.empty(2, 5, 1, 12, 4, device="meta")
    slots.compact(lengths, lengths, places)
    new = torch.empty(5, 3, 1, 4, device="meta")
    slots.write(0, lengths, places, new, new)
    slots.write(0, slice(0, 5), places, new, new)
    assert slots.read(0, lengths, 7)[0].shape == (5, 1, 7, 4)
    with pytest.raises(Exception, match="meta"):
        looks(lengths, depths, ancestors, 12)


@given(sizes=st.lists(st.one_of(st.integers(1, 6), st.integers(1, 400)), min_size=1, max_size=20))
@settings(max_examples=200)
def test_padding_is_bounded(sizes: list[int]) -> None:
    groups = group(sizes)
    assert sorted(read for one in groups for read in one) == list(range(len(sizes)))
    for one in groups:
        own = [sizes[read] for read in one]
        assert max(own) * len(own) <= max(2 * sum(own), sum(own) + FREE)
    for larger, smaller in pairwise(groups):  # and no pass is made for nothing
        first = max(sizes[read] for read in smaller)
        largest = max(sizes[read] for read in larger)
        joined = sum(largest - sizes[read] for read in larger) + largest - first
        assert 2 * first < largest
        assert joined > FREE
