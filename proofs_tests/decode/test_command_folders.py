"""``specmath decode`` and ``specmath record`` with models of one's own: folders of transformers models."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from proofs_tests.decode.command_harness import objects, one_object
from specmath.cli import main

transformers = pytest.importorskip("transformers", reason="needs specmath[hf]")
WORDS = 300
END = 256


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A gpt2 target and a llama draft of one byte-level tokenizer, whose vocabularies are padded differently, and a
    gpt2 without a tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    home = tmp_path_factory.mktemp("models")
    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab={**letters, "<end>": END}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    inner.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")
    torch.manual_seed(0)
    common = {"bos_token_id": END, "eos_token_id": END}
    target = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=WORDS, n_positions=96, n_embd=24, n_layer=2, n_head=2, **common)
    )
    draft = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=WORDS - 20,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=96,
            tie_word_embeddings=False,
            **common,
        )
    )
    for name, model in (("target", target), ("draft", draft), ("bare", target)):
        model.save_pretrained(home / name)
        if name != "bare":
            tokenizer.save_pretrained(home / name)
    return home


def test_one_text_with_every_decoder(capsys, folders):
    """Families and vocabulary sizes differ; the texts do not."""
    models = ["--target", folders / "target", "--draft", folders / "draft"]
    common = ["--prompt", "déf f", "--prompt", "x", "--max-tokens", "12"]
    plain = objects(capsys, *common, "--target", folders / "target", "--decoder", "autoregressive")
    assert [one["prompt"] for one in plain] == ["déf f", "x"]
    assert all(one["models"]["draft"] is None for one in plain)
    drafted = 0
    for way in (["chain"], ["tree"], ["batched"], ["tree", "--tree", "best_first"]):
        found = objects(capsys, *common, *models, "--decoder", *way)
        assert [(one["text"], one["tokens"]) for one in found] == [(one["text"], one["tokens"]) for one in plain]
        drafted += sum(one["metrics"]["drafted_tokens"] for one in found)
    assert drafted > 0
    early = objects(capsys, *common, *models[:2], "--drafter", "early", "--early-layers", "2")
    assert [one["tokens"] for one in early] == [one["tokens"] for one in plain]
    assert all(one["metrics"]["acceptance_rate"] > 0.9 for one in early)  # a stop or the length may cut the last round
    assert main(["decode", "--prompt", "x", "--max-tokens", "12", *map(str, models)]) == 0
    shown = capsys.readouterr().out
    lone = one_object(capsys, "--prompt", "x", "--max-tokens", "12", *models)
    assert shown == lone["text"] + "\n"


def test_without_a_tokenizer_prompts_are_ids(capsys, folders):
    common = ["--target", str(folders / "bare"), "--drafter", "lookup", "--max-tokens", "6", "--stop", "256"]
    found = one_object(capsys, *common, "--prompt-tokens", "5,6")
    assert (found["text"], found["prompt"]) == (None, [5, 6])
    assert main(["decode", *common, "--prompt-tokens", "5,6"]) == 0
    kept = found["tokens"][:-1] if found["stop_reason"] == "stop" else found["tokens"]
    assert capsys.readouterr().out.split() == [str(token) for token in kept]
    assert main(["decode", *common, "--prompt", "x"]) == 2
    assert "bare holds no tokenizer; allowed are token ids, by --prompt-tokens" in capsys.readouterr().err


def test_laws_of_padded_vocabularies_are_recorded(capsys, folders, tmp_path):
    out = tmp_path / "laws"
    models = ["--target", str(folders / "target"), "--draft", str(folders / "draft")]
    assert main(["record", *models, "--prompt", "x", "--max-tokens", "5", "--out", str(out)]) == 0
    target, draft = (np.load(out / f"{name}.npy") for name in ("target", "draft"))
    assert target.shape == draft.shape == (len(target), WORDS)
    assert (draft[:, WORDS - 20 :] == 0).all()
    assert (target[:, WORDS - 20 :] > 0).all()
    assert main(["acceptance", str(out), "--n", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.split("\n", 2)[2])["vocabulary"] == WORDS


def test_other_tokenizers_are_refused(capsys, folders, tmp_path):
    (tmp_path / "draft").mkdir()
    for one in (folders / "draft").iterdir():
        (tmp_path / "draft" / one.name).write_bytes(one.read_bytes())
    words = (tmp_path / "draft" / "tokenizer.json").read_text()
    (tmp_path / "draft" / "tokenizer.json").write_text(words.replace("<end>", "<fin>"))
    arguments = ["--target", str(folders / "target"), "--draft", str(tmp_path / "draft"), "--prompt", "x"]
    assert main(["decode", *arguments]) == 2
    assert "has 280 tokens and --target 300, and their tokenizer.json differ" in capsys.readouterr().err
