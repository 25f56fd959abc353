"""``specmath decode``: one text whatever decodes it, its output and its schema."""

from __future__ import annotations

import json

import jsonschema
import pytest
import torch

from proofs_tests.decode.command_harness import (
    SCHEMA,
    SCHEMAS,
    VALIDATOR,
    make_pair,
    objects,
    one_object,
    timeless,
    write_prompts,
)
from reference import decode, drafters, pair
from reference.decode.judge import Coupled
from specmath import metrics
from specmath.cli import main

PROMPTS = ("def mean(values):", {"prompt": "é\n\x00", "id": "second"}, {"prompt": [0, 97], "id": 3}, "x" * 85)

WAYS = {
    "chain": ["chain"],
    "chain of one": ["chain", "--draft-length", "1"],
    "early layers": ["chain", "--drafter", "early", "--early-layers", "1"],
    "lookup": ["chain", "--drafter", "lookup"],
    "tree": ["tree"],
    "wide tree": ["tree", "--tree", "3,2,1", "--drafter", "early"],
    "paths": ["tree", "--n", "3", "--draft-length", "2"],
    "drawn tree": ["tree", "--tree", "2,2", "--drafts", "iid"],
    "best first": ["tree", "--tree", "best_first", "--nodes", "8", "--depth", "3"],
    "rows": ["batched", "--rows", "3"],
    "rows of trees": ["batched", "--tree", "2,1", "--rows", "2"],
    "rows, best first": ["batched", "--tree", "best_first"],
    "rows, lookup": ["batched", "--drafter", "lookup", "--rows", "4"],
    "rows, no drafts": ["batched", "--drafter", "none"],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(autouse=True)
def _shipped(home, monkeypatch):
    monkeypatch.setattr(pair, "HOME", home)


@pytest.fixture
def plain(capsys, tmp_path):
    """Texts decoded autoregressively, by temperature; made once for each setting."""
    path = write_prompts(tmp_path / "prompts.jsonl", *PROMPTS)
    common = ["--prompts", path, "--max-tokens", "16", "--seed", "5"]

    def of(*more):
        return common + list(more), objects(capsys, *common, *more, "--decoder", "autoregressive")

    return of


def same_texts(found, plain):
    assert [(one["text"], one["tokens"]) for one in found] == [(one["text"], one["tokens"]) for one in plain]
    assert [one.get("id") for one in found] == [one.get("id") for one in plain] == [None, "second", 3, None]
    assert [one["stop_reason"] for one in found] == [one["stop_reason"] for one in plain]
    assert found[3]["stop_reason"] == "context"


@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_one_text_whatever_decodes_it(capsys, plain, arithmetic):
    """All decoders, all drafters, greedy and sampled: text and tokens of autoregressive decoding. Drafts are accepted
    and rejected in every way that drafts."""
    accepted = dict.fromkeys(WAYS, 0)
    rejected = dict.fromkeys(WAYS, 0)
    for temperature in ("0", "1"):
        arguments, wanted = plain("--temperature", temperature, "--arithmetic", arithmetic)
        ways = WAYS if arithmetic == "exact64" else {name: WAYS[name] for name in ("chain", "tree", "rows of trees")}
        for name, way in ways.items():
            found = objects(capsys, *arguments, "--decoder", *way)
            same_texts(found, wanted)
            accepted[name] += sum(one["metrics"]["accepted_tokens"] for one in found)
            rejected[name] += sum(one["metrics"]["drafted_tokens"] for one in found) - accepted[name]
    for name in ways:
        assert (accepted[name] > 0) == (rejected[name] > 0) == ("no drafts" not in name), name


def test_a_decoder_that_shifts_the_noise_is_caught(capsys, plain, monkeypatch):
    """Planted: where tokens were drafted the noise of the next place is used."""
    arguments, wanted = plain()
    original = Coupled.decide

    def shifted(self, position, logits, laws, proposal):
        return original(self, position + (len(proposal.tokens) > 0), logits, laws, proposal)

    monkeypatch.setattr(Coupled, "decide", shifted)
    for way in ("chain", "tree", "batched"):
        with pytest.raises(AssertionError):
            same_texts(objects(capsys, *arguments, "--decoder", way), wanted)


def test_the_shipped_pair_says_one_thing(capsys, monkeypatch):
    monkeypatch.undo()
    arguments = ["--prompt", "def mean(values):", "--max-tokens", "32", "--temperature", "0.8"]
    texts = [one_object(capsys, *arguments, "--decoder", way) for way in ("autoregressive", "chain", "tree", "batched")]
    assert len({one["text"] for one in texts}) == len({tuple(one["tokens"]) for one in texts}) == 1
    assert all(one["metrics"]["block_efficiency"] > 1.5 for one in texts[1:])
    assert [one["models"]["target"]["folder"] for one in texts] == ["shipped/target"] * 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("arithmetic", ["exact64", "int8"])
def test_the_gpu_says_the_same(capsys, plain, arithmetic):
    """Texts of the CPU, with every decoder on CUDA."""
    arguments, wanted = plain("--arithmetic", arithmetic)
    for way in ("autoregressive", "chain", "tree", "batched"):
        same_texts(objects(capsys, *arguments, "--decoder", way, "--device", "cuda"), wanted)


def test_seed_and_number_make_the_text(capsys, tmp_path):
    arguments = ["--max-tokens", "12"]
    both = objects(capsys, "--prompt", "x", "--prompt", "x", *arguments)
    assert both[0]["tokens"] != both[1]["tokens"]  # equal prompts, numbers 0 and 1
    assert [one["options"]["request"] for one in both] == [0, 1]
    assert timeless(one_object(capsys, "--prompt", "x", *arguments)) == timeless(both[0])
    other = one_object(capsys, "--prompt", "x", *arguments, "--seed", "1")
    assert other["tokens"] != both[0]["tokens"]
    ids = one_object(capsys, "--prompt-tokens", "0,120", *arguments)
    assert (ids["prompt"], ids["tokens"]) == ([0, 120], both[0]["tokens"])


@pytest.mark.parametrize("decoder", ["autoregressive", "chain", "tree"])
@pytest.mark.parametrize("randomness", ["coupled", "rejection"])
def test_json_is_what_the_decoder_returns(capsys, decoder, randomness):
    arguments = ["--prompt", "def é", "--decoder", decoder, "--seed", "3", "--temperature", "0.8", "--max-tokens", "30"]
    found = one_object(capsys, *arguments, "--randomness", randomness)
    models, prompt = pair.load(), pair.encode("def é")
    options = decode.Options(max_tokens=30, temperature=0.8, seed=3, stop=frozenset([0]), randomness=randomness)
    drafter = {
        "autoregressive": None,
        "chain": drafters.chain(models.draft, 4),
        "tree": drafters.tree(models.draft, (2, 2, 1)),
    }[decoder]
    own = decode.collect(decode.stream(models.target, prompt, drafter=drafter, options=options))
    assert tuple(found["tokens"]) == own.tokens
    assert found["text"] == pair.decode_tokens(own.tokens)
    assert found["stop_reason"] == own.stop_reason
    assert found["metrics"] == metrics.summary(found["rounds"])
    assert [one["drafted"] for one in found["rounds"]] == [list(one.drafted) for one in own.rounds]
    assert [value for one in found["rounds"] for value in one["logprobs"]] == list(own.logprobs)
    rules = {"autoregressive": None, "chain": "token_wise", "tree": "traversal"}
    assert found["options"]["rule"] == (None if randomness == "coupled" else rules[decoder])
    assert found["prompt"] == "def é"


@pytest.mark.parametrize(
    ("arguments", "expected", "parents"),
    [
        ("--rule block --draft-length 2", {"rule": "block", "draft_length": 2, "drafts": "iid"}, [-1, 0]),
        (
            "--decoder tree --tree 2,1 --drafts without_replacement --rule traversal",
            {"tree": [2, 1], "drafts": "without_replacement", "rule": "traversal"},
            [-1, -1, 0, 1],
        ),
        ("--decoder tree --n 2 --draft-length 1 --rule optimal", {"n": 2, "tree": None, "rule": "optimal"}, [-1, -1]),
        (
            "--decoder tree --n 2 --draft-length 2 --rule optimal_paths",
            {"n": 2, "draft_length": 2, "rule": "optimal_paths"},  # level by level
            [-1, -1, 0, 1],
        ),
        (
            "--decoder tree --tree best_first --nodes 3 --width 2 --depth 2 --randomness rejection",
            {"tree": "best_first", "nodes": 3, "width": 2, "depth": 2, "rule": "sampler_match", "drafts": "top_k"},
            None,
        ),
        ("--decoder batched --rows 2 --rule recursive --n 3", {"rows": 2, "rule": "recursive", "n": 3}, None),
        ("--decoder batched --drafter none", {"drafter": "none", "rows": 8, "rule": None, "drafts": None}, []),
        ("--drafter lookup --rule block", {"drafter": "lookup", "draft_length": 8, "drafts": None}, None),
        ("--drafter early --early-layers 2 --draft-length 1", {"early_layers": 2, "drafts": "coupled"}, [-1]),
        ("--arithmetic native --dtype bfloat16", {"arithmetic": "native", "dtype": "bfloat16", "device": "cpu"}, None),
        ("--dtype float64 --stop 10,200", {"dtype": "float64", "stop": [10, 200]}, None),
        ("--top-k 5 --top-p 0.9 --seed 9", {"top_k": 5, "top_p": 0.9, "seed": 9, "randomness": "coupled"}, None),
    ],
)
def test_options_reach_the_decoder(capsys, arguments, expected, parents):
    found = one_object(capsys, "--prompt", "xyxy", "--max-tokens", "9", *arguments.split())
    assert {name: found["options"][name] for name in expected} == expected
    if parents is not None:
        assert found["rounds"][0]["parents"] == parents
    if found["options"]["nodes"]:
        assert max(len(one["drafted"]) for one in found["rounds"]) == found["options"]["nodes"]
    if "rule" in expected:
        assert found["options"]["randomness"] == ("rejection" if expected["rule"] else "coupled")


def test_early_draft_of_the_whole_target_is_always_right(capsys):
    """All layers of the target: every draft is what the target says."""
    found = one_object(capsys, "--prompt", "x", "--drafter", "early", "--early-layers", "2", "--max-tokens", "20")
    assert found["metrics"]["acceptance_rate"] == 1.0
    assert found["models"]["draft"] == {**found["models"]["target"], "layers": 2}


@pytest.mark.parametrize("shape", [["--n", "4", "--draft-length", "30"], ["--tree", "90,1,1"]])
def test_the_largest_trees_fit_to_the_end_of_the_context(capsys, shape):
    """They have 90 and 267 nodes more than they are deep, and the cache has room for 96 beyond the context: the second
    is refused, the first never runs out of room."""
    if shape[0] == "--tree":
        assert main(["decode", "--prompt", "x", "--decoder", "tree", *shape]) == 2
        return
    found = one_object(capsys, "--prompt", "x", "--decoder", "tree", *shape, "--stop", "")
    assert found["stop_reason"] == "context"
    assert max(len(one["drafted"]) for one in found["rounds"]) == 120


def test_models_are_told_by_their_content(capsys, home, tmp_path):
    found = one_object(capsys, "--prompt", "x", "--max-tokens", "2", "--pair", home)
    assert found["models"]["target"]["folder"] == f"{home}/target"
    other = make_pair(tmp_path / "other")
    weights = bytearray((other / "draft" / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "draft" / "model.safetensors").write_bytes(weights)
    changed = one_object(capsys, "--prompt", "x", "--max-tokens", "2", "--pair", other)
    digests = [[one["models"][name]["digest"] for name in ("target", "draft")] for one in (found, changed)]
    assert (digests[0][0] == digests[1][0], digests[0][1] == digests[1][1]) == (True, False)


REFUSED = {
    "target: logits: a row holds NaN": ValueError("target: logits: a row holds NaN"),
    "RuntimeError: no memory": RuntimeError("no memory"),
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_failed_text_leaves_the_others(capsys, monkeypatch, said):
    """Planted: the second text's logits are refused after some rounds, or the device gives up."""
    wanted = objects(capsys, *["--prompt", "a"] * 3, "--max-tokens", "12")
    laws, seen = decode.Options.laws, []

    def failing(self, name, logits, **more):
        if self.request == 1 and name == "target":
            seen.append(name)
            if len(seen) > 2:
                raise REFUSED[said]
        return laws(self, name, logits, **more)

    monkeypatch.setattr(decode.Options, "laws", failing)
    for decoder in ("chain", "batched"):
        seen.clear()
        assert main(["decode", *["--prompt", "a"] * 3, "--max-tokens", "12", "--decoder", decoder, "--json"]) == 1
        out, err = capsys.readouterr()
        found = [json.loads(line) for line in out.splitlines()]
        for one in found:
            VALIDATOR.validate(one)
        assert [one.get("tokens") for one in found] == [wanted[0]["tokens"], None, wanted[2]["tokens"]]
        assert found[1]["error"] == said
        assert err == f"specmath decode: --prompt (2 of 3): {said}\n"


def test_a_drafter_that_does_not_begin_fails_its_text_only(capsys, monkeypatch):
    begin, begun = drafters.ModelDrafter.begin, []

    def failing(self, task, memory=None):
        begun.append(task)
        if len(begun) == 2:
            raise RuntimeError("no memory")
        return begin(self, task, memory)

    monkeypatch.setattr(drafters.ModelDrafter, "begin", failing)
    for decoder in ("chain", "batched"):
        begun.clear()
        assert main(["decode", *["--prompt", "a"] * 3, "--max-tokens", "3", "--decoder", decoder, "--json"]) == 1
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [one.get("error") for one in found] == [None, "RuntimeError: no memory", None]


def test_schemas_agree_and_are_schemas():
    alone = json.loads((SCHEMAS / "round.schema.json").read_text())
    for schema in (SCHEMA, alone):
        jsonschema.Draft202012Validator.check_schema(schema)
    for key in ("$schema", "$id", "title", "description"):
        del alone[key]
    assert SCHEMA["$defs"]["round"] == alone  # decode.schema.json stands alone: it carries a copy


def test_the_schema_rejects_wrong_output(capsys):
    found = one_object(capsys, "--prompt", "x", "--max-tokens", "4")
    for key in found:
        assert not VALIDATOR.is_valid({name: value for name, value in found.items() if name != key}), key
    for change in (
        {"schema_version": 2},
        {"tokens": ["x"]},
        {"rounds": []},
        {"rounds": [{**found["rounds"][0], "accepted": None}]},
        {"metrics": {**found["metrics"], "acceptance_rate": 1.5}},
        {"stop_reason": None},
        {"error": "and a text"},
        {"options": {**found["options"], "tree": "bushy"}},
        {"models": {**found["models"], "target": None}},
        {"more": 1},
    ):
        assert not VALIDATOR.is_valid({**found, **change}), change
    failed = {name: found[name] for name in SCHEMA["required"]}
    assert VALIDATOR.is_valid({**failed, "error": "why"})
    assert not VALIDATOR.is_valid(failed)
