"""A file of JSON lines that grows by a line as each text ends, and can be gone on with after an interruption."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from reference.lines import as_line, differs, hold
from specmath.cli.command import UsageError


@dataclass(frozen=True)
class Lines:
    """The file, open at its end. ``done`` texts are in it already, ``failed`` of them with an error."""

    done: int
    failed: int
    stream: IO[bytes]

    def write(self, result: Mapping[str, Any]) -> None:
        """One line, on the disk when this returns."""
        self.stream.write(as_line(result).encode())
        self.stream.flush()
        os.fsync(self.stream.fileno())


def check(path: Path | None, resume: bool) -> None:
    """UsageError for a file that holds something and is not to be resumed, before any work; nothing is written."""
    if path is None:
        if resume:
            raise UsageError("--resume is allowed with --out only: it goes on with a file that was begun")
        return
    if path.is_dir():
        raise UsageError(f"--out: {path} is a folder; allowed is a file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--out: there is no folder {path.parent}")
    if not resume and path.exists() and path.stat().st_size:
        raise UsageError(f"--out: {path} is there already; --resume goes on with it, or name another file")


@contextmanager
def open_lines(path: Path, told: Sequence[Mapping[str, Any]]) -> Iterator[Lines]:
    """The file, held against other processes meanwhile. ``told`` is what the line of each text must say.

    A last line that was cut off is dropped. Raises ValueError, naming the line, for one that is no JSON or says
    something else; OSError when the file cannot be written.
    """
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as stream:
        hold(path, stream)
        done = failed = end = 0
        for line in stream:
            if not line.endswith(b"\n"):
                break
            failed += _same(f"{path} line {done + 1}", line, told[done] if done < len(told) else None)
            done, end = done + 1, end + len(line)
        stream.truncate(end)
        stream.seek(end)
        yield Lines(done, failed, stream)


def _same(where: str, line: bytes, told: Mapping[str, Any] | None) -> bool:
    """Whether the text of a line failed; ValueError unless the line is what this run would have written."""
    try:
        there = json.loads(line)
        if not isinstance(there, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise ValueError(f"{where}: damaged ({error}); delete it and all lines below, or name another one") from None
    if told is None:
        raise ValueError(f"{where}: there are fewer prompts than lines; name another file, or delete this one")
    differs(where, there, told)
    return "error" in there
