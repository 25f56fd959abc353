"""What files of JSON lines share: a result as a line, what a resumed run must find there, and the lock on the file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

FREE = ("options.rows", "models.target.folder", "models.draft.folder")
"""What may differ when a file is resumed: the text does not depend on it, and models are known by their digests."""


def as_line(result: Mapping[str, Any]) -> str:
    """A result as one line of JSON."""
    return json.dumps(result, allow_nan=False) + "\n"


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
