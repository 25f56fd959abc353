"""A file of JSON lines that grows by a line as each text ends, and can be gone on with after an interruption."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from specmath.cli.command import UsageError

FREE = ("options.rows", "models.target.folder", "models.draft.folder")
"""What may differ when a file is resumed: the text does not depend on it, and models are known by their digests."""


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


def as_line(result: Mapping[str, Any]) -> str:
    """A result as one line of JSON."""
    return json.dumps(result, allow_nan=False) + "\n"


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


def differs(where: str, there: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """ValueError naming the first entry of ``told`` that is another one there, unless it may be (`FREE`)."""
    now, then = dict(_flat(json.loads(json.dumps(told)))), dict(_flat(there))
    for name in now:
        if name not in FREE and (name not in then or now[name] != then[name]):
            other = "missing" if name not in then else _short(then[name])
            raise ValueError(
                f"{where}: belongs to another run: {name} is {other} there and {_short(now[name])} now; name another "
                "one, or delete this one"
            )


def _flat(values: Mapping[str, Any], front: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{front}{name}.")
        else:
            yield front + name, value


def _short(value: Any) -> str:
    told = json.dumps(value)
    return told if len(told) <= 60 else f"{told[:57]}..."


def hold(path: Path, stream: IO[bytes]) -> None:
    """Lock what is open under this path; the system takes the lock back when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"{path}: is in use by another process; let it end, or name another one") from None
