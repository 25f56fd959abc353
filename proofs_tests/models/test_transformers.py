"""Transformers models behind the cache: every family, the same bits however a text is read, and the stock logits.

The judge reads whole texts with the library's own masks, positions and cache (`networks.Whole`): it knows no slots, no
trees and no rows. Heads are grouped, widths of 40 and 52 with heads of 10 and 12, windows of 5 in texts of up to 96.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from proofs_tests.cache.world import CONTEXT, KINDS, SPARE, VOCABULARY, Op
from proofs_tests.models.networks import FAMILIES, OPS, SLIDING, WINDOW, ModelWorld, Whole, model, network
from proofs_tests.numerics.helpers import same
from reference.models import hf_pass
from reference.models.hf_pass import Passes, near
from reference.models.transformers import TransformersModel
from reference.numerics import BudgetError

TEXT = [number * 7 % VOCABULARY for number in range(37)]


@pytest.mark.parametrize("family", FAMILIES)
def test_same_bits_and_faithful(family: str) -> None:
    """Chains, trees that grow, ragged batches, compaction, rewinding: logits, keys and values equal in every bit."""
    made = model(family)
    before = copy.deepcopy(made.network.state_dict())
    world = ModelWorld(made).run(OPS)
    assert world.wrong == 0
    assert world.compared > 100
    assert world.moved > 0
    assert world.batched > 2
    stock = Whole(made.network, None)(TEXT)[0]
    assert stock.std() > 1
    assert (made.start().extend(TEXT) - stock).abs().max() < 1e-3
    assert all(torch.equal(a, b) for a, b in zip(before.values(), made.network.state_dict().values(), strict=True))


@pytest.mark.parametrize("family", ["gemma2", "gpt2", pytest.param("phi3", marks=pytest.mark.slow)])
def test_same_bits_in_int8(family: str) -> None:
    assert ModelWorld(model(family, "int8")).run(OPS).wrong == 0


@pytest.mark.parametrize("family", ["mistral", pytest.param("gpt_neox", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_same_bits_in_other_dtypes(family: str, dtype: torch.dtype) -> None:
    made = TransformersModel(network(family).to(dtype), spare=SPARE)
    world = ModelWorld(made).run(OPS[:20])
    assert world.wrong == 0
    assert world.cache.slots.keys.dtype == dtype
    assert made.start().extend([1]).dtype == dtype


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=15)
@given(ops=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 10**6)), min_size=5, max_size=25))
def test_any_operations(family: str, ops: list[Op]) -> None:
    assert ModelWorld(model(family)).run(ops).wrong == 0


@settings(max_examples=6)
@given(ops=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 10**6)), min_size=5, max_size=15))
def test_any_operations_with_windows(ops: list[Op]) -> None:
    assert ModelWorld(model("gemma2")).run(ops).wrong == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_native_is_stock_up_to_rounding(family: str) -> None:
    """The same cache with the library's kernels: no bits are promised, but float32 rounding is all that differs."""
    made = model(family, "native")
    judge = Whole(made.network, None)
    state = made.start()
    state.extend(TEXT[:20])
    logits = state.extend([], [5, *TEXT[20:24], 6], [-1, -1, 1, 2, 3, 0])
    assert (logits[1:5] - judge(TEXT[:24])[0][20:]).abs().max() < 5e-5
    assert (logits[5] - judge([*TEXT[:20], 5, 6])[0][-1]).abs().max() < 5e-5
    state.keep([1, 2, 3, 4])
    assert (state.extend(TEXT[24:]) - judge(TEXT)[0][24:]).abs().max() < 5e-5
    for stored, expected in zip(state.stored(), judge(TEXT)[1:], strict=True):
        assert (stored - expected).abs().max() < 5e-5


def test_native_is_caught_where_bits_count() -> None:
    """Planted: library kernels where order-independent ones are promised."""
    made = model("llama", "native")
    assert ModelWorld(made, judge=Whole(made.network, None)).run(OPS).wrong > 0


# --- planted defects -------------------------------------------------------------------------------------------------

Call = tuple[Tensor, Any, Tensor, Any, int, "Tensor | None", Any]


def position_is_slot(call: Call) -> Call:
    tokens, slots, positions, places, end, visible, rows = call
    if isinstance(places, Tensor):
        positions = places
    elif visible is not None:
        positions = torch.arange(places.start, places.stop)
    return tokens, slots, positions.clamp_max(CONTEXT - 1), places, end, visible, rows


