"""The same on a CUDA device: bits, windows, dtypes, decoders, and the distance to the CPU."""

from __future__ import annotations

import pytest
import torch

from proofs_tests.cache.world import SPARE
from proofs_tests.models.networks import FAMILIES, OPS, ModelWorld, Whole, network
from proofs_tests.models.test_transformers import TEXT
from reference import decode
from reference.models.transformers import TransformersModel

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is visible to torch"),
]


@pytest.mark.parametrize("family", FAMILIES)
def test_same_bits(family: str) -> None:
    made = TransformersModel(network(family).cuda(), spare=SPARE)
    world = ModelWorld(made).run(OPS)
    assert world.wrong == 0
    assert world.moved > 0
    assert world.cache.slots.keys.is_cuda
    there = TransformersModel(network(family), spare=SPARE).start().extend(TEXT)
    assert (made.start().extend(TEXT).cpu() - there).abs().max() < 1e-3


@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_same_bits_in_other_dtypes(arithmetic: str, dtype: torch.dtype) -> None:
    for family in ("gemma2", "gpt2"):
        made = TransformersModel(network(family).to(dtype).cuda(), arithmetic, spare=SPARE)
        assert ModelWorld(made).run(OPS[:20]).wrong == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_native_is_stock_up_to_rounding(family: str) -> None:
    made = TransformersModel(network(family).cuda(), "native", spare=SPARE)
    assert (made.start().extend(TEXT) - Whole(made.network, None)(TEXT)[0]).abs().max() < 1e-3


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_one_text_with_every_decoder(temperature: float) -> None:
    target, draft = (TransformersModel(network(family).cuda()) for family in ("gemma2", "qwen2"))
    own = decode.Options(max_tokens=24, temperature=temperature)
    expected = decode.autoregressive(target, TEXT, options=own).tokens
    assert decode.chain(target, draft, TEXT, options=own).tokens == expected
    assert decode.tree(target, target.early(1), TEXT, shape=(3, 2), options=own).tokens == expected
    together = decode.batched(target, [decode.Request(prompt=TEXT, options=own), decode.Request(prompt=[1, 2])], rows=2)
    assert isinstance(together[0], decode.Decoded)
    assert together[0].tokens == expected
