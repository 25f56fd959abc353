"""Arrays that lie in files: their rows by memory-mapping from any process, or one after the other from a stream."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

FLOATS = ("float16", "bfloat16", "float32", "float64")
PIECE = 2**20
"""Bytes read at once where a file is only looked through."""

LARGEST_WHOLE = 2**30
"""Bytes; the largest array that is decompressed as a whole, which only compressed columns need."""

_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)  # as zipfile raises them


@dataclass(frozen=True)
class Mapped:
    """Where the plain bytes of an array (contexts, V) lie, so that any process can map them into its memory.

    Attributes
    ----------
    name : the file and the array, for messages.
    path, size : the file, absolute, and its length in bytes when it was opened.
    start : the array's first byte in the file.
    shape, dtype, code, fortran : see `Stored`.
    """

    name: str
    path: str
    size: int
    start: int
    shape: tuple[int, ...]
    dtype: str
    code: np.dtype[Any]
    fortran: bool = False

    def rows(self, first: int, stop: int) -> np.ndarray[Any, Any]:
        """A copy of rows ``first`` to ``stop - 1`` in native floats; no other row is read.

        Raises ValueError when the file is no longer as long as it was, OSError when it cannot be opened.
        """
        found = Path(self.path).stat().st_size
        if found != self.size:
            raise ValueError(f"{self.name}: the file had {self.size} bytes when it was opened and has {found} now")
        order = "F" if self.fortran else "C"
        whole = np.memmap(self.path, self.code, "r", self.start, self.shape, order)
        # Columns that lie one after the other are strided over the whole file: mapped, never held.
        return native(np.array(whole[first:stop], order="C"), self.dtype)


@dataclass(frozen=True)
class Stored:
    """An array that lies in a file.

    Attributes
    ----------
    name : the file and the array, for messages.
    shape, dtype : as stored; ``dtype`` is one of `FLOATS`, or another type's name, which cannot be read.
    code : numpy's type of the stored entries; the bits of bfloat16 are taken as 16-bit integers.
    open : a new stream at the array's first byte.
    place : path, its length in bytes, and the array's first byte in it; None when the array is compressed.
    checksum : whether the file carries one, which `scan` looks at.
    fortran : whether columns lie one after the other.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    code: np.dtype[Any]
    open: Callable[[], IO[bytes]]
    place: tuple[str, int, int] | None = None
    checksum: bool = False
    fortran: bool = False

    @property
    def bytes(self) -> int:
        """What the array takes when it is not compressed."""
        return prod(self.shape) * self.code.itemsize

    @property
    def mapped(self) -> Mapped | None:
        """The array as something to map into memory; None when it is compressed."""
        if self.place is None:
            return None
        return Mapped(self.name, *self.place, self.shape, self.dtype, self.code, self.fortran)

    def scan(self) -> Iterator[bytes]:
        """The stored bytes, decompressed, `PIECE` at a time; ValueError when they end early or a checksum is wrong."""
        left = self.bytes
        with self.open() as stream:
            while left:
                piece = self._read(stream, min(PIECE, left))
                left -= len(piece)
                yield piece
            self._end(stream)

    def blocks(self, rows: int) -> Iterator[np.ndarray[Any, Any]]:
        """The rows of a two-dimensional array, up to ``rows`` at a time, each block (count, V) in native floats.

        bfloat16 becomes float32, exactly. Raises ValueError when the file ends before the array does, when a checksum
        is wrong, and for compressed columns of more than `LARGEST_WHOLE` bytes.
        """
        count, width = self.shape
        with self.open() as stream:
            if self.fortran:  # rows are scattered over the stream, so all of it is needed at once
                if self.bytes > LARGEST_WHOLE:
                    raise ValueError(
                        f"{self.name}: its columns lie one after the other and are compressed: {self.bytes} bytes "
                        f"would have to be held at once, allowed are {LARGEST_WHOLE}; save it with numpy.savez, "
                        "or save numpy.ascontiguousarray of it"
                    )
                whole = self._decode(stream, count * width).reshape(width, count).T
                self._end(stream)
                yield from (np.ascontiguousarray(whole[i : i + rows]) for i in range(0, count, rows))
                return
            for first in range(0, count, rows):
                held = min(rows, count - first)
                yield self._decode(stream, held * width).reshape(held, width)
            self._end(stream)

    def _decode(self, stream: IO[bytes], entries: int) -> np.ndarray[Any, Any]:
        return native(np.frombuffer(self._read(stream, entries * self.code.itemsize), dtype=self.code), self.dtype)

    def _read(self, stream: IO[bytes], wanted: int) -> bytes:
        try:
            raw = stream.read(wanted)
        except _UNREADABLE as error:
            raise ValueError(f"{self.name}: cannot be read: {error}") from error
        if len(raw) != wanted:
            raise ValueError(f"{self.name}: truncated: the file ends before the array does")
        return raw

    def _end(self, stream: IO[bytes]) -> None:
        if self.checksum:  # zipfile compares it when it meets the end
            try:
                stream.read(1)
            except _UNREADABLE as error:
                raise ValueError(f"{self.name}: cannot be read: {error}") from error


def native(values: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    """Stored entries as floats in this machine's byte order; bfloat16 becomes float32, exactly."""
    if dtype == "bfloat16":  # the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(values.dtype.newbyteorder("="), copy=False)
