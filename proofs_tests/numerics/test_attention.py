"""Attention over keys in any order, with holes: bits follow from the query and the set of keys it sees."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from proofs_tests.numerics.helpers import exact_products, fractions, normal, same, threads
from reference.numerics import AttentionBudget, BudgetError, attention
from reference.numerics.attend import additive, attend, products, weights
from reference.numerics.grid import rounder, row_grid

CONTEXT = 256
seeds = st.integers(0, 10**6)


def soft(q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None, cap: float | None = None) -> Tensor:
    return attention(q, k, v, visible, scale=q.shape[-1] ** -0.5, context=CONTEXT, cap=cap)


def static(q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None, cap: float | None = None) -> Tensor:
    """The form with a declared range of values, here |v| < 2^5."""
    budget = AttentionBudget.of(q.shape[-1], CONTEXT)
    pull = rounder(2.0 ** (5 - budget.value_bits), 2.0**5)
    query = row_grid(q.double() * q.shape[-1] ** -0.5, budget.score_bits)
    return attend(query, row_grid(k.double(), budget.score_bits), (v.double() + pull) - pull, additive(visible), budget)


def stock(q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None, cap: float | None = None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, enable_gqa=True)


def operands(seed: int, queries: int, slots: int, width: int, heads: int, shared: int) -> tuple[Tensor, Tensor, Tensor]:
    values = normal(1, heads, slots, width, seed=seed + 2).clamp_(-31, 31)
    return normal(1, heads * shared, queries, width, seed=seed), normal(1, heads, slots, width, seed=seed + 1), values


def differing(kind, seed: int, queries: int, slots: int, width: int, heads: int, shared: int, cap=None) -> int:
    """Queries whose bits change: alone, permuted slots, holes with garbage, batch mates."""
    generator = torch.Generator().manual_seed(seed)
    q, k, v = operands(seed, queries, slots, width, heads, shared)
    visible = torch.rand(queries, slots, generator=generator) < 0.7
    visible[torch.arange(queries), torch.randint(slots, (queries,), generator=generator)] = True
    expected = kind(q, k, v, visible, cap)
    wrong = 0
    for t in range(queries):  # one query, only the keys that it sees, in a cache of just that size
        seen = visible[t].nonzero()[:, 0]
        wrong += not same(kind(q[:, :, t : t + 1], k[:, :, seen], v[:, :, seen], None, cap), expected[:, :, t : t + 1])
    order = torch.randperm(slots, generator=generator)
    wrong += not same(kind(q, k[:, :, order], v[:, :, order], visible[:, order], cap), expected)
    places = torch.randperm(slots + 9, generator=generator)[:slots]
    wide_k, wide_v = (
        30 * normal(1, heads, slots + 9, width, seed=seed + 4),
        5 * normal(1, heads, slots + 9, width, seed=9),
    )
    wide_v.clamp_(-31, 31)
    mask = torch.zeros(queries, slots + 9, dtype=torch.bool)
    wide_k[:, :, places], wide_v[:, :, places], mask[:, places] = k, v, visible
    wrong += not same(kind(q, wide_k, wide_v, mask, cap), expected)
    batch = [torch.cat([-x, x, 2 * x.clamp(-15, 15)]) for x in (q, k, v)]
    masks = torch.stack([visible.flip(0), visible, torch.ones_like(visible)])[:, None]
    wrong += not same(kind(*batch, masks, cap)[1:2], expected)
    return wrong


shapes = st.tuples(
    seeds, st.sampled_from([1, 2, 3, 5, 8, 17, 33]), st.integers(1, 90), st.sampled_from([3, 8, 20, 64]),
    st.integers(1, 3), st.integers(1, 3),
)  # fmt: skip


@pytest.mark.parametrize("kind", [soft, static])
@given(shapes)
@settings(max_examples=20)
def test_slots_do_not_matter(kind, shape) -> None:
    assert differing(kind, *shape) == 0


@given(shapes)
@settings(max_examples=8)
def test_slots_do_not_matter_with_a_cap(shape) -> None:
    assert differing(soft, *shape, cap=2.0) == 0


def test_threads_do_not_matter() -> None:
    q, k, v = operands(5, 33, 250, 20, 3, 2)
    visible = torch.ones(33, 250, dtype=torch.bool).tril(217)
    for kind in (soft, static):
        with threads(1):
            expected = kind(q, k, v, visible)
        with threads(2):
            assert same(kind(q, k, v, visible), expected)


def test_stock_attention_is_caught() -> None:
    """Planted: the same search finds the library's kernel at once."""
    assert differing(stock, 1, 8, 70, 20, 2, 2) > 0


@given(shapes)
@settings(max_examples=20)
def test_values(shape) -> None:
    """Within 1e-5 of attention in float64, in both forms, and with values of very different sizes in the open form."""
    seed, queries, slots = shape[:3]
    q, k, v = operands(*shape)
    visible = torch.rand(queries, slots, generator=torch.Generator().manual_seed(seed)) < 0.7
    visible[:, 0] = True
    truth = stock(q.double(), k.double(), v.double(), visible)
    assert torch.allclose(soft(q, k, v, visible), truth, atol=1e-5)
    assert torch.allclose(static(q, k, v, visible), truth, atol=1e-4)
    sizes = torch.exp2(torch.randint(-20, 60, (1, 1, slots, 1), generator=torch.Generator().manual_seed(seed)).double())
    truth = stock(q.double(), k.double(), v.double() * sizes, visible)
    size = stock(q.double(), k.double(), v.double().abs().amax(-1, True) * sizes, visible)
    largest = (v.double() * sizes).abs().max()  # weights are multiples of 2^-22, whatever they will be multiplied by
    assert ((soft(q, k, v.double() * sizes, visible) - truth).abs() <= 2e-5 * size + 2.0**-21 * largest).all()


