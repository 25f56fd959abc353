"""`TinyModel`: one class for every arithmetic, weights of any floating type, and drafts made of its first layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from proofs_tests.cache.world import CONTEXT, SHAPES, network
from proofs_tests.numerics.helpers import same
from reference import pair
from reference.models.llama import Llama, LlamaConfig
from reference.models.protocol import Read
from reference.models.tiny import TinyModel
from reference.numerics import BudgetError

TEXT = pair.encode("def area(width, height):\n    return width")
ALL = ["exact64", "int8", "native"]


@pytest.fixture(scope="module", params=["exact64", "int8"])
def draft(request: pytest.FixtureRequest) -> TinyModel:
    return pair.load(arithmetic=request.param).draft


def test_chunks_trees_and_rewinds_leave_no_trace(draft: TinyModel) -> None:
    plain = draft.start()
    expected = torch.stack([plain.extend([token])[0] for token in TEXT])
    state = draft.start()
    first = state.extend(TEXT[:5], tree=[TEXT[5], 7, TEXT[6], 9], parents=[-1, -1, 0, 2])
    assert same(first[:5], expected[:5])
    assert same(first[5], expected[5])
    assert same(first[7], expected[6])
    state.keep([0, 2])
    assert same(state.extend([TEXT[7]])[0], expected[7])
    state.extend([1, 2, 3])
    state.rewind(5)
    assert state.length == 5
    assert same(state.extend(TEXT[5:]), expected[5:])
    for one, other in zip(state.stored(), plain.stored(), strict=True):
        assert same(one, other)


def test_a_tree_may_be_wider_than_what_is_left_of_the_context() -> None:
    """Nodes of one depth share a position but not a slot."""
    torch.manual_seed(0)
    model = TinyModel(Llama(LlamaConfig(9, 8, 8, 1, 2, 1, 8)), spare=4)
    state, other = model.start(), model.start()
    logits = state.extend([3] * 7, tree=[1, 2, 1, 4, 5], parents=[-1] * 5)
    assert same(logits[7], logits[9])
    assert same(other.extend([3] * 7 + [4])[7], logits[10])
    state.rewind(6)
    with pytest.raises(ValueError, match="tree: 6 tokens; 5 slots are left, see spare"):
        state.extend([3], tree=[1] * 6, parents=[-1] * 6)
    assert state.length == 6


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_weights_of_any_type(name: str, dtype: torch.dtype) -> None:
    """A batch with trees runs; logits lie where those of the float64 network with the same weights lie."""
    made = network().to(dtype)
    model = TinyModel(made, name)
    cache = model.cache(2)
    one, other = cache.start(), cache.start()
    found = cache.extend([Read(one, [1, 2, 3], [4, 5], [-1, 0]), Read(other, [6])])
    one.keep([0, 1])
    found += cache.extend([Read(other, [7, 8]), Read(one, [9])])
    assert found[0].dtype == {"exact64": torch.float64, "int8": torch.float32, "native": dtype}[name]
    alone = model.start().extend([1, 2, 3, 4, 5, 9])
    ours = torch.cat([found[0], found[3]])
    assert torch.isfinite(ours).all()
    if name != "native":
        assert same(ours, alone)
    wide = network().to(dtype).double()
    table = network()
    wide.cos, wide.sin = table.cos.double(), table.sin.double()
    truth = wide(torch.tensor([[1, 2, 3, 4, 5, 9]]))[0]
    far = {"exact64": 1e-4, "int8": 0.3, "native": {torch.bfloat16: 0.2}.get(dtype, 1e-5)}[name]
    assert truth.std() > 0.5
    assert (ours.double() - truth).square().mean().sqrt() < far


@pytest.mark.parametrize("name", ALL)
def test_native_is_the_plain_network_and_others_are_near(name: str) -> None:
    models = pair.load(arithmetic=name)
    for model in (models.target, models.draft):
        with torch.no_grad():
            stock = model.network(torch.tensor([TEXT]))[0]
        ours = model.start().extend(TEXT)
        far = {"exact64": 1e-3, "int8": 3.0, "native": 1e-4}[name]
        assert (ours - stock).abs().max() < far


@pytest.mark.parametrize("name", ALL)
def test_early_layers_are_a_model_of_their_own(name: str) -> None:
    """The same as a network that has no more layers, and no weight is there twice."""
    made = network(SHAPES[1])
    model = TinyModel(made, name)
    early = model.early(1)
    cut = Llama(made.config.early(1))
    cut.load_state_dict({key: value for key, value in made.state_dict().items() if ".layers.1." not in key})
    text = [1, 2, 3, 4, 5]
    assert torch.equal(early.start().extend(text), TinyModel(cut, name).start().extend(text))
    with torch.no_grad():
        assert torch.equal(early.network(torch.tensor([text])), cut(torch.tensor([text])))
    assert not torch.equal(early.start().extend(text), model.start().extend(text))
    assert torch.equal(model.early(2).start().extend(text), model.start().extend(text))
    assert early.prepared.layers[0] is model.prepared.layers[0]
    assert early.prepared.head is model.prepared.head
    assert {id(weight) for weight in early.network.parameters()} < {id(weight) for weight in made.parameters()}
    assert (early.context_length, early.vocabulary_size) == (model.context_length, model.vocabulary_size)
    assert len(model.prepared.layers) == 2
    for layers in (0, 3, True, 1.0):
        with pytest.raises(ValueError, match=r"layers is .*; allowed are whole numbers from 1 to 2"):
            model.early(layers)  # type: ignore[arg-type]


def test_errors_come_before_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="arithmetic is 'exact'; allowed are exact64, int8, native"):
        TinyModel(network(), "exact")
    with pytest.raises(ValueError, match="arithmetic is 'exact'"):
        TinyModel.load(tmp_path, arithmetic="exact")
    for spare in (-1, 0.5, True):
        with pytest.raises(ValueError, match="spare is"):
            TinyModel(network(), spare=spare)  # type: ignore[arg-type]
    with pytest.raises(BudgetError, match="context is"):
        TinyModel(network(), spare=2**30)
    for device in ("cuda:99", "abacus"):
        with pytest.raises(ValueError, match=f"device is '{device}'; torch sees cpu"):
            pair.load(device=device)
    with pytest.raises(ValueError, match="rows is 0"):
        TinyModel(network()).cache(0)


def test_spare_slots() -> None:
    """By default as many as the context has, at most 512; none if so asked for."""
    assert TinyModel(network()).prepared.context == 2 * CONTEXT
    assert TinyModel(network(context=700)).prepared.context == 1212
    model = TinyModel(network(), spare=0)
    model.start().extend([1] * (CONTEXT - 1), [1], [-1])
    with pytest.raises(ValueError, match="tree: 2 tokens; 1 slots are left, see spare"):
        model.start().extend([1] * (CONTEXT - 1), [1, 1], [-1, -1])
