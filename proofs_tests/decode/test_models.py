"""The models behind the protocol: tables, and the tiny Llama with its cache against itself and against transformers."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.decode.harness import check_trace
from reference import decode
from reference.models.llama import Llama, LlamaConfig
from reference.models.table import TableModel
from reference.models.tiny import TinyModel

CONFIG = LlamaConfig(
    vocab_size=31,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=2,
    max_position_embeddings=32,
)
TEXT = [int(token) for token in np.random.default_rng(0).integers(0, 31, 24)]
TIGHT = 5e-5  # float32, logits up to about 5: other summation orders differ by about 1e-5


def random_llama(config: LlamaConfig = CONFIG, seed: int = 0, scale: float = 0.3) -> Llama:
    """Weights large enough that every part of the network shows in the logits."""
    generator = torch.Generator().manual_seed(seed)
    network = Llama(config)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale + (weight.ndim == 1))
    return network.eval()


NETWORK = random_llama()
STOCK = TinyModel(NETWORK, "native")  # float32, as the network without a cache; proofs_tests/cache has the exact ones


@torch.no_grad()
def without_cache(tokens: list[int]) -> np.ndarray:
    return NETWORK(torch.tensor([tokens]))[0].numpy()


def test_logits_tell_tokens_and_positions_apart():
    """What the next tests compare is no constant: logits spread, and depend on early tokens."""
    rows = without_cache(TEXT)
    assert rows.std() > 0.1
    assert np.abs(without_cache([(TEXT[0] + 1) % 31, *TEXT[1:]])[-1] - rows[-1]).max() > 1e-3


@settings(max_examples=25)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_cache_in_any_pieces_equals_no_cache(pieces):
    state, rows = STOCK.start(), []
    for size in pieces:
        part = TEXT[state.length : state.length + size]
        if part:
            rows.append(state.extend(part).numpy())
    assert np.abs(np.concatenate(rows) - without_cache(TEXT[: state.length])).max() < TIGHT


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=6))
def test_rewinding_forgets(moves):
    """Extend, cut back, extend with other tokens: always the logits of the text as it is now."""
    state, text = STOCK.start(), []
    for number, (more, back) in enumerate(moves):
        fresh = [(token + number) % 31 for token in TEXT[:more]]
        text += fresh
        if len(text) > CONFIG.max_position_embeddings:
            break
        rows = state.extend(fresh).numpy()
        assert np.abs(rows - without_cache(text)[-more:]).max() < TIGHT
        text = text[: max(0, len(text) - back)]
        state.rewind(len(text))
        assert state.length == len(text)


def test_states_are_independent():
    one, other = STOCK.start(), STOCK.start()
    one.extend(TEXT[:5])
    assert other.length == 0
    assert np.abs(other.extend(TEXT[5:9]).numpy() - without_cache(TEXT[5:9])).max() < TIGHT


@pytest.mark.parametrize("theta", [10_000.0, 500.0])
def test_logits_equal_those_of_transformers(tmp_path, theta):
    """LlamaForCausalLM reads our config.json and weights and agrees to 1e-4, with our cache and without."""
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import save_file

    config = LlamaConfig(**{**CONFIG.__dict__, "rope_theta": theta})
    network = random_llama(config, seed=1)
    (tmp_path / "config.json").write_text(json.dumps(config.as_json()))
    save_file(dict(network.state_dict()), tmp_path / "model.safetensors", metadata={"format": "pt"})
    stock = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        theirs = stock(torch.tensor([TEXT])).logits[0].numpy()
    for arithmetic in ("native", "exact64"):
        ours = TinyModel.load(tmp_path, arithmetic=arithmetic)
        assert ours.network.config == config
        state = ours.start()
        rows = np.concatenate([state.extend(TEXT[:9]).numpy(), state.extend(TEXT[9:]).numpy()])
        assert np.abs(rows - theirs).max() < 1e-4
    assert np.abs(theirs).max() > 0.5


def test_loading_says_what_is_wrong(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        TinyModel.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG.as_json()))
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such file"):
        TinyModel.load(tmp_path)
    weights = dict(NETWORK.state_dict())
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"not the weights of .*model\.norm\.weight"):
        TinyModel.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not the weights of"):
        TinyModel.load(tmp_path)


@pytest.mark.parametrize(
    "make", [lambda: TinyModel(NETWORK), lambda: TableModel(lambda p: [1 / 31] * 31, 31, context_length=32)]
)
def test_states_check_what_they_are_given(make):
    state = make().start()
    for tokens, message in (([], "none given"), ([31], r"tokens\[0\] is 31"), ([0] * 33, "the context holds 32")):
        with pytest.raises(ValueError, match=message):
            state.extend(tokens)
    state.extend([1, 2, 3])
    for length in (-1, 4):
        with pytest.raises(ValueError, match=f"length is {length}; the state holds 3"):
            state.rewind(length)
    state.extend([0] * 29)
    with pytest.raises(ValueError, match="the context holds 32"):
        state.extend([0])


def test_tables_hand_back_laws_and_check_them():
    third = Fraction(1, 3)
    model = TableModel({(0,): [third, 1 - third], (0, 1): [0, 1]}, 2)
    assert model.law((0,)) == [third, 1 - third]
    rows = model.start().extend([0, 1])
    with np.errstate(divide="ignore"):
        assert np.array_equal(rows, np.log([[1 / 3, 2 / 3], [0, 1]]))
    with pytest.raises(ValueError, match=r"no law for the prefix \(1,\)"):
        model.law((1,))
    for law, message in (
        ([1.0], "1 entries"),
        ([0.5, 0.4], "sum to one"),
        ([1.5, -0.5], "sum to one"),
        ([third, third], "sum to one"),
    ):
        with pytest.raises(ValueError, match=message):
            TableModel({(0,): law}, 2).law((0,))


def test_decoders_run_on_the_network():
    """Both decoders, caches full and cut back; tokens of the chain are re-judged by a decoder without a cache."""
    model, draft = TinyModel(NETWORK), TinyModel(random_llama(seed=5))
    options = decode.Options(max_tokens=100, temperature=0.7)
    plain = decode.autoregressive(model, TEXT[:3], options=options)
    assert (plain.stop_reason, len(plain.tokens)) == ("context", 29)
    for rule in ("token_wise", "block"):
        found = decode.chain(model, draft, TEXT[:3], draft_length=4, rule=rule, options=options)
        check_trace(found, TEXT[:3], 4, options)
        assert len({one.accepted for one in found.rounds}) > 1
        text = [*TEXT[:3], *found.tokens]
        for one in found.rounds:
            rows = without_cache([*text[: one.position], *one.drafted])[one.position - 1 :]
            for i, token in enumerate(one.drafted):
                law = options.laws("target", rows[i : i + 1])[0]
                assert one.target_logprobs[i] == pytest.approx(np.log(law[token]), abs=1e-4)
    own = decode.chain(model, TinyModel(NETWORK), TEXT[:3], draft_length=4, options=options)
    assert sum(one.accepted for one in own.rounds) >= 0.9 * sum(len(one.drafted) for one in own.rounds)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tie_word_embeddings", False),
        ("hidden_act", "gelu"),
        ("attention_bias", True),
        ("mlp_bias", True),
        ("model_type", "mistral"),
        ("rope_parameters", {"rope_type": "yarn"}),
    ],
)
def test_another_architecture_is_refused(tmp_path, field, value):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**CONFIG.as_json(), field: value}))
    with pytest.raises(ValueError, match="this model allows only"):
        LlamaConfig.read(path)
    path.write_text(json.dumps(CONFIG.as_json()))
    assert LlamaConfig.read(path) == CONFIG


def test_rational_laws_must_sum_to_one_exactly():
    off = TableModel(lambda _: [Fraction(1, 2), Fraction(1, 2) - Fraction(1, 10**12)], 2)
    with pytest.raises(ValueError, match="sum to one"):
        off.law(())
