"""``specmath decode``: its output, its schema, its errors. A random pair stands in for the shipped one."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest

from proofs_tests.decode.test_models import random_llama
from reference import decode, pair
from reference.models.llama import LlamaConfig
from specmath import metrics
from specmath.cli import main

SCHEMAS = files("specmath") / "schemas"
SCHEMA = json.loads((SCHEMAS / "decode.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A pair of byte models with random weights, the draft a perturbed target."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("pair")
    for name, layers in (("target", 2), ("draft", 1)):
        config = LlamaConfig(256, 16, 24, layers, 2, 1, 96)
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config.as_json()))
        save_file(dict(random_llama(config, scale=0.5).state_dict()), folder / name / "model.safetensors")
    return folder


@pytest.fixture(autouse=True)
def _shipped(home, monkeypatch):
    monkeypatch.setattr(pair, "HOME", home)


def one_object(capsys, *arguments):
    assert main(["decode", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    VALIDATOR.validate(found)
    return found


def test_schemas_agree_and_are_schemas():
    alone = json.loads((SCHEMAS / "round.schema.json").read_text())
    for schema in (SCHEMA, alone):
        jsonschema.Draft202012Validator.check_schema(schema)
    for key in ("$schema", "$id", "title", "description"):
        del alone[key]
    assert SCHEMA["$defs"]["round"] == alone  # decode.schema.json stands alone: it carries a copy


@pytest.mark.parametrize("decoder", ["autoregressive", "chain", "paths"])
def test_json_is_what_the_decoder_returns(capsys, decoder):
    arguments = ["--prompt", "def é", "--decoder", decoder, "--seed", "3", "--temperature", "0.8", "--max-tokens", "30"]
    found = one_object(capsys, *arguments)
    models, prompt = pair.load(), pair.encode("def é")
    options = decode.Options(max_tokens=30, temperature=0.8, seed=3, stop=frozenset([0]))
    if decoder == "chain":
        own = decode.chain(models.target, models.draft, prompt, draft_length=4, options=options)
    elif decoder == "paths":
        own = decode.paths(
            models.target, models.draft, prompt, n=2, draft_length=4, rule="optimal_paths", options=options
        )
    else:
        own = decode.autoregressive(models.target, prompt, options=options)
    assert tuple(found["tokens"]) == own.tokens
    assert found["text"] == pair.decode_tokens(own.tokens)
    assert found["stop_reason"] == own.stop_reason
    assert found["metrics"] == metrics.summary(found["rounds"])
    assert [one["drafted"] for one in found["rounds"]] == [list(one.drafted) for one in own.rounds]
    assert found["options"]["draft_length"] == (None if decoder == "autoregressive" else 4)
    assert (found["options"]["n"], found["options"]["drafts"]) == ((2, "iid") if decoder == "paths" else (None, None))
    assert found["prompt"] == "def é"


@pytest.mark.parametrize("rule", ["token_wise", "block"])
def test_options_reach_the_decoder(capsys, rule):
    arguments = "--rule block --draft-length 2 --top-k 5 --top-p 0.9 --max-tokens 12".replace("block", rule).split()
    found = one_object(capsys, "--prompt", "x", *arguments)
    assert found["options"]["rule"] == rule
    assert (found["options"]["top_k"], found["options"]["top_p"]) == (5, 0.9)
    assert len(found["rounds"][0]["drafted"]) == 2
    other = one_object(capsys, "--prompt", "x", *arguments, "--seed", "1")
    assert other["tokens"] != found["tokens"]


def test_paths_options_reach_the_decoder(capsys):
    arguments = ["--decoder", "paths", "--n", "3", "--drafts", "without_replacement", "--rule", "traversal"]
    found = one_object(capsys, "--prompt", "x", *arguments, "--draft-length", "2", "--max-tokens", "8")
    own = {name: found["options"][name] for name in ("decoder", "n", "drafts", "rule", "draft_length")}
    assert own == {"decoder": "paths", "n": 3, "drafts": "without_replacement", "rule": "traversal", "draft_length": 2}
    first = found["rounds"][0]
    assert first["parents"] == [-1, 0, -1, 2, -1, 4]
    assert len({first["drafted"][node] for node in (0, 2, 4)}) == 3
    node = one_object(
        capsys, "--prompt", "x", "--decoder", "paths", "--rule", "recursive", "--draft-length", "1", "--max-tokens", "4"
    )
    assert node["rounds"][0]["parents"] == [-1, -1]


@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_greedy_text_is_the_same_with_every_decoder(capsys, arithmetic):
    """By construction: the logits of a prefix have the same bits in every layout. Some drafts must be accepted."""
    wanted = ["--prompt", "def mean(values):", "--temperature", "0", "--max-tokens", "40", "--arithmetic", arithmetic]
    plain = one_object(capsys, *wanted, "--decoder", "autoregressive")
    for decoder in ("chain", "paths"):
        found = one_object(capsys, *wanted, "--decoder", decoder)
        assert found["tokens"] == plain["tokens"]
        assert found["metrics"]["accepted_tokens"] > 0
        assert found["options"]["arithmetic"] == arithmetic


def test_coupled_text_is_the_same_with_and_without_a_draft(capsys):
    wanted = ["--prompt", "def mean(values):", "--max-tokens", "40", "--seed", "7", "--randomness", "coupled"]
    wanted += ["--arithmetic", "exact64"]
    plain = one_object(capsys, *wanted, "--decoder", "autoregressive")
    for length in ("1", "4"):
        found = one_object(capsys, *wanted, "--decoder", "chain", "--draft-length", length)
        assert found["tokens"] == plain["tokens"]
        assert found["metrics"]["accepted_tokens"] > 0
        assert (found["options"]["randomness"], found["options"]["rule"]) == ("coupled", None)
    assert one_object(capsys, *wanted, "--decoder", "autoregressive", "--seed", "8")["tokens"] != plain["tokens"]


def test_text_is_streamed_and_summed_up(capsys):
    arguments = ["--prompt", "x", "--max-tokens", "20", "--seed", "4"]
    found = one_object(capsys, *arguments)
    assert main(["decode", *arguments]) == 0
    out, err = capsys.readouterr()
    assert out == found["text"] + "\n"
    assert err.count("\n") == 1
    assert f"{len(found['tokens'])} tokens in {len(found['rounds'])} target calls" in err


def test_a_file_of_prompts_gives_one_object_per_line(capsys, tmp_path):
    path = tmp_path / "prompts.jsonl"
    lines = ['"def f"', '{"prompt": "a\\u2028b", "id": "second"}', "", '"x\u2028y"', '{"prompt": "def f", "id": 4}']
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["decode", "--prompts", str(path), "--max-tokens", "8"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for one in found:
        VALIDATOR.validate(one)
    assert [one.get("id") for one in found] == [None, "second", None, 4]
    assert [one["options"]["request"] for one in found] == [0, 1, 2, 3]
    assert found[0]["tokens"] != found[3]["tokens"]  # equal prompts, other uniforms
    alone = one_object(capsys, "--prompt", "def f", "--max-tokens", "8")
    assert alone["tokens"] == found[0]["tokens"]


def test_the_schema_rejects_wrong_output(capsys):
    found = one_object(capsys, "--prompt", "x", "--max-tokens", "4")
    for key in SCHEMA["required"]:
        assert not VALIDATOR.is_valid({name: value for name, value in found.items() if name != key})
    for change in (
        {"schema_version": 1},
        {"tokens": ["x"]},
        {"rounds": []},
        {"rounds": [{**found["rounds"][0], "accepted": None}]},
        {"metrics": {**found["metrics"], "acceptance_rate": 1.5}},
        {"stop_reason": None},
        {"more": 1},
    ):
        assert not VALIDATOR.is_valid({**found, **change})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--prompt"),
        (["--prompt", ""], "--prompt: empty; allowed"),
        (["--prompt", "x", "--prompts", "y"], "not allowed with"),
        (["--prompt", "x", "--decoder", "tree"], "--decoder is 'tree'; allowed are autoregressive, chain, paths"),
        (["--prompt", "x", "--n", "2"], "--n is 2: --decoder chain has no --n, paths only"),
        (["--prompt", "x", "--drafts", "iid"], "--drafts is 'iid': --decoder chain has no --drafts, paths only"),
        (
            ["--prompt", "x", "--decoder", "autoregressive", "--rule", "block"],
            "--rule is 'block': --decoder autoregressive has no --rule, chain and paths only",
        ),
        (["--prompt", "x", "--decoder", "paths", "--n", "0"], "--n is 0; allowed are whole numbers >= 1"),
        (["--prompt", "x", "--decoder", "paths", "--drafts", "beam"], "drafts is 'beam'; allowed are"),
        (
            ["--prompt", "x", "--decoder", "paths", "--drafts", "hub"],
            "rule 'optimal_paths' does not verify drafts='hub'",
        ),
        (["--prompt", "x", "--decoder", "paths", "--rule", "block"], "rule is 'block'; allowed for n paths are"),
        (
            ["--prompt", "x", "--decoder", "paths", "--rule", "recursive"],
            "draft_length is 4: rule 'recursive' judges candidates for one token; allowed is 1",
        ),
        (["--prompt", "x", "--rule", "spectr"], "allowed for a chain are 'token_wise', 'block'"),
        (["--prompt", "x", "--draft-length", "0"], "--draft-length is 0"),
        (["--prompt", "x", "--draft-length", "two"], "invalid int value: 'two'"),
        (["--prompt", "x", "--temperature", "-1"], "temperature is -1.0; allowed"),
        (["--prompt", "x", "--temperature", "nan"], "temperature is nan; allowed"),
        (["--prompt", "x", "--top-p", "2"], "top_p is 2.0; allowed"),
        (["--prompt", "x", "--top-k", "0"], "top_k is 0; allowed"),
        (["--prompt", "x", "--max-tokens", "0"], "max_tokens is 0; allowed"),
        (["--prompt", "x", "--seed", "-1"], "seed is -1; allowed"),
        (["--prompt", "x", "--randomness", "none"], "--randomness is 'none'; allowed are rejection, coupled"),
        (
            ["--prompt", "x", "--randomness", "coupled", "--rule", "block"],
            "--rule is 'block': with --randomness coupled",
        ),
        (["--prompt", "x", "--randomness", "coupled", "--decoder", "paths"], "--randomness coupled: allowed with"),
        (["--prompt", "x", "--arithmetic", "exact"], "--arithmetic is 'exact'; allowed are exact64, int8, native"),
        (["--prompt", "x" * 96], "prompt has 97 tokens; allowed are up to 95"),
        (["--prompts", "/nowhere/at/all"], "/nowhere/at/all: No such file"),
    ],
)
def test_wrong_calls_end_with_one_line_and_code_2(capsys, arguments, message):
    assert main(["decode", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("specmath decode: error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no prompts"),
        (b"plain text\n", "line 1: not JSON"),
        (b'"fine"\n[1]\n', "line 2: the prompt is [1]"),
        (b'{"text": "x"}\n', "line 1: fields ['text']; allowed are prompt"),
        (b'{"prompt": "x", "seed": 1}\n', "fields ['prompt', 'seed']"),
        (b'{"prompt": "x", "id": null}\n', "id is None"),
        (b'""\n', "the prompt is ''"),
        (b'"\\ud800"\n', "line 1: prompt: character 0 is a lone surrogate"),
        (b'"\xff"\n', "not UTF-8"),
        (b'"fine"\n"' + b"x" * 200 + b'"\n', "line 2: prompt has 201 tokens"),
    ],
)
def test_wrong_prompt_files_are_refused_before_any_work(capsys, tmp_path, content, message):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(content)
    assert main(["decode", "--prompts", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_missing_and_unlike_weights_are_named(capsys, monkeypatch, tmp_path, home):
    monkeypatch.setattr(pair, "HOME", tmp_path)
    assert main(["decode", "--prompt", "x"]) == 2
    assert "config.json: no such file; train it: python -m reference.pair.train" in capsys.readouterr().err
    from safetensors.torch import save_file

    (tmp_path / "target").symlink_to(home / "target")
    (tmp_path / "draft").mkdir()
    config = LlamaConfig(255, 16, 24, 1, 2, 1, 96)
    (tmp_path / "draft" / "config.json").write_text(json.dumps(config.as_json()))
    save_file(dict(random_llama(config).state_dict()), tmp_path / "draft" / "model.safetensors")
    assert main(["decode", "--prompt", "x"]) == 2
    assert "target has 256 tokens and draft 255" in capsys.readouterr().err


def test_bytes_and_text():
    assert pair.encode("a\udcff") == [0, 97, 255]  # what the shell handed over undecoded comes back as it was
    assert pair.decode_tokens([97, 255]) == "a\ufffd"
    assert pair.decode_tokens([]) == ""
