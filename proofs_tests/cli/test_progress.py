"""The progress bar: late, on terminals only, and gone in the end."""

from __future__ import annotations

import io
import threading

import pytest

from specmath.cli import progress as module
from specmath.cli.progress import progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal and tells when something was drawn."""

    def __init__(self, terminal: bool = True) -> None:
        super().__init__()
        self.terminal = terminal
        self.drawn = threading.Event()

    def isatty(self) -> bool:
        return self.terminal

    def flush(self) -> None:
        self.drawn.set()


def shown(stream: Terminal) -> str:
    """What a terminal shows in the end: every carriage return starts the line anew."""
    line: list[str] = []
    for piece in stream.getvalue().split("\r"):
        line[: len(piece)] = piece
    return "".join(line).rstrip()


def test_appears_during_one_long_item_and_is_wiped(monkeypatch):
    monkeypatch.setattr(module, "DELAY", 0.0)
    stream = Terminal()
    items = []
    for item in progress(iter([1, 2]), total=2, label="steps", stream=stream):
        stream.drawn.wait(timeout=30)  # the painter's first drawing, however slow the machine is
        items.append(item)
    assert items == [1, 2]
    assert "steps [" in stream.getvalue()
    assert "0/2" in stream.getvalue()
    assert shown(stream) == ""


def test_short_work_shows_nothing(monkeypatch):
    monkeypatch.setattr(module, "DELAY", 1e6)
    stream = Terminal()
    assert list(progress([1, 2, 3], stream=stream)) == [1, 2, 3]
    assert stream.getvalue() == ""


def test_no_terminal_no_bar(monkeypatch):
    monkeypatch.setattr(module, "DELAY", 0.0)
    before = threading.active_count()
    stream = Terminal(terminal=False)
    for _ in progress([1], stream=stream):
        assert threading.active_count() == before  # nobody is there to paint
    assert stream.getvalue() == ""


def test_plain_lines_in_a_log(monkeypatch):
    """Without a terminal a line follows a step when enough time has passed since the last one."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    stream = Terminal(terminal=False)
    with module.Bar(total=4, label="steps", stream=stream) as bar:
        for seconds in (59, 61, 100, 121):
            now[0] = seconds
            bar.advance()
    lines = stream.getvalue().splitlines()
    assert [line.split("] ")[1] for line in lines] == ["2/4  61 s, about 61 s left", "4/4  121 s, about 0 s left"]


def test_wiped_after_an_error(monkeypatch):
    monkeypatch.setattr(module, "DELAY", 0.0)
    stream = Terminal()
    before = threading.active_count()

    def work():
        yield 1
        stream.drawn.wait(timeout=30)
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        list(progress(work(), label="steps", stream=stream))
    assert "steps 1" in stream.getvalue() or "steps 0" in stream.getvalue()
    assert shown(stream) == ""
    assert threading.active_count() == before


def test_line():
    assert module.line(0, 4, "", 3.0) == "[" + "-" * 30 + "] 0/4  3 s"
    assert module.line(7, None, "rounds", 3.0) == "rounds 7  3 s"
    assert module.line(4, 4, "", 3.0).startswith("[" + "#" * 30 + "]")
