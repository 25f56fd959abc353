"""Dumps of laws or logits, opened: .npz, .npy and .safetensors files, and folders of .npy files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from specmath.cli.safetensors import Slot, read_header
from specmath.cli.stored import FLOATS, Stored

SUFFIXES = (".npz", ".npy", ".safetensors")
_SAFETENSORS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


@contextmanager
def open_dump(path: Path) -> Iterator[dict[str, Stored]]:
    """The arrays of a dump by name, open while the context lasts; no pickles are ever loaded.

    A dump is an .npz or .safetensors file, a folder with one .npy file an array, or one .npy file of shape (2,
    contexts, V) that holds target and draft in this order. Raises ValueError, naming the file and what is wrong, for
    another suffix or a file that is not what its suffix says; OSError when it cannot be opened.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        found = {one.stem: _plain(one) for one in sorted(path.glob("*.npy"))}
        if not found:
            raise ValueError(f"{path}: a folder without .npy files; expected are target.npy and draft.npy")
        yield found
    elif suffix == ".safetensors":
        yield {name: _tensor(path, name, slot) for name, slot in read_header(path).items()}
    elif suffix == ".npy":
        yield _halves(path, _plain(path))
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
        raise ValueError(f"{path}: suffix {suffix!r}; allowed are {', '.join(SUFFIXES)}, and folders of .npy files")


def _at(path: str, start: int) -> IO[bytes]:
    stream = open(path, "rb")  # noqa: SIM115  the caller closes it
    stream.seek(start)
    return stream


def _in_file(
    path: Path, name: str, start: int, shape: tuple[int, ...], dtype: str, code: np.dtype[Any], fortran: bool = False
) -> Stored:
    place = str(path.resolve()), path.stat().st_size, start
    return Stored(name, shape, dtype, code, partial(_at, place[0], start), place, fortran=fortran)


def _tensor(path: Path, name: str, slot: Slot) -> Stored:
    dtype = _SAFETENSORS.get(slot.kind, slot.kind)
    code = np.dtype("<u2") if dtype == "bfloat16" else np.dtype(dtype if dtype in FLOATS else "u1").newbyteorder("<")
    return _in_file(path, f"{path}: {name}", slot.start, slot.shape, dtype, code)


def _plain(path: Path) -> Stored:
    """A .npy file; what it holds is told by its header."""
    with path.open("rb") as stream:
        start, shape, fortran, code = _checked_header(str(path), stream, path.stat().st_size)
    return _in_file(path, str(path), start, shape, _type(code), code, fortran)


def _halves(path: Path, both: Stored) -> dict[str, Stored]:
    """Target and draft of one .npy file (2, contexts, V)."""
    if len(both.shape) != 3 or both.shape[0] != 2:
        raise ValueError(f"{path}: shape {both.shape}; a single .npy file must be (2, contexts, vocabulary)")
    if both.fortran:
        raise ValueError(f"{path}: stored column by column; save numpy.ascontiguousarray of it")
    _, _, start = both.place or ("", 0, 0)
    half = both.bytes // 2
    return {
        name: _in_file(path, f"{path}: {name}", start + i * half, both.shape[1:], both.dtype, both.code)
        for i, name in enumerate(("target", "draft"))
    }


def _members(path: Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, Stored]]:
    for entry in archive.infolist():
        if entry.filename.endswith(".npy"):
            name = entry.filename.removesuffix(".npy")
            yield name, _member(path, f"{path}: {name}", archive, entry)


def _member(path: Path, where: str, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Stored:
    """One .npy file inside the archive."""
    try:
        stream = archive.open(entry)
    except Exception as error:
        raise ValueError(f"{where}: cannot be read: {error or type(error).__name__}") from None
    with stream:
        start, shape, fortran, code = _checked_header(where, stream, entry.file_size)

    def opened() -> IO[bytes]:
        stream = archive.open(entry)
        _npy_header(stream)
        return stream

    place = None
    if entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == entry.file_size:
        size = path.stat().st_size
        begin = _first_byte(path, entry) + start
        if begin + entry.file_size - start > size:
            raise ValueError(f"{where}: truncated: the file ends before the array does")
        place = str(path.resolve()), size, begin
    return Stored(where, shape, _type(code), code, opened, place, checksum=True, fortran=fortran)


def _first_byte(path: Path, entry: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: after its own header, whose length differs from that in the directory."""
    with path.open("rb") as stream:
        stream.seek(entry.header_offset)
        header = stream.read(30)  # zipfile looked at it already when it opened the member
    return entry.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")


def _type(code: np.dtype[Any]) -> str:
    return "object" if code.hasobject else str(code.name)


def _checked_header(where: str, stream: IO[bytes], size: int) -> tuple[int, tuple[int, ...], bool, np.dtype[Any]]:
    """Length of a .npy header, shape, order and type, once they agree with the ``size`` of the file."""
    try:
        shape, fortran, code = _npy_header(stream)
        start = stream.tell()
    except Exception as error:  # numpy lets the errors of Python's tokenizer and parser through
        raise ValueError(f"{where}: cannot be read: {error or type(error).__name__}") from None
    if min(shape, default=0) < 0:
        raise ValueError(f"{where}: shape {shape}; lengths are never negative")
    if not code.hasobject and start + prod(shape) * code.itemsize != size:
        raise ValueError(
            f"{where}: shape {shape} of {code} takes {prod(shape) * code.itemsize} bytes, the file holds {size - start}"
        )
    return start, shape, fortran, code


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"version {version} of the .npy format; allowed are 1.0 and 2.0 (plain arrays need no more)")
