"""The shipped pair in exact arithmetic behind the decoders' protocol."""

from __future__ import annotations

import pytest
import torch

from proofs_tests.numerics.helpers import same
from reference import decode, pair
from reference.models.llama import Llama, LlamaConfig
from reference.numerics import PreparedModel

TEXT = pair.encode("def area(width, height):\n    return width")


@pytest.fixture(scope="module", params=["exact64", "int8"])
def draft(request: pytest.FixtureRequest) -> PreparedModel:
    return PreparedModel(pair.load().draft.network, request.param)


def test_chunks_trees_and_rewinds_leave_no_trace(draft: PreparedModel) -> None:
    plain = draft.start()
    expected = torch.stack([plain.extend([token])[0] for token in TEXT])
    state = draft.start()
    first = state.extend(TEXT[:5], tree=[TEXT[5], 7, TEXT[6], 9], parents=[-1, -1, 0, 2])
    assert same(first[:5], expected[:5])
    assert same(first[5], expected[5])
    assert same(first[7], expected[6])
    state.extend([1, 2, 3])
    state.rewind(5)
    assert state.length == 5
    assert same(state.extend(TEXT[5:]), expected[5:])


def test_decoders_agree_token_for_token(draft: PreparedModel) -> None:
    """Greedy text with and without speculation; the drafts come from the stock model."""
    options = decode.Options(max_tokens=24, temperature=0)
    plain = decode.autoregressive(draft, TEXT, options=options)
    drafted = decode.chain(draft, pair.load().draft, TEXT, draft_length=4, options=options)
    assert drafted.tokens == plain.tokens
    assert len(drafted.rounds) < len(plain.rounds)


def test_close_to_the_stock_model() -> None:
    stock = pair.load().draft.start().extend(TEXT)
    exact = PreparedModel(pair.load().draft.network).start().extend(TEXT)
    assert (torch.as_tensor(stock) - exact).abs().max() < 1e-3


def test_a_tree_may_be_wider_than_what_is_left_of_the_context() -> None:
    """Nodes of one depth share a position but not a slot."""
    torch.manual_seed(0)
    model = PreparedModel(Llama(LlamaConfig(9, 8, 8, 1, 2, 1, 8)), spare=4)
    state, other = model.start(), model.start()
    logits = state.extend([3] * 7, tree=[1, 2, 1, 4, 5], parents=[-1] * 5)
    assert same(logits[7], logits[9])
    assert same(other.extend([3] * 7 + [4])[7], logits[10])
    state.rewind(6)
    with pytest.raises(ValueError, match="tree: 6 tokens; 5 slots are left, see spare"):
        state.extend([3], tree=[1] * 6, parents=[-1] * 6)
    assert state.length == 6
