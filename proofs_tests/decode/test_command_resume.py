"""``specmath decode --out FILE --resume``: a killed run goes on where it was; files of another run are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from proofs_tests.decode.command_harness import VALIDATOR, make_pair, timeless, write_prompts
from reference.commands import decode
from reference.commands.shared import lines
from reference.commands.shared.texts import rounds
from specmath.cli import main

KILLED = """
import os, signal, sys
from reference.commands.shared import lines
from reference.lines import as_line
from specmath.cli import main

written, cut, original = 0, int(sys.argv[1]), lines.Lines.write

def write(self, result):
    global written
    written += 1
    if written == 3:
        self.stream.write(as_line(result).encode()[:cut])
        self.stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    original(self, result)

lines.Lines.write = write
main(sys.argv[2:])
"""

PROMPTS = ("def f", {"prompt": "é", "id": "second"}, "x" * 20, {"prompt": [0, 99], "id": 4}, "class")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def command(home, tmp_path):
    path = write_prompts(tmp_path / "prompts.jsonl", *PROMPTS)
    return ["decode", "--pair", str(home), "--prompts", str(path), "--max-tokens", "12"]


def read(path):
    content = path.read_bytes()
    assert content.endswith(b"\n")
    found = [json.loads(line) for line in content.splitlines()]
    for one in found:
        VALIDATOR.validate(one)
    return found


@pytest.mark.parametrize(("way", "cut"), [("batched", 700)])
def test_killed_and_resumed(capsys, command, tmp_path, way, cut):
    """SIGKILL in the middle of the third line: two texts are kept, three decoded, and the file is that of a run without
    interruption, but for the times."""
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    arguments = [*command, "--decoder", way]
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(cut), *arguments, "--out", str(out)],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    before = out.read_bytes()
    assert before.count(b"\n") == 2
    assert not before.endswith(b"\n")
    assert main([*arguments, "--out", str(out), "--resume"]) == 0
    out_text, err = capsys.readouterr()
    assert out_text == ""
    assert err.startswith(f"{out}: 5 texts (2 were there); ")
    assert main([*arguments, "--out", str(whole)]) == 0
    assert timeless(read(out)) == timeless(read(whole))
    assert out.read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    assert [one["options"]["request"] for one in read(out)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("left", [0, 1, 4, 5])
def test_every_number_of_finished_texts(capsys, command, tmp_path, left):
    out = tmp_path / "out.jsonl"
    assert main([*command, "--out", str(out)]) == 0
    whole = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(whole[:left]) + (whole[left][:-1] if left < 5 else b""))  # all of a line but its end
    capsys.readouterr()
    assert main([*command, "--out", str(out), "--resume"]) == 0
    assert [timeless(json.loads(line)) for line in whole] == timeless(read(out))
    assert capsys.readouterr().err.startswith(f"{out}: 5 texts" + (f" ({left} were there)" if left else "; "))


def test_texts_numbered_anew_are_caught(command, tmp_path, monkeypatch):
    """Planted: what is decoded after an interruption counts from 0 again."""
    out = tmp_path / "out.jsonl"
    assert main([*command, "--out", str(out)]) == 0
    whole = read(out)
    out.write_bytes(b"".join(out.read_bytes().splitlines(keepends=True)[:2]))

    def anew(job, first=0):
        left = [
            replace(request, options=replace(request.options, request=number))
            for number, request in enumerate(job.requests[first:])
        ]
        return rounds(job.models.target, left, job.plan.rows)

    monkeypatch.setattr(decode.Job, "events", anew)
    assert main([*command, "--out", str(out), "--resume"]) == 0
    assert timeless(read(out))[:2] == timeless(whole)[:2]
    assert timeless(read(out)) != timeless(whole)


def test_an_interrupt_says_how_to_go_on(capsys, command, tmp_path, monkeypatch):
    out, original = tmp_path / "out.jsonl", lines.Lines.write

    def write(self, result):
        if result.get("id") == "second":
            raise KeyboardInterrupt
        original(self, result)

    monkeypatch.setattr(lines.Lines, "write", write)
    assert main([*command, "--out", str(out)]) == 130
    err = capsys.readouterr().err
    assert f"{out}: 1 of 5 texts; --resume goes on with it\n" in err
    assert err.endswith("specmath decode: interrupted\n")
    assert len(read(out)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--seed", "1"], "line 1: belongs to another run: options.seed is 0 there and 1 now"),
        (["--max-tokens", "13"], "options.max_tokens is 12 there and 13 now"),
        (["--decoder", "tree"], 'options.decoder is "chain" there and "tree" now'),
        (["--arithmetic", "int8"], 'options.arithmetic is "exact64" there and "int8" now'),
        (["--prompts", "other"], 'line 2: belongs to another run: prompt is "\\u00e9" there and "e" now'),
        (["--prompts", "fewer"], "line 3: there are fewer prompts than lines"),
    ],
)
def test_another_run_is_refused(capsys, command, tmp_path, change, message):
    out = tmp_path / "out.jsonl"
    assert main([*command, "--out", str(out)]) == 0
    before = out.read_bytes()
    write_prompts(tmp_path / "other", PROMPTS[0], {"prompt": "e", "id": "second"}, *PROMPTS[2:])
    write_prompts(tmp_path / "fewer", *PROMPTS[:2])
    change = [str(tmp_path / word) if word in ("other", "fewer") else word for word in change]
    capsys.readouterr()
    assert main([*command, *change, "--out", str(out), "--resume"]) == 2
    assert message in capsys.readouterr().err
    assert out.read_bytes() == before


def test_other_weights_are_refused_and_other_places_are_not(capsys, command, tmp_path):
    out, moved = tmp_path / "out.jsonl", make_pair(tmp_path / "moved")
    assert main([*command, "--out", str(out)]) == 0
    assert main([*command, "--pair", str(moved), "--out", str(out), "--resume"]) == 0
    weights = bytearray((moved / "target" / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (moved / "target" / "model.safetensors").write_bytes(weights)
    capsys.readouterr()
    assert main([*command, "--pair", str(moved), "--out", str(out), "--resume"]) == 2
    assert "models.target.digest is" in capsys.readouterr().err


def test_rows_may_change(command, tmp_path):
    out = tmp_path / "out.jsonl"
    arguments = [*command, "--decoder", "batched", "--out", str(out)]
    assert main([*arguments, "--rows", "2"]) == 0
    whole = read(out)
    out.write_bytes(b"".join(out.read_bytes().splitlines(keepends=True)[:2]))
    assert main([*arguments, "--rows", "5", "--resume"]) == 0
    assert [one["tokens"] for one in read(out)] == [one["tokens"] for one in whole]


def test_damaged_and_foreign_files_are_refused(capsys, command, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("something else")
    assert main([*command, "--out", str(out)]) == 2
    assert "is there already; --resume goes on with it" in capsys.readouterr().err
    for content, message in (("something else\n", "line 1: damaged"), ("[1]\n", "no JSON object"), ("{}\n", "missing")):
        out.write_text(content)
        assert main([*command, "--out", str(out), "--resume"]) == 2
        assert message in capsys.readouterr().err
        assert out.read_text() == content
    out.write_text("half a line")  # of an interrupted run, as far as can be told
    assert main([*command, "--out", str(out), "--resume"]) == 0
    assert len(read(out)) == 5


def test_two_runs_do_not_share_a_file(capsys, command, tmp_path):
    fcntl = pytest.importorskip("fcntl", reason="locks are those of Unix")
    out = tmp_path / "out.jsonl"
    with os.fdopen(os.open(out, os.O_RDWR | os.O_CREAT), "r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert main([*command, "--out", str(out)]) == 2
    assert "is in use by another process" in capsys.readouterr().err