def leak(call: Call) -> Call:
    """Nodes of a tree see the slot before their own, whoever wrote it."""
    tokens, slots, positions, places, end, visible, rows = call
    if visible is not None and visible.dim() == 4:
        own = torch.arange(places.start, places.stop)[None] if isinstance(places, slice) else places  # (R, T)
        before = (own - 1).clamp_min(0)[:, None, :, None].expand(len(visible), -1, -1, -1)
        visible = visible.scatter(3, before, True)
    return tokens, slots, positions, places, end, visible, rows


class Spoiled:
    """A pass whose arguments were changed on the way."""

    def __init__(self, passes: Passes, spoil: Callable[[Call], Call]) -> None:
        self._passes, self._spoil = passes, spoil

    def __call__(self, *call: Any) -> Tensor:
        return self._passes(*self._spoil(call))  # type: ignore[arg-type]


def found(made: TransformersModel) -> bool:
    return ModelWorld(made).run(OPS[:16]).wrong > 0


@pytest.mark.parametrize("spoil", [position_is_slot, leak])
@pytest.mark.parametrize("family", ["llama", "gpt2", pytest.param("gemma3_text", marks=pytest.mark.slow)])
def test_planted_state_bugs_are_caught(family: str, spoil: Callable[[Call], Call]) -> None:
    made = model(family)
    made._passes = Spoiled(made._passes, spoil)  # type: ignore[assignment]
    assert found(made)


def by_slot(visible: Tensor, window: int) -> Tensor:
    slot = torch.arange(visible.shape[-1])
    return visible & (slot > (visible * slot).amax(-1, keepdim=True) - window)


WINDOWS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "by slot": by_slot,
    "one too long": lambda visible, window: near(visible, window + 1),
    "one too short": lambda visible, window: near(visible, window - 1),
    "forgotten": lambda visible, window: visible,
}


@pytest.mark.parametrize("planted", WINDOWS)
@pytest.mark.parametrize("family", ["mistral", "qwen2", pytest.param("gemma3_text", marks=pytest.mark.slow)])
def test_planted_windows_are_caught(family: str, planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_pass, "near", WINDOWS[planted])
    assert found(model(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_which_families_have_windows(family: str) -> None:
    made = model(family)
    assert made._passes.window == (WINDOW if family in SLIDING else None)


def test_padding_repeats_in_the_window() -> None:
    """Rows of different sizes in one pass, under a window: each row as if alone."""
    made = model("mistral")
    cache, judge = made.cache(3), Whole(made.network, "exact64")
    texts = [TEXT[:9], TEXT[3:20], [4] * 12]
    states = [cache.start() for _ in texts]
    read = cache.extend([hf_read(state, text) for state, text in zip(states, texts, strict=True)])
    assert cache.passes == 1
    for logits, text in zip(read, texts, strict=True):
        assert same(logits, judge(text)[0])


def hf_read(state: Any, text: list[int]) -> Any:
    from reference.models.protocol import Read

    return Read(state, text)


# --- early layers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_early_layers_are_the_network_cut_short(family: str) -> None:
    """Bits of a network that is made with one layer and given the weights; nothing is copied, and the whole stays."""
    made = model(family)
    early = made.early(1)
    layers = "n_layer" if family == "gpt2" else "num_hidden_layers"
    types = {"layer_types": ["sliding_attention"]} if family == "gemma3_text" else {}
    if family in ("qwen2", "gemma2"):
        types = {"layer_types": made.network.config.layer_types[:1]}
    small = network(family, **{layers: 1, **types})
    small.load_state_dict({name: made.network.state_dict()[name] for name in small.state_dict()})
    judge = Whole(small, "exact64")
    assert ModelWorld(early, judge=judge).run(OPS[:12]).wrong == 0
    assert same(early.start().extend(TEXT), judge(TEXT)[0])
    assert {id(p) for p in early.network.parameters()} < {id(p) for p in made.network.parameters()}
    assert same(made.start().extend(TEXT), Whole(made.network, "exact64")(TEXT)[0])
    assert same(made.early(2).start().extend(TEXT), made.start().extend(TEXT))


@pytest.mark.parametrize("layers", [0, 3, True, 1.0])
def test_early_of_what_is_not_there(layers: Any) -> None:
    with pytest.raises(ValueError, match=r"layers is .*; allowed are whole numbers from 1 to 2"):
        model("llama").early(layers)


# --- errors ----------------------------------------------------------------------------------------------------------


def test_bad_calls() -> None:
    stock = network("llama")
    with pytest.raises(ValueError, match="arithmetic is 'int4'; allowed are exact64, int8, native"):
        TransformersModel(stock, "int4")
    for context in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match=r"context is .*; allowed are whole numbers >= 1"):
            TransformersModel(stock, context=context)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="spare is -1; allowed are whole numbers >= 0"):
        TransformersModel(stock, spare=-1)
    with pytest.raises(BudgetError, match="context is"):
        TransformersModel(stock, context=2**30)
    with pytest.raises(ValueError, match="rows is 0"):
        TransformersModel(stock).cache(0)


