"""What a sweep has finished, on disk: one small file a chunk, each written at once or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from specmath.comparison import Part

FORMAT = 1
RUN, LOCK = "run.json", "lock"
_ARRAYS = ("values", "estimated", "errors")


@dataclass(frozen=True)
class Checkpoint:
    """A folder that holds the finished chunks of one run.

    ``run`` describes the run: everything that its numbers depend on. ``key`` is its digest, which every file carries.
    """

    folder: Path
    run: Mapping[str, Any]
    key: str

    def write(self, part: Part) -> None:
        """Keep a finished part. After a crash at any moment the file is there as a whole, or not there."""
        content = io.BytesIO()
        told = {name: getattr(part, name) for name in _ARRAYS}
        told |= {"correction": np.float64(part.correction), "key": self.key, "digest": _digest(self.key, part)}
        np.savez(content, allow_pickle=False, **told)
        _replace(self.folder / f"contexts-{part.first:012d}-{part.stop:012d}.npz", content.getvalue())

    def parts(self) -> list[Part]:
        """The finished parts, by context. ValueError, naming the file, for one that is damaged or of another run."""
        found: list[Part] = []
        for path in sorted(self.folder.glob("contexts-*.npz")):
            part = self._read(path)
            if found and part.first < found[-1].stop:
                raise ValueError(f"{path}: overlaps the file before it; delete one of them, it is computed again")
            found.append(part)
        return found

    def _read(self, path: Path) -> Part:
        remedy = "delete it, it is computed again"
        try:
            first, stop = map(int, path.stem.split("-")[1:])
            with np.load(path, allow_pickle=False) as held:
                key, digest = str(held["key"]), str(held["digest"])
                part = Part(first, *(held[name] for name in _ARRAYS), correction=float(held["correction"]))
            whole = digest == _digest(key, part) and part.stop == stop
        except PermissionError:
            raise
        except Exception as error:  # a damaged archive makes zipfile and numpy fail in many ways
            raise ValueError(f"{path}: damaged ({error}); {remedy}") from None
        if not whole:
            raise ValueError(f"{path}: damaged (its digest differs); {remedy}")
        if key != self.key:
            raise ValueError(f"{path}: belongs to another run than {RUN} beside it; {remedy}")
        return part


@contextmanager
def open_checkpoint(folder: Path, run: Mapping[str, Any]) -> Iterator[Checkpoint]:
    """The checkpoint in ``folder``, which is made if need be, and held against other processes meanwhile.

    ``run`` holds everything the numbers depend on, as JSON can hold it. Raises ValueError when the folder belongs to
    another run (saying what differs), holds anything else, is damaged, or is in use; OSError when it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; --resume takes a folder, which is made if need be")
    run = json.loads(json.dumps({"format": FORMAT, **run}))
    about = folder / RUN
    if folder.is_dir() and not about.exists() and any(one.name != LOCK for one in _settled(folder)):
        raise ValueError(f"{folder}: holds files but no {RUN}: it is no checkpoint; name an empty or a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder):
        if about.exists():
            _same(about, run)
        else:
            _replace(about, json.dumps(run, indent=2).encode())
        yield Checkpoint(folder, run, hashlib.blake2b(_canonical(run), digest_size=16).hexdigest())


def _same(about: Path, run: Mapping[str, Any]) -> None:
    """ValueError unless the file describes this run."""
    try:
        there = json.loads(about.read_text(encoding="utf-8"))
        if not isinstance(there, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise ValueError(f"{about}: damaged ({error}); delete the folder, or name another one") from None
    for name in {**run, **there}:
        here, other = (json.dumps(one.get(name, "missing")) for one in (run, there))
        if here != other:
            raise ValueError(
                f"{about.parent}: is the checkpoint of another run: {name} is {_short(other)} there and {_short(here)} "
                "now; name another folder, or delete this one"
            )


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _canonical(run: Mapping[str, Any]) -> bytes:
    return json.dumps(run, sort_keys=True).encode()


def _digest(key: str, part: Part) -> str:
    """Of everything a file says, so that no flipped bit goes unnoticed."""
    found = hashlib.blake2b(f"{key} {part.first} {part.correction!r}".encode(), digest_size=16)
    for name in _ARRAYS:
        array = np.ascontiguousarray(getattr(part, name))
        found.update(f"{array.dtype.str} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _settled(folder: Path) -> list[Path]:
    return [one for one in folder.iterdir() if not one.name.endswith(".part")]


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.part")  # what a crash leaves of it is ignored, and replaced by the next run
    with fresh.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(fresh, path)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The folder's lock, which the system takes back when the process ends, however it ends."""
    with (folder / LOCK).open("a") as stream:
        _lock(folder, stream)
        yield


def _lock(folder: Path, stream: IO[Any]) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows, where two runs at once write the same files with the same content
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"{folder}: is in use by another process; let it end, or name another folder") from None
