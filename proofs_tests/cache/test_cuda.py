"""The cache on a CUDA device: the same equalities, and no synchronisation where none is promised."""

from __future__ import annotations

import pytest
import torch

from proofs_tests.cache.world import SHAPES, World, prepare, random_ops
from reference.cache import Slots, tree_layout

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is visible to torch"),
]


@pytest.mark.parametrize("name", ["exact64", "int8"])
@pytest.mark.parametrize("shape", SHAPES)
def test_any_operations(name: str, shape: tuple[int, int, int, int]) -> None:
    prepared = prepare(name, shape, device="cuda")
    for seed in range(3):
        world = World(prepared, 5).run(random_ops(seed, 60))
        assert world.wrong == 0
        assert world.compared > 100


def test_a_planted_defect_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slots, "compact", lambda *_: None)
    prepared = prepare("exact64", device="cuda")
    assert any(World(prepared, 5).run(random_ops(seed, 60)).wrong for seed in range(6))


def test_no_synchronisation() -> None:
    """Layout, storage, compaction: torch raises an error if the host waits for the device."""
    slots = Slots.empty(2, 3, 2, 16, 4, device="cuda")
    lengths, depths = torch.tensor([2, 5, 0], device="cuda"), torch.tensor([1, 2, 2], device="cuda")
    ancestors = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1]], device="cuda") > 0
    rows, path = torch.arange(3, device="cuda"), torch.tensor([[0, 2], [1, 1], [0, 1]], device="cuda")
    new = torch.randn(3, 3, 2, 4, device="cuda")
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        _, places, _ = tree_layout(lengths, depths, ancestors, 16)
        slots.write(0, rows, places, new, new)
        slots.compact(rows, lengths, path)
        slots.read(0, slice(0, 3), 9)
        with pytest.raises(RuntimeError, match="synchroniz"):
            lengths.max().item()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert torch.equal(slots.keys[0, 0, :, 2:4], new[0, [0, 2]].transpose(0, 1))