def test_hidden_weights_are_zero() -> None:
    scores = torch.tensor([[3.0, 1.0, 900.0, -20.0]], dtype=torch.float64)
    mask = additive(torch.tensor([[True, True, False, True]]))
    assert weights(scores.clone(), mask, 22)[0, 2].item() == 0
    assert weights(scores.clone(), mask, 22)[0, 0].item() == 1
    nothing = weights(scores.clone(), additive(torch.zeros(1, 4, dtype=torch.bool)), 22)
    assert nothing.tolist() == [[1.0, 1.0, 1.0, 1.0]]


@pytest.mark.parametrize("bits", [12, 22, 25])
def test_lowest_score_is_rounded_away(bits: int) -> None:
    """Cutting scores at -40 changes no weight."""
    from reference.numerics.exponential import FARTHEST

    assert math.exp(-FARTHEST) < 2.0**-bits / 2
    scores = torch.tensor([[0.0, -FARTHEST, -FARTHEST - 1, -1e6]], dtype=torch.float64)
    visible = torch.ones(1, 4, dtype=torch.bool)
    assert weights(scores.clone(), additive(visible), bits).tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert weights(scores.clone(), None, bits).tolist() == [[1.0, 0.0, 0.0, 0.0]]


@given(st.integers(1, 5), st.integers(1, 40), st.sampled_from([3, 20, 65]), seeds)
@settings(max_examples=15)
def test_every_sum_is_the_rational_sum(queries: int, slots: int, width: int, seed: int) -> None:
    """Scores, the sum of the weights, and the sum of weighted values: nothing is rounded before the division."""
    q, k, v = operands(seed, queries, slots, width, 1, 1)
    budget = AttentionBudget.of(width, CONTEXT)
    rows, columns = row_grid(q[0, 0].double(), budget.score_bits), row_grid(k[0, 0].double(), budget.score_bits)
    scores = rows @ columns.t()
    assert fractions(scores) == exact_products(rows, columns)
    weight = weights(scores / width**0.5, None, budget.weight_bits)
    assert fractions(weight.sum(-1, keepdim=True)) == exact_products(weight, torch.ones(1, slots))
    pull = rounder(2.0 ** (5 - budget.value_bits), 2.0**5)
    value = (v[0, 0].double() + pull) - pull
    assert fractions(weight @ value) == exact_products(weight, value.t())
    largest = v[0, 0].double().abs().amax(-1)
    pull = rounder(2.0**-budget.value_bits, 1.0)
    unit = (v[0, 0].double() / largest[:, None] + pull) - pull
    weighted = row_grid(weight * largest, budget.weight_bits)
    assert fractions(weighted @ unit) == exact_products(weighted, unit.t())


@given(st.sampled_from([3, 20, 65, 128]), seeds)
@settings(max_examples=15)
def test_order_of_a_scalar_product(width: int, seed: int) -> None:
    """On the scores themselves: behind them the weights' grid would hide a last bit nearly always."""
    budget = AttentionBudget.of(width, CONTEXT)
    q, k, _ = (part.double().div_(3) for part in operands(seed, 5, 30, width, 2, 2))
    order = torch.randperm(width, generator=torch.Generator().manual_seed(seed))
    assert same(products(q[..., order], k[..., order], budget), products(q, k, budget))


def test_sums_without_a_grid_are_caught() -> None:
    """Planted: each grid of attention left out."""
    q, k, v = operands(1, 4, 60, 20, 1, 1)
    rows, columns, value = (x[0, 0].double() for x in (q, k, v))
    weight = torch.softmax(rows @ columns.t(), -1)
    assert fractions(rows.mul(1 / 3) @ columns.mul(1 / 3).t()) != exact_products(rows.mul(1 / 3), columns.mul(1 / 3))
    assert fractions(weight.sum(-1, keepdim=True)) != exact_products(weight, torch.ones(1, 60))
    assert fractions(weight @ value) != exact_products(weight, value.t())


def test_a_leaking_mask_is_caught() -> None:
    """Planted: one key too many, the least of all, changes the bits of that query and of no other."""
    q, k, v = operands(3, 6, 40, 16, 2, 2)
    visible = torch.ones(6, 40, dtype=torch.bool).tril(30)
    leaking = visible.clone()
    leaking[2, 35] = True
    one, other = soft(q, k, v, visible), soft(q, k, v, leaking)
    changed = (one != other).any(-1).any(1)[0]
    assert changed.tolist() == [False, False, True, False, False, False]


def test_bad_calls() -> None:
    q, k, v = operands(0, 2, 40, 8, 1, 1)
    with pytest.raises(BudgetError, match="context is 39; the call has 40 slots"):
        attention(q, k, v, None, scale=1.0, context=39)
    with pytest.raises(ValueError, match=r"visible: dtype is torch.float32; allowed is torch.bool"):
        soft(q, k, v, torch.zeros(2, 40))
    with pytest.raises(BudgetError, match="context is 1073741824"):
        AttentionBudget.of(8, 2**30)
