"""The frame around every command: finding it, failures as one line, exit codes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

import specmath
from specmath.cli import discovery, entry
from specmath.cli.command import Command

# Unbuffered output would hide that something is left to flush at exit.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("SPECMATH_DEBUG", "PYTHONUNBUFFERED")}


@pytest.fixture
def planted(monkeypatch):
    """Put a command of our own making in the place of `acceptance`."""
    monkeypatch.delenv("SPECMATH_DEBUG", raising=False)

    def plant(run):
        command = Command("acceptance", "planted", lambda parser: None, run)
        monkeypatch.setattr(entry, "load", lambda found: command)

    return plant


def raising(error):
    def run(arguments: argparse.Namespace) -> int:
        raise error

    return run


def test_version_and_help(specmath_main):
    assert specmath_main("--version").out == f"specmath {specmath.__version__}\n"
    shown = specmath_main("--help")
    assert shown.code == 0
    for name, (_, purpose) in discovery.OWN.items():
        assert f"{name}  " in shown.out
        assert purpose in shown.out


def test_help_of_a_command(specmath_main):
    shown = specmath_main("acceptance", "--help")
    assert shown.code == 0
    for option in ("--n", "--drafts", "--rules", "--logits", "--top-p", "--json", "--seed", "--debug"):
        assert option in shown.out


def test_own_commands_are_registered():
    """The table that serves the help and the installed entry points say the same."""
    from importlib.metadata import entry_points

    registered = {point.name: point.value for point in entry_points(group=discovery.GROUP)}
    assert {name: value for name, (value, _) in discovery.OWN.items()}.items() <= registered.items()


@pytest.mark.parametrize("arguments", [[], ["accept"], ["--bogus"], ["acceptance", "x.npz", "--bogus"]])
def test_wrong_words(specmath_main, arguments):
    outcome = specmath_main(*arguments)
    outcome.refused(*arguments[-1:])
    if arguments in ([], ["accept"]):
        outcome.refused("acceptance, audit, check-log, decode, demo, plan, record")


def test_help_imports_no_command():
    program = (
        "import sys; from specmath.cli import main; main(['--help']); "
        "sys.exit(any(m in sys.modules for m in ('specmath.cli.acceptance', 'reference', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("n is 0;\n  allowed are more"), ["n is 0; allowed are more"]),
        (FileNotFoundError(2, "No such file or directory", "laws.npz"), ["laws.npz: No such file or directory"]),
        (OSError("disk on fire"), ["disk on fire"]),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), ["torch", 'pip install "specmath[torch]"']),
        (ModuleNotFoundError("x", name="safetensors.torch"), ["'safetensors'", 'pip install "specmath[torch]"']),
        (ModuleNotFoundError("x", name="matplotlib.pyplot"), ['pip install "specmath[plot]"']),
        (ModuleNotFoundError("x", name="pandas"), ["pip install pandas"]),
    ],
)
def test_errors_become_one_line(specmath_main, planted, error, words):
    planted(raising(error))
    outcome = specmath_main("acceptance")
    outcome.refused("specmath acceptance: error: ", *words)


def test_debug_shows_the_traceback(specmath_main, planted, monkeypatch):
    planted(raising(ValueError("wrong")))
    assert "Traceback" in specmath_main("acceptance", "--debug").err
    assert "Traceback" not in specmath_main("acceptance").err
    monkeypatch.setenv("SPECMATH_DEBUG", "1")
    assert "Traceback" in specmath_main("acceptance").err


def test_defects_are_not_dressed_up(specmath_main, planted):
    """An error that is ours and not the user's keeps its traceback."""
    planted(raising(AssertionError("a defect")))
    with pytest.raises(AssertionError, match="a defect"):
        specmath_main("acceptance")


def test_interrupt(specmath_main, planted):
    planted(raising(KeyboardInterrupt()))
    outcome = specmath_main("acceptance")
    assert outcome.code == 130
    assert outcome.err == "specmath acceptance: interrupted\n"


def test_command_of_another_distribution(specmath_main, monkeypatch, tmp_path):
    """Its name is shown, it runs, and it cannot take the place of one of ours."""
    info = tmp_path / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[specmath.commands]\nhello = guest_commands:COMMAND\nacceptance = guest_commands:COMMAND\nodd = os:sep\n"
        "gone = guest_gone:COMMAND\n"
    )
    (tmp_path / "guest_commands.py").write_text(
        "from specmath.cli.command import Command\n"
        "def run(arguments):\n    print('hello')\n    return 0\n"
        "COMMAND = Command('hello', 'greet', lambda parser: None, run)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "hello       from guest" in specmath_main("--help").out
    assert specmath_main("hello").out == "hello\n"
    assert "the dump" not in specmath_main("acceptance").out
    specmath_main("acceptance").refused("FILE is missing")
    specmath_main("odd").refused("os:sep")
    specmath_main("gone").refused("guest_gone", "not installed")


@pytest.mark.parametrize("option", ["--json", "--debug"])
def test_reader_goes_away(dump: Path, option: str):
    """`specmath acceptance ... | head -0`: no traceback and no complaint at exit.

    The long output meets the closed pipe while it is printed, the short one only when it is flushed, and what was not
    flushed would be tried once more when Python ends.
    """
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "specmath",
                "acceptance",
                str(dump),
                "--n",
                *(["1"] if option == "--debug" else "1248"),
                option,
            ],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 141
