"""Models and tokenizers from local folders: what was saved is what runs, and anything else an error before work."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from proofs_tests.models.networks import Whole, network
from proofs_tests.numerics.helpers import same
from reference import decode, pair
from reference.models import TinyModel, TransformersModel, load_tokenizer, open_model
from reference.models.folder import is_small_llama
from reference.models.hf_folder import load_network, read_config
from reference.models.transformers import load

TEXT = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a connection fails, and the test with him."""

    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def save(made: Any, folder: Path, **options: Any) -> Path:
    from reference.models.hf_folder import quiet

    with quiet():
        made.save_pretrained(folder, **options)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a saved Qwen2."""
    return save(network("qwen2"), tmp_path_factory.mktemp("saved") / "qwen2")


def copied(home: Path, to: Path) -> Path:
    return Path(shutil.copytree(home, to / "copy"))


def changed(folder: Path, name: str, **fields: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize("family", ["gemma3_text", "gpt2", "qwen2"])
def test_what_was_saved_is_what_runs(family: str, tmp_path: Path) -> None:
    stock = network(family)
    folder = save(stock, tmp_path / family)
    for arithmetic in ("exact64", "native"):
        made = open_model(folder, arithmetic=arithmetic)
        assert isinstance(made, TransformersModel)
        assert same(made.start().extend(TEXT), TransformersModel(stock, arithmetic).start().extend(TEXT))


def test_dtypes(home: Path) -> None:
    for name, dtype in (("bfloat16", torch.bfloat16), ("float64", torch.float64)):
        made = load(home, dtype=name)
        assert {weight.dtype for weight in made.network.parameters()} == {dtype}
        stock = network("qwen2")
        for weight in stock.parameters():  # not the rotary frequencies, which stay in float32
            weight.data = weight.data.to(dtype)
        assert same(made.start().extend(TEXT), TransformersModel(stock).start().extend(TEXT))


def test_shards_and_bin_files(home: Path, tmp_path: Path) -> None:
    expected = load(home).start().extend(TEXT)
    shards = save(load_network(home), tmp_path / "shards", max_shard_size="20KB")
    assert len(list(shards.glob("*.safetensors"))) > 1
    assert same(load(shards).start().extend(TEXT), expected)
    gone = sorted(shards.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(FileNotFoundError, match=f"{gone.name}: no such file; model.safetensors.index.json names it"):
        load(shards)
    old = copied(home, tmp_path)
    torch.save(load_network(home).state_dict(), old / "pytorch_model.bin")
    (old / "model.safetensors").unlink()
    assert same(load(old).start().extend(TEXT), expected)


def test_the_shipped_pair_is_opened_as_what_it_is() -> None:
    made = open_model(pair.HOME / "draft", arithmetic="int8")
    assert isinstance(made, TinyModel)
    assert same(made.start().extend(TEXT), pair.load(arithmetic="int8").draft.start().extend(TEXT))
    assert open_model(pair.HOME / "draft", dtype="bfloat16").network.model.embed_tokens.weight.dtype == torch.bfloat16


def test_a_saved_llama_is_the_tiny_one_only_if_its_config_says_so(tmp_path: Path) -> None:
    """Same numbers either way; a config that leaves to defaults what libraries disagree on is left to transformers."""
    stock = network("llama", tie_word_embeddings=True, rms_norm_eps=1e-5)
    folder = save(stock, tmp_path / "tied")
    made = open_model(folder)
    assert isinstance(made, TinyModel)
    assert (made.start().extend(TEXT) - Whole(stock, None)(TEXT)[0]).abs().max() < 1e-3
    raw = read_config(folder)
    theta = raw["rope_parameters"]["rope_theta"]
    others: list[dict[str, Any]] = [
        {"tie_word_embeddings": False},
        {"head_dim": 16},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": theta}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": 0.5}},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"hidden_act": "gelu"},
        {"attention_bias": True},
        {"model_type": "mistral"},
    ]
    assert is_small_llama(folder, raw)
    for fields in others:
        (folder / "config.json").write_text(json.dumps(raw | fields))
        assert not is_small_llama(folder, read_config(folder)), fields
    for name in ("rms_norm_eps", "tie_word_embeddings", "num_key_value_heads"):
        (folder / "config.json").write_text(json.dumps({k: v for k, v in raw.items() if k != name}))
        assert not is_small_llama(folder, read_config(folder)), name
    untied = save(network("llama"), tmp_path / "untied")
    assert isinstance(open_model(untied), TransformersModel)


def test_context(home: Path) -> None:
    assert load(home, context=20).context_length == 20
    assert load(home).context_length == 96


# --- errors ----------------------------------------------------------------------------------------------------------


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def field(**fields: Any) -> Callable[[Path], None]:
    return lambda folder: changed(folder, "config.json", **fields)


def layers(count: int) -> Callable[[Path], None]:
    return field(num_hidden_layers=count, layer_types=["full_attention"] * count)


def without_a_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["other"] = weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


BROKEN: list[tuple[Callable[[Path], None], type[Exception], str]] = [
    (shutil.rmtree, FileNotFoundError, "copy: no such folder"),
    (remove("config.json"), FileNotFoundError, "config.json: no such file"),
    (remove("model.safetensors"), FileNotFoundError, "copy: no weights; config.json needs model.safetensors"),
    (lambda folder: (folder / "config.json").write_text("{"), ValueError, "config.json: not a JSON file"),  # type: ignore
    (lambda folder: (folder / "config.json").write_text("[1]"), ValueError, "holds list; allowed is an object"),  # type: ignore
    (field(model_type="t5"), ValueError, "model_type is 't5'; allowed are llama, qwen2"),
    (field(model_type=None), ValueError, "model_type is None"),
    (field(quantization_config={"quant_method": "awq"}), ValueError, "quantization_config; allowed are weights in"),
    (field(hidden_size=44), ValueError, "copy: "),
    (layers(3), ValueError, "not those of config.json: 12 missing .model.layers.2"),
    (layers(1), ValueError, "not those of config.json: 12 unknown .model.layers.1"),
    (field(num_hidden_layers=3), ValueError, "copy: cannot be read .*num_hidden_layers"),  # two layer_types
    (without_a_weight, ValueError, r"1 missing \(model.layers.1.mlp.up_proj.weight\); 1 unknown \(other\)"),
    (cut, ValueError, "copy: cannot be read"),
]


@pytest.mark.parametrize(("spoil", "kind", "message"), BROKEN)
def test_broken_folders(
    spoil: Callable[[Path], None],
    kind: type[Exception],
    message: str,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = copied(home, tmp_path)
    spoil(folder)
    with pytest.raises(kind, match=message):
        open_model(folder)
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""


def test_wrong_options_are_told_before_anything_is_read(home: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(ValueError, match="dtype is 'float16'; allowed are float32, bfloat16, float64"):
        open_model(nowhere, dtype="float16")
    with pytest.raises(ValueError, match="arithmetic is 'int4'"):
        open_model(nowhere, arithmetic="int4")
    with pytest.raises(ValueError, match="device is 'cuda:77'; torch sees cpu"):
        open_model(nowhere, device="cuda:77")
    with pytest.raises(ValueError, match="device is 'gpu'"):
        load(home, device="gpu")
    with pytest.raises(FileNotFoundError, match="gpt2: no such folder"):
        open_model("gpt2")  # never a name on the hub


# --- tokenizers ------------------------------------------------------------------------------------------------------


WORDS = "the cat sat on the mat, and the “naïve” façade of the café 日本語 🙂🙃 held"


def byte_level() -> Any:
    """A byte-level BPE with a few merges: characters outside ASCII take several tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    made.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=270, special_tokens=["<end>", "<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(["the cat the mat the"], trainer)
    return made


def byte_fallback() -> Any:
    """As those of Llama 2: words begin with a mark, and characters without a token are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    names = ["<unk>", "<end>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"thecasmonfd", "▁the", "▁t", "▁th"]
    merges = [("▁", "t"), ("▁t", "h"), ("▁th", "e")]
    vocabulary = {name: number for number, name in enumerate(names)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")  # type: ignore[assignment]
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    made.decoder = decoders.Sequence(steps)  # type: ignore[assignment]
    return made


def word_level() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = ["<unk>", "<end>", *dict.fromkeys(WORDS.replace(",", " ,").split())]
    made = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    return made


KINDS = {"byte level": byte_level, "byte fallback": byte_fallback, "words": word_level}


def with_tokenizer(kind: str, folder: Path) -> Path:
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(tokenizer_object=KINDS[kind](), eos_token="<end>")
    made.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_text_there_and_back(kind: str, home: Path, tmp_path: Path) -> None:
    folder = with_tokenizer(kind, copied(home, tmp_path))
    tokens = load_tokenizer(folder)
    text = WORDS.replace(",", " ,") if kind == "words" else WORDS
    ids = tokens.encode(text)
    assert tokens.decode(ids) == text
    (end,) = tokens.stop
    assert tokens.decode([*ids, end]) == text
    if kind != "words":
        with pytest.raises(ValueError, match="prompt: character 1 is a lone surrogate"):
            tokens.encode("a\ud800")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_streamed_text_is_the_text(kind: str, size: int, home: Path, tmp_path: Path) -> None:
    """No piece holds half a character, and the pieces make the whole."""
    tokens = load_tokenizer(with_tokenizer(kind, copied(home, tmp_path)))
    ids = [*tokens.encode(WORDS), *tokens.stop]
    stream = tokens.stream()
    pieces = [stream.add(ids[start : start + size]) for start in range(0, len(ids), size)]
    assert "\ufffd" not in "".join(pieces)
    assert sum(map(bool, pieces)) > 3
    assert "".join(pieces) + stream.end() == tokens.decode(ids)
    naive = "".join(tokens.decode(ids[start : start + size]) for start in range(0, len(ids), size))
    assert naive != tokens.decode(ids)  # planted: each piece decoded on its own


def test_a_text_that_ends_within_a_character(home: Path, tmp_path: Path) -> None:
    tokens = load_tokenizer(with_tokenizer("byte level", copied(home, tmp_path)))
    ids = tokens.encode("né")[:-1]
    stream = tokens.stream()
    assert [stream.add([token]) for token in ids] == ["n", ""]
    assert stream.end() == "\ufffd"
    assert stream.end() == ""


def test_bytes_of_the_shipped_pair() -> None:
    tokens = load_tokenizer(pair.HOME / "target")
    assert tokens.encode("aé") == pair.encode("aé")
    stream = tokens.stream()
    assert [stream.add([byte]) for byte in "é🙂".encode()] == ["", "é", "", "", "", "🙂"]
    assert stream.add([pair.END]) + stream.end() == ""
    assert tokens.stop == {pair.END}


def test_stop_ids(home: Path, tmp_path: Path) -> None:
    """generation_config.json before config.json before the tokenizer."""
    folder = with_tokenizer("byte level", copied(home, tmp_path))
    assert load_tokenizer(folder).stop == {0}  # <end>
    changed(folder, "config.json", eos_token_id=7)
    assert load_tokenizer(folder).stop == {7}
    changed(folder, "generation_config.json", eos_token_id=[5, 6])
    assert load_tokenizer(folder).stop == {5, 6}
    for wrong in ("x", [1, -2], [True], 1.5):
        changed(folder, "generation_config.json", eos_token_id=wrong)
        with pytest.raises(ValueError, match=r"generation_config.json: eos_token_id is .*allowed are token ids"):
            load_tokenizer(folder)


def test_no_tokenizer(home: Path, tmp_path: Path) -> None:
    """The library would make an empty one, which reads every text as nothing."""
    with pytest.raises(FileNotFoundError, match=r"no tokenizer .*; hand in prompts as token ids"):
        load_tokenizer(home)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_tokenizer(tmp_path / "nowhere")
    folder = copied(home, tmp_path)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="copy: its tokenizer cannot be read"):
        load_tokenizer(folder)


def test_from_folder_to_text(tmp_path: Path) -> None:
    """All together: two families with one tokenizer, decoded to the same text with every decoder."""
    folders = []
    for family in ("gemma2", "gpt2"):
        folder = save(network(family, vocab_size=270), tmp_path / family)
        folders.append(with_tokenizer("byte level", folder))
    target, draft = (open_model(folder) for folder in folders)
    tokens = load_tokenizer(folders[0])
    prompt = tokens.encode("the café")
    options = decode.Options(max_tokens=12, stop=tokens.stop)
    expected = decode.autoregressive(target, prompt, options=options)
    assert decode.chain(target, draft, prompt, options=options).tokens == expected.tokens
    assert decode.tree(target, draft, prompt, shape=(2, 1), options=options).tokens == expected.tokens
    assert len(tokens.decode(expected.tokens)) > 0
