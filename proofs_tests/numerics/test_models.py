"""Whole models: logits and cached keys and values of a text, token by token against every other way to run it.

Luck is no way through: all logits of a text and all keys and values of all layers must agree in every bit, and every
planted defect below, each of which token comparison would mostly miss, is found within a few examples. One thing only
the argument excludes, not these tests: an inexact sum before a later grid, which hides a last bit in all but one of
10^8 entries. So sums are compared with whole numbers one by one (test_grid, test_layers, test_attention).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from proofs_tests.numerics.helpers import same, threads, unit_of
from proofs_tests.numerics.layouts import Round, Row, commit, plan
from reference.cache import Slots
from reference.models.llama import Llama, LlamaConfig
from reference.numerics import ARITHMETICS, BudgetError, PreparedLlama
from reference.numerics.exact64 import Exact64, Weight64

CONTEXT, VOCABULARY = 64, 50


def model(seed: int, width: int = 40, heads: int = 4, shared: int = 2, inner: int = 52) -> Llama:
    """Two layers with weights that spread the logits."""
    torch.manual_seed(seed)
    made = Llama(LlamaConfig(VOCABULARY, width, inner, 2, heads, shared, CONTEXT))
    for parameter in made.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=1.5 * parameter.shape[-1] ** -0.5)
        else:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return made.requires_grad_(False)


def one_by_one(prepared: PreparedLlama, text: list[int]) -> tuple[list[Tensor], Slots]:
    """Logits after each token, each token in a call of its own, slots in order, one thread."""
    slots, logits = prepared.slots(1), []
    for index, token in enumerate(text):
        step = slice(index, index + 1)
        new = prepared(torch.tensor([[token]]), slots, torch.tensor([index]), step, index + 1, None)
        logits.append(new[0, 0])
    return logits, slots


def rounds(
    prepared: PreparedLlama,
    texts: list[list[int]],
    rng: random.Random,
    most: int,
    branching: float,
    spoil: Callable[[Round, random.Random], None] = lambda made, rng: None,
) -> tuple[list[Row], Slots]:
    """Run all texts together in rounds of random trees; ``spoil`` may plant a defect into each round."""
    rows, slots = [Row(text) for text in texts], prepared.slots(len(texts))
    while not all(row.done for row in rows):
        made = plan(rows, CONTEXT, VOCABULARY, rng, most, branching)
        spoil(made, rng)
        commit(rows, made, prepared(made.tokens, slots, made.positions, made.places, CONTEXT, made.visible))
    return rows, slots


def differences(prepared: PreparedLlama, seed: int, batch: int, most: int, branching: float, **options: Any) -> int:
    """Committed positions whose logits, keys or values differ from one by one."""
    rng = random.Random(seed)
    texts = [[rng.randrange(VOCABULARY) for _ in range(rng.randint(1, 24))] for _ in range(batch)]
    rows, slots = rounds(prepared, texts, rng, most, branching, **options)
    wrong = 0
    for index, row in enumerate(rows):
        logits, expected = one_by_one(prepared, row.text)
        wrong += sum(not same(a, b) for a, b in zip(row.logits, logits, strict=True))
        for ours, theirs in ((slots.keys, expected.keys), (slots.values, expected.values)):
            for position, place in enumerate(row.where):
                wrong += not same(ours[:, index, :, place], theirs[:, 0, :, position])
    return wrong


@pytest.mark.parametrize("name", ["exact64", "int8"])
@given(
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(40, 4, 2, 52), (36, 3, 3, 70), (48, 4, 1, 130)]),
    batch=st.integers(1, 4),
    most=st.sampled_from([1, 2, 5, 9, 17]),
    branching=st.sampled_from([0.0, 0.3, 0.8]),
)
@settings(max_examples=8)
def test_every_layout_gives_the_same_bits(
    name: str, seed: int, shape: tuple[int, ...], batch: int, most: int, branching: float
) -> None:
    """Chains, trees, chunks of a prompt, ragged batches, scattered slots."""
    prepared = PreparedLlama(model(seed % 7, *shape), ARITHMETICS[name])
    assert differences(prepared, seed, batch, most, branching) == 0


@pytest.mark.parametrize("name", ["exact64", "int8"])
def test_a_prompt_at_once(name: str) -> None:
    """Contiguous slots and a causal mask, as a decoder writes them; two threads against one."""
    prepared = PreparedLlama(model(0), ARITHMETICS[name])
    text = [i * 7 % VOCABULARY for i in range(37)]
    expected, stored = one_by_one(prepared, text)
    slots = prepared.slots(1)
    causal = torch.ones(37, 37, dtype=torch.bool).tril()
    with threads(2):
        logits = prepared(torch.tensor([text]), slots, torch.arange(37), slice(0, 37), 37, causal)
    assert same(logits[0], torch.stack(expected))
    assert same(slots.keys, stored.keys)
    assert same(slots.values, stored.values)


@pytest.mark.parametrize("name", ["exact64", "int8"])
def test_what_is_stored_is_on_its_grid(name: str) -> None:
    """Keys and values fit the bits of their budget, for inputs that reach the bound on a value as well.

    Whole texts would hardly show it: a sum needs many large terms before a bit too many is lost.
    """
    made = model(0)
    layer: Any = made.model.layers[0]
    for row in range(10):  # tokens along the rows of the values' weights: Cauchy's bound is attained
        made.model.embed_tokens.weight[row] = layer.self_attn.v_proj.weight[row] * layer.input_layernorm.weight
    prepared = PreparedLlama(made, ARITHMETICS[name])
    _, slots = one_by_one(prepared, [*range(20)])
    budget = prepared.budget
    for index, weights in enumerate(prepared.layers):
        step = weights.pull / (1.5 * 2.0**52)
        units = slots.values[index, 0, :, :20] / step[:, None]
        assert torch.equal(units, units.round())
        assert units.abs().max() <= 2.0**budget.value_bits
        if index == 0:
            assert units.abs().max() >= 2.0 ** (budget.value_bits - 2)
        for row in slots.keys[index, 0, :, :20].flatten(0, 1).tolist():
            stored = [Fraction(value) for value in row]
            assert max(map(abs, stored)) <= 2**budget.score_bits * unit_of(stored)


def test_exact64_is_faithful() -> None:
    """Within 1e-4 of the stock model in float64, where the stock float32 model is as well."""
    stock = model(3)
    tokens = torch.randint(VOCABULARY, (1, 40))
    truth = stock.double()(tokens)
    logits, _ = one_by_one(PreparedLlama(model(3), ARITHMETICS["exact64"]), tokens[0].tolist())
    assert truth.std() > 0.5
    assert (torch.stack(logits) - truth[0]).abs().max() < 1e-4


class Ungridded:
    """Planted: float64 everywhere, no grid for the operands of linear layers."""

    name, exact, stream = "ungridded", True, torch.float64

    def weight(self, matrix: Tensor, bias: Tensor | None = None, *, out: Any = None) -> Weight64:
        return Weight64(matrix.double(), 22, bias)

    def linear(self, x: Tensor, weight: Weight64) -> Tensor:
        return F.linear(x, weight.matrix)

    def norm_weight(self, matrix: Tensor, gain: Tensor, *, out: Any = None) -> Weight64:
        return self.weight(matrix * gain)

    def norm_linear(self, x: Tensor, weight: Weight64, eps: float) -> Tensor:
        return F.linear(F.rms_norm(x, (x.shape[-1],), None, eps), weight.matrix)


def found(prepared: PreparedLlama, **options: Any) -> bool:
    return any(differences(prepared, seed, 2, 9, 0.5, **options) for seed in range(4))


def leak(made: Round, rng: random.Random) -> None:
    """One node sees one slot too many: the sibling that was planned next to it."""
    batch, width = made.tokens.shape
    if width > 1:
        row, node = rng.randrange(batch), rng.randrange(1, width)
        made.visible[row, 0, node, made.places[row, node - 1]] ^= True


def slot_as_position(made: Round, rng: random.Random) -> None:
    made.positions.copy_(made.places)


def shifted(made: Round, rng: random.Random) -> None:
    """All positions of later rounds one too large: rotary scores see differences only, and logits hardly move."""
    if int(made.positions.max()) > 8:
        made.positions.add_(1).clamp_(max=CONTEXT - 1)


def stale(made: Round, rng: random.Random) -> None:
    """Two nodes write to one slot."""
    if made.places.shape[1] > 1:
        made.places[:, -1] = made.places[:, 0]


@pytest.mark.parametrize("spoil", [leak, slot_as_position, shifted, stale])
def test_planted_state_bugs_are_caught(spoil: Callable[[Round, random.Random], None]) -> None:
    assert found(PreparedLlama(model(0), Exact64()), spoil=spoil)


def test_planted_arithmetic_is_caught() -> None:
    assert found(PreparedLlama(model(0), ARITHMETICS["native"]))
    assert found(PreparedLlama(model(0), Ungridded()))
    assert not found(PreparedLlama(model(0), Exact64()))


@pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"),
    reason="library kernels without vector code have no tails",
)
def test_library_silu_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the stock kernel, in float32 and on a width that is no multiple of a vector."""

    def stock(self: PreparedLlama, y: Tensor) -> Tensor:
        gate, up = (-y).float().chunk(2, dim=-1)
        return F.silu(gate.contiguous()).to(y.dtype) * up

    prepared = PreparedLlama(model(0, inner=55), Exact64())
    monkeypatch.setattr(PreparedLlama, "_gated", stock)
    assert found(prepared)


def test_more_slots_than_declared() -> None:
    prepared = PreparedLlama(model(0), Exact64(), context=16)
    with pytest.raises(ValueError, match="end is 17; the arithmetic was prepared for at most 16 slots"):
        prepared(torch.tensor([[1]]), prepared.slots(1, 20), torch.tensor([0]), slice(0, 1), 17, None)
    with pytest.raises(BudgetError, match="context is"):
        PreparedLlama(model(0), Exact64(), context=2**30)
