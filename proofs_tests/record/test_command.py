"""``specmath record``: a dump that ``specmath acceptance`` reads, with its provenance, whole or not there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

from proofs_tests.decode.command_harness import make_pair, one_object, write_prompts
from reference import pair
from reference.commands.shared import sources
from reference.decode import Options
from reference.models.protocol import on_host
from reference.record import Recording
from specmath.cli import main

SCHEMA = json.loads((files("specmath") / "schemas" / "record.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
PROMPTS = ("def f", {"prompt": "é", "id": "second"}, "x" * 20, {"prompt": [0, 99], "id": 4})

KILLED = """
import os, signal, sys
from reference.record import Recording
from specmath.cli import main

texts, original = 0, Recording.finish_text

def finish_text(self, told):
    global texts
    texts += 1
    if texts == 3:  # its rows are on the disk, its line is not
        for stream in self._streams.values():
            stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, told)

Recording.finish_text = finish_text
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def command(home, tmp_path):
    path = write_prompts(tmp_path / "prompts.jsonl", *PROMPTS)
    return ["record", "--pair", str(home), "--prompts", str(path), "--max-tokens", "12"]


def recorded(capsys, *arguments):
    """What ``--json`` prints."""
    assert main([*map(str, arguments), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    VALIDATOR.validate(found)
    return found


def held(out):
    """Arrays, record.json and texts.jsonl of a dump."""
    if out.is_dir():
        assert sorted(one.name for one in out.iterdir()) == ["draft.npy", "record.json", "target.npy", "texts.jsonl"]
        parts = {name: (out / name).read_bytes() for name in ("record.json", "texts.jsonl")}
        arrays = {name: np.load(out / f"{name}.npy") for name in ("target", "draft")}
    else:
        with zipfile.ZipFile(out) as archive:
            parts = {name: archive.read(name) for name in ("record.json", "texts.jsonl")}
        with np.load(out) as loaded:
            arrays = {name: loaded[name] for name in ("target", "draft")}
    texts = [json.loads(line) for line in parts["texts.jsonl"].splitlines()]
    return arrays, json.loads(parts["record.json"]), texts


@pytest.mark.parametrize(("name", "dtype"), [("laws.npz", "float64"), ("laws", "float32")])
def test_acceptance_reads_it_as_it_is(capsys, command, tmp_path, name, dtype):
    out = tmp_path / name
    told = recorded(capsys, *command, "--out", out, "--law-dtype", dtype, "--temperature", "0.8", "--per-text", "5")
    assert (told["contexts"], told["texts"], told["failed"], told["vocabulary"]) == (20, 4, 0, 256)
    assert (told["file"], told["dtype"], told["options"]["temperature"]) == (str(out), dtype, 0.8)
    assert main(["acceptance", str(out), "--n", "1", "--rules", "single", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["contexts"], found["vocabulary"], found["logits"]) == (20, 256, None)
    arrays, about, texts = held(out)
    assert {**about, "file": str(out)} == told
    assert arrays["target"].dtype == arrays["draft"].dtype == dtype
    overlap = np.minimum(arrays["target"], arrays["draft"]).sum(axis=-1, dtype=np.float64).mean()
    assert found["rows"][0]["acceptance"] == pytest.approx(overlap, abs=1e-6)
    assert 0 < overlap < 1
    assert [text["contexts"] for text in texts] == [5, 10, 15, 20]
    assert [text.get("id") for text in texts] == [None, "second", None, 4]


def test_rows_are_the_laws_of_the_decoded_text(capsys, command, home, tmp_path):
    """Against a fresh read of every prefix, and the texts against ``specmath decode``."""
    out = tmp_path / "laws.npz"
    recorded(capsys, *command, "--out", out, "--top-p", "0.9", "--rows", "3")
    arrays, _, texts = held(out)
    models, options, row = pair.load(home), Options(top_p=0.9), 0
    for text in texts:
        whole = [*text["prompt"], *text["tokens"]]
        assert text["positions"] == list(range(len(text["prompt"]), len(whole)))
        for position in text["positions"][::5]:
            for name, model in (("target", models.target), ("draft", models.draft)):
                law = options.laws(name, on_host(model.start().extend(whole[:position])))[-1]
                np.testing.assert_array_equal(arrays[name][row + position - text["positions"][0]], law)
        row += len(text["positions"])
    assert row == len(arrays["target"]) == len(arrays["draft"])
    first = one_object(capsys, *command[1:3], "--prompt", PROMPTS[0], "--max-tokens", "12", "--top-p", "0.9")
    assert texts[0]["tokens"] == first["tokens"]


def test_early_layers_as_draft(capsys, command, tmp_path):
    told = recorded(capsys, *command, "--out", tmp_path / "whole.npz", "--drafter", "early", "--early-layers", "2")
    arrays, _, _ = held(tmp_path / "whole.npz")
    np.testing.assert_array_equal(arrays["target"], arrays["draft"])  # all layers of the target
    assert told["models"]["draft"] == {**told["models"]["target"], "layers": 2}
    recorded(capsys, *command, "--out", tmp_path / "one.npz", "--drafter", "early")
    arrays, _, _ = held(tmp_path / "one.npz")
    assert not np.array_equal(arrays["target"], arrays["draft"])


@pytest.mark.parametrize("name", ["laws.npz", "laws"])
def test_the_same_bytes_whatever_the_rows(capsys, command, tmp_path, name):
    one, other = tmp_path / "one" / name, tmp_path / "other" / name
    for out, rows in ((one, "1"), (other, "4")):
        out.parent.mkdir()
        recorded(capsys, *command, "--out", out, "--rows", rows)
    for part in ("", "target.npy", "draft.npy", "record.json", "texts.jsonl") if one.is_dir() else [""]:
        if (one / part).is_file():
            assert (one / part).read_bytes() == (other / part).read_bytes()


def test_killed_and_resumed(capsys, command, tmp_path):
    """SIGKILL after the rows of the third text: no dump is there; the resumed one has the bytes of an uninterrupted
    one."""
    out, whole = tmp_path / "laws.npz", tmp_path / "whole.npz"
    child = subprocess.run(
        [sys.executable, "-c", KILLED, *command, "--out", str(out)], capture_output=True, timeout=120, check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert not out.exists()
    part = tmp_path / "laws.npz.part"
    assert (part / "texts.jsonl").read_bytes().count(b"\n") == 2
    assert main([*command, "--out", str(out)]) == 2
    assert "laws.npz.part is there already; --resume goes on with it" in capsys.readouterr().err
    assert main([*command, "--seed", "1", "--out", str(out), "--resume"]) == 2
    assert "belongs to another run: options.seed is 0 there and 1 now" in capsys.readouterr().err
    recorded(capsys, *command, "--out", out, "--resume")
    assert not part.exists()
    recorded(capsys, *command, "--out", whole)
    assert out.read_bytes() == whole.read_bytes()


def test_rows_left_behind_are_caught(capsys, command, tmp_path, monkeypatch):
    """Planted: what the interruption left of an unfinished text is not cut off."""
    from reference.record import store

    out, whole, original = tmp_path / "laws", tmp_path / "whole", Recording.finish_text

    def interrupted(self, told):
        if told["request"] == 2:
            raise KeyboardInterrupt
        original(self, told)

    monkeypatch.setattr(Recording, "finish_text", interrupted)
    assert main([*command, "--out", str(out)]) == 130
    assert "laws.part: 2 of 4 texts; --resume goes on with it" in capsys.readouterr().err
    monkeypatch.setattr(Recording, "finish_text", original)
    recorded(capsys, *command, "--out", whole)
    with monkeypatch.context() as planted:
        planted.setattr(store, "_cut", lambda stream, size: stream.seek(0, 2))
        assert main([*command, "--out", str(out), "--resume"]) == 0
    capsys.readouterr()
    assert main(["acceptance", str(out), "--n", "1", "--rules", "single"]) == 2  # shape and size disagree
    assert "the file holds" in capsys.readouterr().err


def test_a_finished_dump_is_left_alone(capsys, command, tmp_path, monkeypatch):
    out = tmp_path / "laws.npz"
    told = recorded(capsys, *command, "--out", out)
    before = out.read_bytes()
    monkeypatch.setattr(Recording, "add", None)
    assert recorded(capsys, *command, "--out", out, "--resume") == told
    assert main([*command, "--out", str(out)]) == 2
    assert main([*command, "--temperature", "0.5", "--out", str(out), "--resume"]) == 2
    assert "options.temperature is 1.0 there and 0.5 now" in capsys.readouterr().err
    assert out.read_bytes() == before
    out.write_bytes(b"a text")
    assert main([*command, "--out", str(out), "--resume"]) == 2
    assert "is there already and no recording" in capsys.readouterr().err


def fail_the_second(monkeypatch):
    laws = Options.laws

    def failing(self, name, logits, **more):
        if self.request == 1:
            raise ValueError(f"{name}: logits: a row holds NaN")
        return laws(self, name, logits, **more)

    monkeypatch.setattr(Options, "laws", failing)


def test_a_failed_text_is_left_out(capsys, command, tmp_path, monkeypatch):
    fail_the_second(monkeypatch)
    out = tmp_path / "laws"
    assert main([*command, "--out", str(out), "--json"]) == 1
    shown, err = capsys.readouterr()
    told = json.loads(shown)
    VALIDATOR.validate(told)
    assert (told["texts"], told["failed"], told["contexts"]) == (3, 1, 36)
    assert err.count("\n") == 1
    assert "logits: a row holds NaN" in err
    assert "line 2: " in err
    _, _, texts = held(out)
    assert ["error" in text for text in texts] == [False, True, False, False]
    assert [text["contexts"] for text in texts] == [12, 12, 24, 36]


@pytest.mark.parametrize("interrupted", [2, 3])
def test_a_failed_text_is_remembered_by_a_resumed_recording(capsys, command, tmp_path, monkeypatch, interrupted):
    """Interrupted after it: the dump, what is told of it and the exit code are those of an uninterrupted run."""
    fail_the_second(monkeypatch)
    out, whole, original = tmp_path / "laws", tmp_path / "whole", Recording.finish_text

    def interrupt(self, told):
        if told["request"] == interrupted:
            raise KeyboardInterrupt
        original(self, told)

    with monkeypatch.context() as stopped:
        stopped.setattr(Recording, "finish_text", interrupt)
        assert main([*command, "--out", str(out)]) == 130
    for place in (out, whole):
        assert main([*command, "--out", str(place), "--resume"]) == 1
    capsys.readouterr()
    (arrays, about, texts), (others, expected, all_texts) = held(out), held(whole)
    assert (about["texts"], about["failed"], about["contexts"]) == (3, 1, 36)
    assert (about, texts) == (expected, all_texts)
    for name, rows in arrays.items():
        np.testing.assert_array_equal(rows, others[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--out is missing; allowed are a file NAME.npz, or a folder"),
        (["--out", "laws.npy"], "--out: suffix '.npy'; allowed are .npz, and none for a folder"),
        (["--out", "/nowhere/at/all.npz"], "--out: there is no folder /nowhere/at"),
        (["--out", "/tmp"], "--out: /tmp is there already"),
        (["--out", "laws.npz", "--per-text", "0"], "--per-text is 0; allowed are whole numbers >= 1"),
        (["--out", "laws.npz", "--rows", "0"], "--rows is 0; allowed"),
        (["--out", "laws.npz", "--law-dtype", "float16"], "--law-dtype is 'float16'; allowed are float64, float32"),
        (["--out", "laws.npz", "--drafter", "lookup"], "--drafter is 'lookup'; allowed are model, early"),
        (["--out", "laws.npz", "--rule", "block"], "unrecognized arguments: --rule block"),
        (["--out", "laws.npz", "--temperature", "-1"], "temperature is -1.0; allowed"),
        (["--out", "laws.npz", "--arithmetic", "fast"], "--arithmetic is 'fast'; allowed are"),
    ],
)
def test_wrong_calls(capsys, command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setattr(sources, "load", None)
    monkeypatch.chdir(tmp_path)
    assert main([*command, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_a_foreign_folder_is_not_touched(capsys, command, tmp_path):
    part = tmp_path / "laws.part"
    part.mkdir()
    (part / "thesis.txt").write_text("mine")
    assert main([*command, "--out", str(tmp_path / "laws"), "--resume"]) == 2
    assert "holds files but no run.json" in capsys.readouterr().err
    assert [one.name for one in part.iterdir()] == ["thesis.txt"]


def test_damaged_recordings_are_refused(capsys, command, tmp_path, monkeypatch):
    out, part, original = tmp_path / "laws", tmp_path / "laws.part", Recording.finish
    monkeypatch.setattr(Recording, "finish", lambda self, out, about: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main([*command, "--out", str(out)]) == 130
    monkeypatch.setattr(Recording, "finish", original)
    capsys.readouterr()
    kept = {one.name: one.read_bytes() for one in part.iterdir()}
    for name, content, message in (
        ("texts.jsonl", b"{}\n", "texts.jsonl line 1: damaged"),
        ("target.npy", kept["target.npy"][:5000], "target.npy: damaged: it has 5000 bytes"),
        ("draft.npy", kept["draft.npy"][:-1], f"draft.npy: damaged: it has {len(kept['draft.npy']) - 1} bytes"),
        ("run.json", b"{", "run.json: damaged"),
    ):
        (part / name).write_bytes(content)
        assert main([*command, "--out", str(out), "--resume"]) == 2
        assert message in capsys.readouterr().err
        for name, content in kept.items():
            (part / name).write_bytes(content)
    recorded(capsys, *command, "--out", out, "--resume")


def test_the_schema_rejects_wrong_output(capsys, command, tmp_path):
    found = recorded(capsys, *command, "--out", tmp_path / "laws.npz")
    for key in SCHEMA["required"]:
        assert not VALIDATOR.is_valid({name: value for name, value in found.items() if name != key})
    for change in ({"contexts": 0}, {"dtype": "float16"}, {"more": 1}, {"models": {"target": None}}):
        assert not VALIDATOR.is_valid({**found, **change})
