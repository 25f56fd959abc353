"""Stock transformers models made order-independent: faithful, and the same bits however a text is run.

Sliding windows of 5 hide keys in texts of 15; grouped queries, tied and untied heads, biases, soft caps, norms with and
without offset, Conv1D and five activations occur among the families.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proofs_tests.numerics.families import CONTEXT, SIZES, VOCABULARY, build
from proofs_tests.numerics.helpers import same
from reference.numerics import BudgetError, exactify

transformers = pytest.importorskip("transformers", reason="the adapter needs transformers")
LENGTH = 15


def tokens(seed: int, count: int = LENGTH) -> Tensor:
    return torch.randint(VOCABULARY, (1, count), generator=torch.Generator().manual_seed(seed))


def cache(model: Any, static: bool = False) -> Any:
    if static:
        return transformers.StaticCache(config=model.config, max_cache_len=CONTEXT)
    return transformers.DynamicCache(config=model.config)


def keys_and_values(stored: Any) -> list[Tensor]:
    return [part for layer in stored.layers for part in (layer.keys, layer.values)]


def chunks(model: Any, text: Tensor, cuts: list[int], stored: Any) -> Tensor:
    """Logits of a text handed in by pieces that end at the cuts."""
    parts = []
    for begin, end in zip([0, *cuts], [*cuts, text.shape[1]], strict=True):
        positions = torch.arange(begin, end)[None].expand(text.shape[0], -1)
        parts.append(model(text[:, begin:end], past_key_values=stored, position_ids=positions).logits)
    return torch.cat(parts, dim=1)


def masks(model: Any, visible: Tensor, positions: Tensor, where: Tensor) -> Any:
    """A tree's mask as the family wants it: with one for its sliding layers where it has such layers.

    visible (T, S); positions (T,) of the queries; where (S,) the position of the token in each slot.
    """
    window = getattr(model.config, "sliding_window", None)
    near = visible if window is None else visible & (positions[:, None] - where[None] < window)
    if len(set(getattr(model.config, "layer_types", None) or ["full_attention"])) > 1:
        return {"full_attention": visible[None, None], "sliding_attention": near[None, None]}
    return near[None, None]


def with_tree(
    model: Any, text: Tensor, seed: int, leak: bool = False, position: int = 0
) -> tuple[Tensor, list[Tensor]]:
    """The text in two calls: a prompt, then the rest scattered among wrong branches, whose slots are then cut out.

    ``leak`` plants a key of a wrong branch into the sight of one token, ``position`` shifts the tree's positions.
    """
    length = text.shape[1]
    start = length // 2
    generator = torch.Generator().manual_seed(seed)
    more = 6
    stored = transformers.DynamicCache()  # keeps all slots, sliding layers included
    causal = torch.ones(start, start, dtype=torch.bool).tril()
    at = torch.arange(start)
    first = model(
        text[:, :start], past_key_values=stored, position_ids=at[None], attention_mask=masks(model, causal, at, at)
    ).logits
    order = torch.randperm(length - start + more, generator=generator)
    true = order[: length - start].sort().values  # places of the true path among the nodes
    nodes = torch.randint(VOCABULARY, (length - start + more,), generator=generator)
    nodes[true] = text[0, start:]
    depth = torch.zeros(len(nodes), dtype=torch.long)
    visible = torch.zeros(len(nodes), start + len(nodes), dtype=torch.bool)
    last = -1
    for node in range(len(nodes)):
        visible[node, start + node] = True
        if last >= 0:
            visible[node] |= visible[last]
            depth[node] = depth[last] + 1
        visible[node, :start] = True
        if node in true:
            last = node
    if leak:
        wrong = int(order[length - start :][0])
        after = [int(node) for node in true if node > wrong]
        if after:
            visible[after[0], start + wrong] = True
    at, slot = depth + start + position, torch.cat([torch.arange(start), depth + start + position])
    second = model(
        nodes[None], past_key_values=stored, position_ids=at[None], attention_mask=masks(model, visible, at, slot)
    ).logits[:, true]
    kept = torch.cat([torch.arange(start), true + start])
    return torch.cat([first, second], dim=1), [part[:, :, kept] for part in keys_and_values(stored)]


def ragged(model: Any, texts: list[Tensor]) -> list[Tensor]:
    """Texts of different lengths in one batch, padded on the left with a token that also occurs in them."""
    width = max(text.shape[1] for text in texts)
    rows = torch.cat([F.pad(text, (width - text.shape[1], 0), value=3) for text in texts])
    mask = torch.stack([torch.arange(width) >= width - text.shape[1] for text in texts]).long()
    positions = (mask.cumsum(-1) - 1).clamp_min(0)
    logits = model(rows, attention_mask=mask, position_ids=positions).logits
    return [row[width - text.shape[1] :][None] for row, text in zip(logits, texts, strict=True)]


def differences(model: Any, seed: int) -> list[str]:
    """Names of the ways to run a text that change a bit of its logits, keys or values."""
    text = tokens(seed)
    stored = transformers.DynamicCache()
    window = getattr(model.config, "sliding_window", None)
    rows = []
    for index in range(LENGTH):  # one token at a time
        at = torch.tensor([index])
        seen = masks(model, torch.ones(1, index + 1, dtype=torch.bool), at, torch.arange(index + 1))
        new = model(text[:, index : index + 1], past_key_values=stored, position_ids=at[None], attention_mask=seen)
        rows.append(new.logits)
    expected, parts = torch.cat(rows, dim=1), keys_and_values(stored)
    wrong = []
    if not same(model(text).logits, expected):
        wrong.append("at once")
    if not same(chunks(model, text, [1, 3, 10], cache(model)), expected):
        wrong.append("chunks")
    if not same(chunks(model, text, [4, 5], cache(model, static=window is None)), expected):
        wrong.append("static cache")
    for branch in range(2):
        logits, ours = with_tree(model, text, 10 * seed + branch)
        if not same(logits, expected) or not all(same(a, b) for a, b in zip(ours, parts, strict=True)):
            wrong.append(f"tree {branch}")
    texts = [tokens(seed + 1, 5), text, tokens(seed + 2, 11)]
    if not same(ragged(model, texts)[1], expected) or not same(ragged(model, texts[::-1])[0], model(texts[2]).logits):
        wrong.append("ragged batch")
    return wrong


ALWAYS = ["llama", "qwen3", "mistral", "gemma2", "gpt2", "phi"]
"""Families of the default run; the others differ less from these and wait for ``make test-slow``."""

families = [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow) for name in SIZES]


@pytest.mark.parametrize("family", families)
def test_same_bits_and_faithful(family: str) -> None:
    """The copy agrees with the stock model to 1e-3 (2e-5 in fact), and with itself in every bit."""
    stock = build(family)
    before = copy.deepcopy(stock.state_dict())
    exact = exactify(stock)
    logits = stock(tokens(0)).logits
    assert logits.std() > 1
    assert (exact(tokens(0)).logits - logits).abs().max() < 1e-3
    assert differences(exact, 1) == []
    assert stock.config._attn_implementation == "eager"
    assert torch.equal(stock(tokens(0)).logits, logits)
    assert all(torch.equal(a, b) for a, b in zip(before.values(), stock.state_dict().values(), strict=True))
    shared = {id(p) for p in stock.parameters()}
    assert {id(p) for p in exact.parameters()} == shared


@pytest.mark.parametrize("family", ["gpt2", pytest.param("gemma2", marks=pytest.mark.slow)])
def test_int8_has_the_same_bits(family: str) -> None:
    assert differences(exactify(build(family), "int8"), 2) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float64, marks=pytest.mark.slow)])
def test_other_dtypes(dtype: torch.dtype) -> None:
    assert differences(exactify(build("llama").to(dtype)), 3) == []


@pytest.mark.parametrize("planted", [{"leak": True}, {"position": 1}])
def test_planted_tree_bugs_are_caught(planted: dict[str, Any]) -> None:
    exact, text = exactify(build("llama")), tokens(1)
    assert same(with_tree(exact, text, 5)[0], exact(text).logits)
    assert any(not same(with_tree(exact, text, seed, **planted)[0], exact(text).logits) for seed in range(5))


def test_library_arithmetic_is_caught() -> None:
    """Planted: the stock model. It is the ways of running a text that find it, so one family is as good as another."""
    stock = build("llama")
    stock.set_attn_implementation("sdpa")
    assert len(differences(stock, 1)) > 2


def test_a_layer_that_was_forgotten_is_caught() -> None:
    """Planted: one linear layer of the library in an order-independent model."""
    stock = build("llama")
    exact = exactify(stock)
    exact.model.layers[1].mlp.down_proj = stock.model.layers[1].mlp.down_proj
    assert differences(exact, 1) != []


def test_what_it_does_not_know_is_named() -> None:
    model = build("llama")
    model.model.layers[1].mlp.act_fn = torch.nn.Softplus()
    model.model.norm = torch.nn.GroupNorm(4, 40)
    with pytest.raises(ValueError, match=r"GroupNorm at model\.norm, Softplus at model\.layers\.1\.mlp\.act_fn"):
        exactify(model)
    with pytest.raises(ValueError, match="allowed families are llama, qwen2"):
        exactify(torch.nn.Sequential(torch.nn.Linear(2, 2)), context=8)
    sizes = {"vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 2, "max_position_embeddings": 16}
    other = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model("mixtral", **sizes))
    with pytest.raises(ValueError, match="Mixtral"):
        exactify(other)


def test_bad_calls() -> None:
    model = build("llama")
    with pytest.raises(ValueError, match="arithmetic is 'native'; allowed are those that are exact"):
        exactify(model, "native")
    with pytest.raises(ValueError, match="arithmetic is 'int4'; allowed are exact64, int8, native"):
        exactify(model, "int4")
    with pytest.raises(BudgetError, match="context is 1073741824"):
        exactify(model, context=2**30)
    short = exactify(model, context=8)
    with pytest.raises(BudgetError, match="context is 8; the call has 9 slots"):
        short(tokens(0, 9))
    model.config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    with pytest.raises(ValueError, match="rope_type is 'dynamic'"):
        exactify(model)
