"""The README is true: its shell sessions print what it shows, its commands parse, its targets exist.

Its Python examples run as doctests of README.md itself.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from proofs_tests.packaging.sources import ROOT
from specmath.cli.command import UsageError
from specmath.cli.discovery import OWN
from specmath.cli.entry import parser_for

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def sessions() -> list[tuple[str, str]]:
    """Each command of the console blocks with the output shown below it."""
    found = []
    for block in blocks("console"):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = entry.partition("\n")
            found.append((command, output))
    return found


def replay(folder: Path, session: list[tuple[str, str]]) -> list[str]:
    """Run the commands in ``folder`` and return those whose output is not the one shown."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    wrong = []
    for command, shown in session:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode or [line.rstrip() for line in done.stdout.splitlines()] != shown.rstrip("\n").splitlines():
            wrong.append(f"{command}\n{done.stdout}{done.stderr}")
    return wrong


def test_shell_sessions(tmp_path: Path) -> None:
    assert any(output for _, output in sessions())
    assert not replay(tmp_path, sessions())


def test_a_wrong_number_is_seen(tmp_path: Path) -> None:
    changed = [(command, output.replace("0.3720", "0.3721")) for command, output in sessions()]
    assert changed != sessions()
    assert len(replay(tmp_path, changed)) == 1


def commands() -> list[str]:
    """Every ``specmath ...`` line of the README's shell blocks."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("specmath ")]


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line: str) -> None:
    _, name, *rest = shlex.split(line)
    module, _, attribute = OWN[name][0].partition(":")
    parser = parser_for(getattr(importlib.import_module(module), attribute))
    parser.parse_args(rest)
    with pytest.raises(UsageError):
        parser.parse_args([*rest, "--no-such-option"])


def test_commands_are_found() -> None:
    assert len(commands()) >= 3


def targets(makefile: str) -> set[str]:
    """The targets that ``make help`` lists."""
    return set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(document: str) -> None:
    named = set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)(?=[`\s])", _commands_of((ROOT / document).read_text())))
    assert named
    assert named <= targets((ROOT / "Makefile").read_text())


def _commands_of(text: str) -> str:
    """Code spans and indented lines: prose such as 'make it so' is no command."""
    lines = re.findall(r"^    make .*$", text, flags=re.MULTILINE)
    return " \n".join([*re.findall(r"`[^`\n]+`", text), *lines]) + " "


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_and_paths_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    paths = re.findall(r"`((?:specmath|reference|proofs_tests)/[\w./-]+)`", text)
    assert links
    assert paths
    assert not [place for place in [*links, *paths] if not (ROOT / place).exists()]
