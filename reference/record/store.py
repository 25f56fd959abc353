"""A recording while it grows: arrays on disk, row by row, that become a dump in one step when all texts are done.

Until then everything lies in the folder ``NAME.part``. A text counts once its line stands in ``texts.jsonl``, which is
written after its rows; what an interruption leaves behind that line is cut off when the recording is resumed.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from reference.lines import as_line, differs, hold
from reference.record.laws import Along

ABOUT, RUN, TEXTS, ARRAYS = "record.json", "run.json", "texts.jsonl", ("target", "draft")
DTYPES = ("float32", "float64")
FRESH = "run.part"
PIECE = 2**20


class Recording:
    """An open recording; `open_recording` makes it."""

    def __init__(self, folder: Path, vocabulary: int, dtype: str, streams: Mapping[str, IO[bytes]]) -> None:
        self.contexts = self.texts = self.failed = 0
        self._folder, self._streams = folder, streams
        self._vocabulary, self._dtype = vocabulary, np.dtype(dtype).newbyteorder("<")
        self._header = len(self._npy_header(0))
        self._take_up()

    def add(self, rows: Along) -> None:
        """Rows of the text that is being recorded."""
        for name in ARRAYS:
            self._streams[name].write(np.ascontiguousarray(getattr(rows, name), dtype=self._dtype).tobytes())
        self.contexts += len(rows.target)

    def finish_text(self, told: Mapping[str, Any]) -> None:
        """The rows since the last call are a text's. ``told`` is its line; the number of rows so far is added to it."""
        for name in ARRAYS:
            _settle(self._streams[name])
        self._streams[TEXTS].write(as_line({**told, "contexts": self.contexts}).encode())
        _settle(self._streams[TEXTS])
        self.texts += 1
        self.failed += "error" in told

    def finish(self, out: Path, about: Mapping[str, Any]) -> None:
        """Make ``out`` of it: a folder, or an .npz file. It appears as a whole or not at all."""
        for name in ARRAYS:
            stream = self._streams[name]
            stream.seek(0)
            stream.write(self._npy_header(self.contexts))
            _settle(stream)
        (self._folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        if out.suffix != ".npz":
            (self._folder / RUN).unlink()
            os.replace(self._folder, out)
            return
        packed = self._folder / "packed"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for name in ("target.npy", "draft.npy", ABOUT, TEXTS):
                member = zipfile.ZipInfo(name)  # dated 1980, so that equal recordings are equal files
                with (
                    (self._folder / name).open("rb") as source,
                    archive.open(member, "w", force_zip64=True) as goal,
                ):
                    shutil.copyfileobj(source, goal, PIECE)
        with packed.open("rb+") as stream:
            _settle(stream)
        os.replace(packed, out)
        shutil.rmtree(self._folder)

    def _npy_header(self, contexts: int) -> bytes:
        told = io.BytesIO()
        about = {"shape": (contexts, self._vocabulary), "fortran_order": False, "descr": self._dtype.str}
        np.lib.format.write_array_header_1_0(told, about)  # leaves room for the first length to grow
        return told.getvalue()

    def _take_up(self) -> None:
        """Count the texts that are there, and cut off what an interruption left behind them."""
        end, stream = 0, self._streams[TEXTS]
        for line in stream:
            if not line.endswith(b"\n"):
                break
            try:
                told = json.loads(line)
                self.contexts = int(told["contexts"])
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"{self._folder / TEXTS} line {self.texts + 1}: damaged ({error}); delete {self._folder}"
                ) from None
            self.texts += 1
            self.failed += "error" in told
            end += len(line)
        _cut(stream, end)
        for name in ARRAYS:
            stream = self._streams[name]
            if not self.contexts:
                _cut(stream, 0)
                stream.write(self._npy_header(0))
                continue
            size = self._header + self.contexts * self._vocabulary * self._dtype.itemsize
            found = stream.seek(0, os.SEEK_END)
            if found < size:
                raise ValueError(
                    f"{self._folder / name}.npy: damaged: it has {found} bytes, the texts before the interruption take "
                    f"{size}; delete {self._folder}"
                )
            _cut(stream, size)


@contextmanager
def open_recording(folder: Path, about: Mapping[str, Any], *, vocabulary: int, dtype: str) -> Iterator[Recording]:
    """The recording in ``folder``, which is made if need be, held against other processes meanwhile.

    ``about`` is everything that the rows depend on. Raises ValueError when the folder holds a recording of something
    else (saying what differs) or a damaged one, or is in use; OSError when it cannot be written.
    """
    own = {TEXTS, *(f"{name}.npy" for name in ARRAYS), FRESH}
    if folder.exists() and not (folder / RUN).exists() and any(one.name not in own for one in folder.iterdir()):
        raise ValueError(f"{folder}: holds files but no {RUN}: it is no recording; name another place")
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        streams = {
            name: stack.enter_context(_opened(folder / (name if name == TEXTS else f"{name}.npy")))
            for name in (TEXTS, *ARRAYS)
        }
        hold(folder, streams[TEXTS])
        if (folder / RUN).exists():
            differs(str(folder), _read(folder / RUN), about)
        else:
            (folder / FRESH).write_text(json.dumps(about), encoding="utf-8")
            os.replace(folder / FRESH, folder / RUN)
        yield Recording(folder, vocabulary, dtype, streams)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: damaged ({error}); delete {path.parent}") from None


def _opened(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")


def _cut(stream: IO[bytes], size: int) -> None:
    stream.truncate(size)
    stream.seek(size)


def _settle(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())
