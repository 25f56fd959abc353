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


def copied(folders, home, name="draft", source="draft", words=WORDS - 20):
    """A folder with a model whose vocabulary may be padded otherwise, and the tokenizer of another."""
    (home / name).mkdir()
    for one in (folders / source).iterdir():
        (home / name / one.name).write_bytes(one.read_bytes())
    if words != WORDS - 20:
        model = transformers.LlamaForCausalLM.from_pretrained(home / name)
        model.resize_token_embeddings(words)
        model.save_pretrained(home / name)
    return home / name


def renamed(draft):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (draft / name).write_text((draft / name).read_text().replace("<end>", "<fin>"))


COMMANDS = {"decode": [], "record": ["--out", "laws.npz"]}


@pytest.mark.parametrize("words", [WORDS - 20, WORDS])
@pytest.mark.parametrize("command", COMMANDS)
def test_other_tokenizers_are_refused(capsys, folders, tmp_path, monkeypatch, command, words):
    """Whether the vocabularies are as long or not: nothing else would tell them apart."""
    draft = copied(folders, tmp_path, words=words)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("reference.commands.shared.sources._open", None)  # no model is loaded
    renamed(draft)
    arguments = ["--target", str(folders / "target"), "--draft", str(draft), "--prompt", "x", *COMMANDS[command]]
    assert main([command, *arguments]) == 2
    told = f"error: --draft: the tokenizers of {folders / 'target'} and {draft} differ: token {END} is '<end>' only in "
    assert told + str(folders / "target") in capsys.readouterr().err


def test_two_swapped_tokens_are_another_tokenizer(capsys, folders, tmp_path):
    draft = copied(folders, tmp_path, words=WORDS)
    told = json.loads((draft / "tokenizer.json").read_text())
    ids = told["model"]["vocab"]
    ids["a"], ids["b"] = ids["b"], ids["a"]
    (draft / "tokenizer.json").write_text(json.dumps(told))
    arguments = ["--target", str(folders / "target"), "--draft", str(draft), "--prompt", "x"]
    assert main(["decode", *arguments]) == 2
    assert "differ: token " in capsys.readouterr().err


@pytest.mark.parametrize("words", [WORDS - 20, WORDS])
def test_the_same_tokenizer_may_be_written_otherwise(capsys, folders, tmp_path, words):
    """Other spaces in the file, and the files of a slow tokenizer."""
    draft = copied(folders, tmp_path, words=words)
    told = json.loads((draft / "tokenizer.json").read_text())
    (draft / "tokenizer.json").write_text(json.dumps(told, indent=7))
    slow = copied(folders, tmp_path, "slow", "target")
    (slow / "tokenizer.json").unlink()
    (slow / "vocab.json").write_text(json.dumps(told["model"]["vocab"] | {"<end>": END}))
    (slow / "merges.txt").write_text("#version: 0.2\n")
    special = {f"{name}_token": "<end>" for name in ("bos", "eos", "unk", "pad")}
    (slow / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer", **special}))
    for target in (folders / "target", slow):
        found = one_object(capsys, "--target", target, "--draft", draft, "--prompt", "x", "--max-tokens", "3")
        assert found["metrics"]["drafted_tokens"] > 0
    renamed(draft)
    for target in (folders / "target", slow):
        assert main(["decode", "--target", str(target), "--draft", str(draft), "--prompt", "x"]) == 2
        assert "the tokenizers of" in capsys.readouterr().err


def test_a_draft_without_tokenizer_is_taken_at_its_size(capsys, folders):
    found = one_object(capsys, "--target", folders / "target", "--draft", folders / "bare", "--prompt", "x")
    assert found["metrics"]["acceptance_rate"] > 0.9


def test_a_draft_is_ignored_where_nobody_drafts(capsys, folders):
    common = ["--target", folders / "target", "--prompt", "x", "--max-tokens", "4", "--decoder"]
    plain = one_object(capsys, *common, "autoregressive")
    for more in (["autoregressive"], ["autoregressive", "--drafter", "none"], ["batched", "--drafter", "none"]):
        found = one_object(capsys, *common, *more, "--draft", folders / "draft")
        assert (found["tokens"], found["models"]) == (plain["tokens"], plain["models"])


def test_a_stop_token_of_the_folder_that_is_none_is_named(capsys, folders, tmp_path):
    draft = copied(folders, tmp_path)
    told = json.loads((draft / "generation_config.json").read_text())
    (draft / "generation_config.json").write_text(json.dumps(told | {"eos_token_id": [END, 999]}))
    common = ["decode", "--target", str(draft), "--drafter", "lookup", "--prompt", "x", "--max-tokens", "2"]
    assert main(common) == 2
    assert f"error: {draft}: stop token 999; allowed are token ids from 0 to 279" in capsys.readouterr().err
    assert main([*common, "--stop", "256"]) == 0
