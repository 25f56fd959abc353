"""What ``specmath decode`` shows: colours on a terminal and only there, whole characters, texts in order."""

from __future__ import annotations

import io
import os
import pty
import sys
import threading
from dataclasses import replace

import pytest

from proofs_tests.decode.command_harness import make_pair, objects, one_object
from reference import pair
from reference.commands.shared.terminal import Shower
from reference.commands.shared.words import Words
from reference.decode import Round
from reference.models.folder import load_tokenizer
from specmath.cli import main

GREEN, PLAIN = "\033[32m", "\033[39m"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(autouse=True)
def _shipped(home, monkeypatch):
    monkeypatch.setattr(pair, "HOME", home)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def on_a_terminal(monkeypatch, arguments):
    """What a pseudo-terminal shows when it is the command's standard output."""
    controller, terminal = pty.openpty()
    shown = []

    def read():
        try:
            while piece := os.read(controller, 4096):
                shown.append(piece)
        except OSError:  # how Linux says that the other side was closed
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with open(terminal, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        assert main(["decode", *arguments]) == 0
    reader.join(timeout=60)
    assert not reader.is_alive()
    os.close(controller)
    return b"".join(shown).decode().replace("\r\n", "\n")


def pictured(text):
    """Control characters as a terminal may see them."""
    return "".join(
        chr(0x2400 + ord(char))
        if ord(char) < 32 and char not in "\n\t"
        else "\u2421"
        if char == "\x7f"
        else "\ufffd"
        if "\x80" <= char <= "\x9f"
        else char
        for char in text
    )


def expected(rounds):
    """The coloured text, from the rounds of the JSON: each character has the colour of the token that completes it."""
    marks = [place < one["accepted"] for one in rounds for place in range(len(one["emitted"]))]
    tokens = [token for one in rounds for token in one["emitted"]]
    if rounds[-1]["stop_reason"] == "stop":
        tokens.pop()
    shown, text = "", ""
    for count in range(1, len(tokens) + 1):
        whole = bytes(tokens[:count]).decode(errors="replace")
        if whole.endswith("\ufffd") and count < len(tokens):
            continue
        piece = pictured(whole[len(text) :])
        text = whole
        shown += f"{GREEN}{piece}{PLAIN}" if marks[count - 1] and piece else piece
    return shown


def plain(shown):
    return shown.replace(GREEN, "").replace(PLAIN, "")


def joined(shown):
    """Neighbours of one colour count as one."""
    return shown.replace(PLAIN + GREEN, "")


ASCII = ["--prompt", "x", "--max-tokens", "40", "--seed", "4", "--temperature", "0.7"]


@pytest.mark.parametrize("decoder", ["chain", "tree", "batched"])
def test_accepted_tokens_are_green(capsys, monkeypatch, decoder):
    arguments = [*ASCII, "--decoder", decoder]
    found = one_object(capsys, *arguments)
    assert 0 < found["metrics"]["accepted_tokens"] < 39
    shown = on_a_terminal(monkeypatch, arguments)
    assert joined(shown) == joined(expected(found["rounds"])) + "\n"
    assert GREEN in shown
    err = capsys.readouterr().err
    assert "green: drafted tokens that were kept" in err
    assert "\033" not in err


def test_a_green_correction_is_caught(capsys, monkeypatch):
    """Planted: the token behind the accepted ones is painted too."""
    show = Shower.show
    found = one_object(capsys, *ASCII)
    monkeypatch.setattr(Shower, "show", lambda self, one: show(self, replace(one, accepted=one.accepted + 1)))
    assert joined(on_a_terminal(monkeypatch, ASCII)) != joined(expected(found["rounds"])) + "\n"


@pytest.mark.parametrize(
    ("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", None)], ids=["NO_COLOR", "dumb", "no TERM"]
)
def test_no_colour_where_none_is_wanted(capsys, monkeypatch, name, value):
    found = one_object(capsys, *ASCII)
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    assert on_a_terminal(monkeypatch, ASCII) == plain(expected(found["rounds"])) + "\n"
    assert "green" not in capsys.readouterr().err


def test_no_colour_without_drafts(capsys, monkeypatch):
    assert "\033" not in on_a_terminal(monkeypatch, [*ASCII, "--decoder", "autoregressive"])
    assert "green" not in capsys.readouterr().err


def test_a_pipe_gets_the_text_and_nothing_else(capsys):
    found = one_object(capsys, *ASCII)
    assert main(["decode", *ASCII]) == 0
    out, err = capsys.readouterr()
    assert out == found["text"] + "\n"
    assert err.count("\n") == 1
    assert f"{len(found['tokens'])} tokens in {len(found['rounds'])} target calls" in err


def test_several_texts_have_headings_and_stand_in_order(capsys):
    arguments = ["--prompt", "a", "--prompt-tokens", "0,98", "--prompt", "c" * 80, "--max-tokens", "9"]
    found = objects(capsys, *arguments)
    shortened = '"' + "c" * 56 + "..."
    wanted = "".join(
        f"==> {name} <==\n{one['text']}\n" for name, one in zip(['"a"', "[0, 98]", shortened], found, strict=True)
    )
    for decoder in ("chain", "batched"):
        assert main(["decode", *arguments, "--decoder", decoder]) == 0
        out, err = capsys.readouterr()
        assert out == wanted
        assert err.count(" target calls: ") == 3


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def one_round(emitted, accepted, stop_reason=None):
    return Round(
        request=0,
        round=0,
        position=1,
        drafted=(),
        parents=(),
        draft_logprobs=(),
        target_logprobs=(),
        accepted=accepted,
        emitted=tuple(emitted),
        logprobs=(),
        stop_reason=stop_reason,
        target_calls=1,
        draft_calls=0,
        seconds=0.0,
    )


def test_characters_cut_by_tokens_and_rounds_stay_whole(home):
    """é, a smiley over two rounds, a byte that is no character, an escape sequence, a stop token."""
    out = Terminal()
    shower = Shower(Words(load_tokenizer(home / "target"), "", None), colour=True, stream=out)
    smiley = list("😀".encode())
    shower.show(one_round([97, 195, 169], accepted=2))
    shower.show(one_round([98, *smiley[:3]], accepted=3))
    shower.show(one_round([smiley[3], 255, 27, 91], accepted=1))
    shower.show(one_round([99, 0], accepted=2, stop_reason="stop"))
    shower.end()
    assert out.getvalue() == f"{GREEN}a{PLAIN}é{GREEN}b{PLAIN}{GREEN}😀{PLAIN}\ufffd\u241b[{GREEN}c{PLAIN}\n"
