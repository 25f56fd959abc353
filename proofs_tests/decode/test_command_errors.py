"""Wrong calls of ``specmath decode``: one line says what is wrong and what is allowed, code 2, before any work."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from safetensors.torch import save_file

from proofs_tests.decode.command_harness import make_pair
from proofs_tests.decode.test_models import random_llama
from proofs_tests.packaging.sources import ROOT
from reference import pair
from reference.commands import decode, record
from reference.commands.shared import sources
from reference.commands.shared.drafting import choose, choose_drafter
from reference.commands.shared.sampling import options
from reference.models.llama import LlamaConfig
from specmath.cli import main
from specmath.cli.entry import parser_for

COMMANDS = {"decode": decode.COMMAND, "record": record.COMMAND}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(autouse=True)
def _shipped(home, monkeypatch):
    monkeypatch.setattr(pair, "HOME", home)


def refused(capsys, arguments):
    """The one line."""
    assert main(["decode", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("specmath decode: error: ")
    assert err.count("\n") == 1
    return err


UNLOADED = [
    ([], "no prompt; allowed are --prompt TEXT, --prompt-tokens IDS or --prompts FILE"),
    (["--prompt", "x", "--prompts", "y"], "--prompts is not allowed with --prompt"),
    (["--prompt-tokens", "1,a"], "'1,a'; allowed are token ids with commas"),
    (["--prompts", "/nowhere/at/all"], "/nowhere/at/all: No such file"),
    (["--prompt", "x", "--decoder", "paths"], "--decoder is 'paths'; allowed are autoregressive, chain, tree, batched"),
    (["--prompt", "x", "--drafter", "beam"], "--drafter is 'beam'; allowed are model, early, lookup, none"),
    (["--prompt", "x", "--n", "2"], "--n is 2: allowed with --decoder tree and batched, without --tree only"),
    (["--prompt", "x", "--decoder", "tree", "--n", "2", "--tree", "2"], "--n is 2: allowed without --tree only"),
    (["--prompt", "x", "--tree", "2"], "--tree is 2: allowed with --decoder tree and batched only"),
    (["--prompt", "x", "--decoder", "tree", "--tree", "2,x"], "--tree is '2,x'; allowed are children of each level"),
    (["--prompt", "x", "--decoder", "tree", "--tree", "2,0"], "--tree is '2,0'; allowed are"),
    (["--prompt", "x", "--decoder", "tree", "--tree", ""], "--tree is ''; allowed are"),
    (
        ["--prompt", "x", "--decoder", "tree", "--tree", "9,9,9"],
        "--tree makes 819 nodes a round; allowed are up to",
    ),
    (["--prompt", "x", "--decoder", "tree", "--draft-length", "3"], "--draft-length is 3: allowed for chains and with"),
    (["--prompt", "x", "--decoder", "tree", "--n", "0"], "--n is 0; allowed are whole numbers >= 1"),
    (["--prompt", "x", "--decoder", "tree", "--drafts", "beam"], "drafts is 'beam'; allowed are"),
    (["--prompt", "x", "--nodes", "3"], "--nodes is 3: allowed with --tree best_first only"),
    (["--prompt", "x", "--decoder", "tree", "--tree", "best_first", "--width", "0"], "--width is 0; allowed"),
    (
        ["--prompt", "x", "--decoder", "tree", "--tree", "best_first", "--drafts", "iid"],
        "--drafts is 'iid': allowed with --drafter model and early, without --tree best_first",
    ),
    (
        ["--prompt", "x", "--decoder", "tree", "--tree", "best_first", "--width", "99", "--depth", "99"],
        "--nodes, or --depth times --width, makes 9801 nodes a round",
    ),
    (
        ["--prompt", "x", "--decoder", "autoregressive", "--rule", "block"],
        "--rule is 'block': --decoder autoreg",
    ),
    (["--prompt", "x", "--decoder", "autoregressive", "--drafter", "model"], "--drafter is 'model': --decoder autoreg"),
    (
        ["--prompt", "x", "--decoder", "autoregressive", "--draft-length", "2"],
        "--draft-length is 2: allowed for chains",
    ),
    (
        ["--prompt", "x", "--drafter", "none"],
        "--drafter is 'none': --decoder chain needs drafts; allowed with --decoder autoregressive and batched only",
    ),
    (["--prompt", "x", "--decoder", "tree", "--drafter", "lookup"], "--drafter is 'lookup': it copies a chain"),
    (["--prompt", "x", "--drafter", "lookup", "--drafts", "iid"], "--drafts is 'iid': allowed with --drafter model"),
    (["--prompt", "x", "--early-layers", "2"], "--early-layers is 2: allowed with --drafter early only"),
    (["--prompt", "x", "--drafter", "early", "--early-layers", "0"], "--early-layers is 0; allowed"),
    (["--prompt", "x", "--rows", "2"], "--rows is 2: allowed with --decoder batched only"),
    (["--prompt", "x", "--decoder", "batched", "--rows", "0"], "--rows is 0; allowed are whole numbers >= 1"),
    (["--prompt", "x", "--rule", "none"], "rule is 'none'; allowed for a chain"),
    (["--prompt", "x", "--rule", "spechub"], "rule is 'spechub'; allowed for a chain with 1 candidates a node are"),
    (["--prompt", "x", "--rule", "block", "--decoder", "tree"], "rule is 'block'; allowed for a tree"),
    (
        ["--prompt", "x", "--decoder", "tree", "--drafts", "top_k", "--rule", "traversal"],
        "rule is 'traversal'; allowed",
    ),
    (["--prompt", "x", "--decoder", "batched", "--drafter", "none", "--rule", "block"], "there is nothing to judge"),
    (["--prompt", "x", "--randomness", "none"], "--randomness is 'none'; allowed are coupled, rejection"),
    (["--prompt", "x", "--randomness", "coupled", "--rule", "block"], "--rule is 'block': with --randomness coupled"),
    (["--prompt", "x", "--draft-length", "0"], "--draft-length is 0; allowed"),
    (["--prompt", "x", "--draft-length", "513"], "--draft-length makes 513 nodes a round; allowed are up to 512"),
    (["--prompt", "x", "--draft-length", "two"], "invalid int value: 'two'"),
    (["--prompt", "x", "--temperature", "-1"], "temperature is -1.0; allowed"),
    (["--prompt", "x", "--temperature", "nan"], "temperature is nan; allowed"),
    (["--prompt", "x", "--top-p", "2"], "top_p is 2.0; allowed"),
    (["--prompt", "x", "--top-k", "0"], "top_k is 0; allowed"),
    (["--prompt", "x", "--max-tokens", "0"], "max_tokens is 0; allowed"),
    (["--prompt", "x", "--seed", "-1"], "seed is -1; allowed"),
    (["--prompt", "x", "--arithmetic", "exact"], "--arithmetic is 'exact'; allowed are exact64, int8, native"),
    (["--prompt", "x", "--dtype", "float16"], "--dtype is 'float16'; allowed are float32, bfloat16, float64"),
    (["--prompt", "x", "--pair", "a", "--target", "b"], "--pair is allowed without --target and --draft only"),
    (["--prompt", "x", "--draft", "b"], "--draft is allowed with --target only"),
    (["--prompt", "x", "--target", "b"], "--target needs --draft DIR here; allowed without a draft are"),
    (
        ["--prompt", "x", "--target", "a", "--draft", "b", "--drafter", "lookup"],
        "--draft is allowed with --drafter model only, here it is 'lookup'",
    ),
    (["--prompt", "x", "--resume"], "--resume is allowed with --out only"),
    (["--prompt", "x", "--out", "/nowhere/at/all.jsonl"], "--out: there is no folder /nowhere/at"),
    (["--prompt", "x", "--out", "/tmp"], "--out: /tmp is a folder"),
]


@pytest.mark.parametrize(("arguments", "message"), UNLOADED)
def test_refused_before_a_model_is_loaded(capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(sources, "load", None)  # would be a TypeError
    assert message in refused(capsys, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", ""], "--prompt: empty; allowed is at least one character"),
        (["--prompt-tokens", ""], "--prompt-tokens: empty; allowed is at least one token id"),
        (["--prompt", "a", "--prompt", ""], "--prompt (2 of 2): empty"),
        (["--prompt-tokens", "0,256"], "prompt[1] is 256; allowed are token ids from 0 to 255"),
        (["--prompt-tokens", "-1"], "prompt[0] is -1; allowed are token ids from 0 to 255"),
        (["--prompt", "x", "--stop", "300"], "error: --stop: stop token 300; allowed are token ids from 0 to 255"),
        (["--prompt", "x" * 96], "prompt has 97 tokens; allowed are up to 95"),
        (["--prompt", "x", "--drafter", "early", "--early-layers", "3"], "--early-layers: layers is 3; allowed are"),
        (
            ["--prompt", "x", "--decoder", "tree", "--n", "100", "--draft-length", "5"],
            "the tree has 495 nodes more than it is deep, and the cache of the target has room for 96",
        ),
        (["--prompt", "x", "--device", "cuda:77"], "--device: device is 'cuda:77'; torch sees cpu"),
        (["--prompt", "x", "--device", "gpu"], "--device: device is 'gpu'; torch sees cpu"),
        (["--prompt", "x", "--target", "/nowhere", "--drafter", "lookup"], "/nowhere: no such folder"),
        (["--prompt", "x", "--pair", "/nowhere"], "/nowhere/target/config.json: no such file; train it"),
    ],
)
def test_refused_before_a_token_is_read(capsys, monkeypatch, arguments, message):
    from reference.cache import Rows

    monkeypatch.setattr(Rows, "extend", None)
    assert message in refused(capsys, arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no prompts"),
        (b"plain text\n", "line 1: not JSON"),
        (b'"fine"\n[1]\n', "line 2: the prompt is [1]"),
        (b'{"prompt": []}\n', "line 1: the prompt is []"),
        (b'{"prompt": [true]}\n', "line 1: the prompt is [True]"),
        (b'{"prompt": [1, 999]}\n', "line 1: prompt[1] is 999"),
        (b'{"text": "x"}\n', "line 1: fields ['text']; allowed are prompt"),
        (b'{"prompt": "x", "seed": 1}\n', "fields ['prompt', 'seed']"),
        (b'{"prompt": "x", "id": null}\n', "id is None"),
        (b'""\n', "the prompt is ''"),
        (b"[" * 100_000 + b"\n", "line 1: not JSON"),
        (b'"\\ud800"\n', "line 1: prompt: character 0 is a lone surrogate"),
        (b'"\xff"\n', "not UTF-8"),
        (b'"fine"\n"' + b"x" * 200 + b'"\n', "line 2: prompt has 201 tokens"),
    ],
)
def test_wrong_prompt_files_are_refused(capsys, tmp_path, content, message):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(content)
    assert message in refused(capsys, ["--prompts", path])


def test_missing_and_unlike_weights_are_named(capsys, monkeypatch, tmp_path, home):
    monkeypatch.setattr(pair, "HOME", tmp_path)
    assert "config.json: no such file; train it: python -m reference.pair.train" in refused(capsys, ["--prompt", "x"])
    (tmp_path / "target").symlink_to(home / "target")
    (tmp_path / "draft").mkdir()
    config = LlamaConfig(255, 16, 24, 1, 2, 1, 96)
    (tmp_path / "draft" / "config.json").write_text(json.dumps(config.as_json()))
    save_file(dict(random_llama(config).state_dict()), tmp_path / "draft" / "model.safetensors")
    assert "target has 256 tokens and draft 255" in refused(capsys, ["--prompt", "x"])
    assert main(["decode", "--prompt", "x", "--drafter", "lookup", "--max-tokens", "2"]) == 0  # needs no draft
    capsys.readouterr()
    (tmp_path / "draft" / "model.safetensors").write_bytes(b"no weights")
    assert "not the weights of" in refused(capsys, ["--prompt", "x"])


def test_bytes_and_text():
    assert pair.encode("a\udcff") == [0, 97, 255]  # what the shell handed over undecoded comes back as it was
    assert pair.decode_tokens([97, 255]) == "a\ufffd"
    assert pair.decode_tokens([]) == ""


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CALL = r"specmath (?:decode|record) [^`\n>]+"  # up to where a shell would put the output
SHOWN = sorted({line for page in PAGES for line in re.findall(CALL, page.read_text())})


@pytest.mark.parametrize("line", [line for line in SHOWN if "--prompt" in line])
def test_calls_that_the_docs_show_are_right(line):
    """All that can be told without models and files."""
    name, *words = shlex.split(line)[1:]
    arguments = parser_for(COMMANDS[name]).parse_args(words)
    drafter = choose(arguments).drafter if name == "decode" else choose_drafter(arguments, ("model", "early"))[0]
    sources.check(arguments, drafter)
    options(arguments)


def test_the_docs_show_calls():
    assert len([line for line in SHOWN if "--prompt" in line]) > 15