def test_learned_positions_limit_the_context() -> None:
    with pytest.raises(ValueError, match="context is 97; the model has learned 96 positions"):
        TransformersModel(network("gpt2"), context=97)
    longer = TransformersModel(network("llama"), context=200)
    text = [token % VOCABULARY for token in range(150)]
    assert same(longer.start().extend(text), Whole(longer.network, "exact64", context=400)(text)[0])


def test_a_full_context() -> None:
    """The last position is used, and not one more; nodes on trial find room beyond it."""
    made = TransformersModel(network("gpt2"), context=8, spare=2)
    state, judge = made.start(), Whole(made.network, "exact64", context=10)
    read = state.extend(TEXT[:7], [1, 2, 3], [-1, -1, -1])
    for row, node in zip(read[7:], (1, 2, 3), strict=True):
        assert same(row, judge([*TEXT[:7], node])[0][-1])
    with pytest.raises(ValueError, match="the context holds 8"):
        state.extend(TEXT[7:9])
    with pytest.raises(ValueError, match="tree: 1 tokens; 0 slots are left, see spare"):
        state.extend([], [4], [-1])
    assert same(state.extend(TEXT[7:8])[0], judge(TEXT[:8])[0][-1])


def test_what_is_refused_by_name() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    with pytest.raises(ValueError, match="model is a Linear; allowed are the causal models of llama"):
        TransformersModel(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="model is a LlamaModel"):
        TransformersModel(network("llama").model)
    sizes = {"vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 2, "max_position_embeddings": 16}
    other = AutoModelForCausalLM.from_config(AutoConfig.for_model("mixtral", **sizes))
    for arithmetic in ("exact64", "native"):
        with pytest.raises(ValueError, match="model is a MixtralForCausalLM"):
            TransformersModel(other, arithmetic)
    turned = network("llama")
    turned.config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    for arithmetic in ("exact64", "native"):
        with pytest.raises(ValueError, match="rope_type is 'dynamic'"):
            TransformersModel(turned, arithmetic)
    both = network("gemma3_text")
    both.config.use_bidirectional_attention = True
    with pytest.raises(ValueError, match="attention in both directions"):
        TransformersModel(both)
    nowhere = network("llama").to("meta")
    with pytest.raises(ValueError, match="its weights are on meta"):
        TransformersModel(nowhere)
    uneven = network("llama")
    uneven.model.layers[1].self_attn.layer_idx = 5
    with pytest.raises(ValueError, match=r"layers \[0, 5\] store keys"):
        TransformersModel(uneven)


def test_layers_of_different_sizes_are_named() -> None:
    odd = network("llama")
    attention = odd.model.layers[1].self_attn
    attention.k_proj, attention.v_proj = (torch.nn.Linear(40, 40, bias=False) for _ in range(2))  # four heads, not two
    attention.num_key_value_groups = 1
    for arithmetic in ("exact64", "native"):
        with pytest.raises(ValueError, match=r"layer 1 stores keys \(4, 10, .*layer 0 keys \(2, 10"):
            TransformersModel(odd, arithmetic)


def test_more_tokens_read_than_predicted() -> None:
    odd = network("llama")
    odd.lm_head = torch.nn.Linear(40, VOCABULARY - 1, bias=False)
    with pytest.raises(ValueError, match="it reads 23 tokens and has logits of 22"):
        TransformersModel(odd)
