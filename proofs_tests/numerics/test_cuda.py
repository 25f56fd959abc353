"""The same equalities on a CUDA device: row counts, slots, holes, whole models, and distance to the CPU."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from proofs_tests.numerics.helpers import normal, same
from proofs_tests.numerics.layouts import Row, commit, plan
from proofs_tests.numerics.test_models import CONTEXT, VOCABULARY, model
from reference.numerics import ARITHMETICS, PreparedLlama, attention, elementwise

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is visible to torch"),
]


@pytest.mark.parametrize("name", ["exact64", "int8"])
@pytest.mark.parametrize(("width", "height"), [(100, 130), (512, 1536), (4096, 1000), (1, 3)])
def test_rows_are_alone(name: str, width: int, height: int) -> None:
    a: Any = ARITHMETICS[name]
    weight = a.weight(normal(height, width, seed=1, spread=3).cuda())
    x = normal(200, width, seed=2, spread=6).cuda()
    expected = a.linear(x, weight)
    for count in (1, 2, 3, 7, 16, 17, 31, 64, 65, 128):
        assert same(a.linear(x[50 : 50 + count], weight), expected[50 : 50 + count])
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0)).cuda()
    assert same(a.linear(x[order], weight), expected[order])
    assert torch.equal(expected.cpu(), a.linear(x.cpu(), a.weight(normal(height, width, seed=1, spread=3))))


@pytest.mark.parametrize("slots", [1, 64, 300, 1500])
def test_slots_do_not_matter(slots: int) -> None:
    q, k, v = (normal(2, 4 if i == 0 else 2, slots if i else 9, 40, seed=i).cuda() for i in range(3))
    visible = torch.rand(9, slots, generator=torch.Generator().manual_seed(1)).cuda() < 0.8
    visible[:, 0] = True
    order = torch.randperm(slots, generator=torch.Generator().manual_seed(2)).cuda()
    options = {"scale": 40**-0.5, "context": 2048}
    expected = attention(q, k, v, visible, **options)
    assert same(attention(q, k[:, :, order], v[:, :, order], visible[:, order], **options), expected)
    for t in range(9):
        seen = visible[t].nonzero()[:, 0]
        alone = attention(q[:1, :, t : t + 1], k[:1, :, seen], v[:1, :, seen], None, **options)
        assert same(alone, expected[:1, :, t : t + 1])


def test_functions_do_not_depend_on_the_place() -> None:
    numbers = torch.randn(64, dtype=torch.float64).cuda()
    for function in (elementwise.silu, elementwise.gelu, elementwise.gelu_tanh, elementwise.sigmoid, torch.exp):
        alone = torch.cat([function(numbers[i : i + 1].clone()) for i in range(64)])
        for length in (3, 63, 65, 2051):
            index = (torch.arange(length) * 5 % 64).cuda()
            assert torch.equal(function(numbers[index]), alone[index])


@pytest.mark.parametrize("name", ["exact64", "int8"])
def test_models_run_in_any_layout_and_close_to_the_cpu(name: str) -> None:
    here, there = (PreparedLlama(model(0).to(device), ARITHMETICS[name]) for device in ("cuda", "cpu"))
    rng = random.Random(0)
    rows = [Row([rng.randrange(VOCABULARY) for _ in range(20)]) for _ in range(3)]
    slots = here.slots(3)
    while not all(row.done for row in rows):
        made = plan(rows, CONTEXT, VOCABULARY, rng, 9, 0.5)
        on = [part.cuda() for part in (made.tokens, made.positions, made.places, made.visible)]
        commit(rows, made, here(on[0], slots, on[1], on[2], CONTEXT, on[3]))
    for row in rows:
        for device, prepared in (("cuda", here), ("cpu", there)):
            alone, logits = prepared.slots(1), []
            for index, token in enumerate(row.text):
                at = torch.tensor([index], device=device)
                call = torch.tensor([[token]], device=device), alone, at, slice(index, index + 1), index + 1, None
                logits.append(prepared(*call)[0, 0])
            if device == "cuda":
                assert same(torch.stack(row.logits), torch.stack(logits))
            elif name == "exact64":
                assert (torch.stack(row.logits).cpu() - torch.stack(logits)).abs().max() < 1e-4
