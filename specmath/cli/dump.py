"""Reading dumps of laws or logits, a few contexts at a time: .npz and .safetensors."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from specmath.cli.safetensors import Slot, read_header

SUFFIXES = (".npz", ".safetensors")
FLOATS = ("float16", "bfloat16", "float32", "float64")
_SAFETENSORS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)  # as zipfile raises them


@dataclass(frozen=True)
class Stored:
    """An array that lies in a file.

    Attributes
    ----------
    name : the file and the array, for messages.
    shape, dtype : as stored; ``dtype`` is one of `FLOATS`, or another type's name, which cannot be read.
    code : numpy's type of the stored entries; the bits of bfloat16 are taken as 16-bit integers.
    open : a new stream at the array's first byte.
    fortran : whether columns lie one after the other.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    code: np.dtype[Any]
    open: Callable[[], IO[bytes]]
    fortran: bool = False

    def blocks(self, rows: int) -> Iterator[np.ndarray[Any, Any]]:
        """The rows of a two-dimensional array, up to ``rows`` at a time, each block (count, V) in native floats.

        bfloat16 becomes float32, exactly. Raises ValueError when the file ends before the array does.
        """
        count, width = self.shape
        with self.open() as stream:
            if self.fortran:  # rows are scattered over the file, so all of it is needed at once
                whole = self._decode(stream, count * width).reshape(width, count).T
                yield from (whole[i : i + rows] for i in range(0, count, rows))
                return
            for first in range(0, count, rows):
                held = min(rows, count - first)
                yield self._decode(stream, held * width).reshape(held, width)

    def _decode(self, stream: IO[bytes], entries: int) -> np.ndarray[Any, Any]:
        wanted = entries * self.code.itemsize
        try:
            raw = stream.read(wanted)
        except _UNREADABLE as error:
            raise ValueError(f"{self.name}: cannot be read: {error}") from error
        if len(raw) != wanted:
            raise ValueError(f"{self.name}: truncated: the file ends before the array does")
        values = np.frombuffer(raw, dtype=self.code)
        if self.dtype == "bfloat16":  # the upper half of a float32
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(self.code.newbyteorder("="), copy=False)


@contextmanager
def open_dump(path: Path) -> Iterator[dict[str, Stored]]:
    """The arrays of an .npz or .safetensors file by name, open while the context lasts; no pickles are ever loaded.

    Raises ValueError, naming the file and what is wrong, for another suffix or a file that is not what its suffix
    says; OSError when it cannot be opened.
    """
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        yield {name: _tensor(path, name, slot) for name, slot in read_header(path).items()}
    elif suffix == ".npz":
        with path.open("rb") as stream:
            try:
                archive = zipfile.ZipFile(stream)
            except Exception as error:  # a damaged directory makes zipfile fail in many ways
                empty = " (it is empty)" if path.stat().st_size == 0 else ""
                raise ValueError(f"{path}: no .npz file{empty}: {error}") from None
            with archive:
                yield dict(_members(path, archive))
    else:
        raise ValueError(f"{path}: suffix {suffix!r}; allowed are {' and '.join(SUFFIXES)}")


def _tensor(path: Path, name: str, slot: Slot) -> Stored:
    dtype = _SAFETENSORS.get(slot.kind, slot.kind)
    code = np.dtype("<u2") if dtype == "bfloat16" else np.dtype(dtype if dtype in FLOATS else "u1").newbyteorder("<")

    def opened() -> IO[bytes]:
        stream = path.open("rb")
        stream.seek(slot.start)
        return stream

    return Stored(f"{path}: {name}", slot.shape, dtype, code, opened)


def _members(path: Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, Stored]]:
    for entry in archive.infolist():
        if entry.filename.endswith(".npy"):
            name = entry.filename.removesuffix(".npy")
            yield name, _member(f"{path}: {name}", archive, entry)


def _member(where: str, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Stored:
    """One .npy file inside the archive; what it holds is told by its header."""
    try:
        with archive.open(entry) as stream:
            shape, fortran, code = _npy_header(stream)
            start = stream.tell()
    except Exception as error:  # numpy lets the errors of Python's tokenizer and parser through
        raise ValueError(f"{where}: cannot be read: {error or type(error).__name__}") from None
    if min(shape, default=0) < 0:
        raise ValueError(f"{where}: shape {shape}; lengths are never negative")
    if not code.hasobject and start + prod(shape) * code.itemsize != entry.file_size:
        raise ValueError(
            f"{where}: shape {shape} of {code} takes {prod(shape) * code.itemsize} bytes, "
            f"the file holds {entry.file_size - start}"
        )

    def opened() -> IO[bytes]:
        stream = archive.open(entry)
        _npy_header(stream)
        return stream

    return Stored(where, shape, "object" if code.hasobject else str(code.name), code, opened, fortran)


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"version {version} of the .npy format; allowed are 1.0 and 2.0 (plain arrays need no more)")
