"""The safetensors format, read without its library: 8 bytes of header length, a JSON header, then the raw arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

LARGEST_HEADER = 100_000_000
"""Bytes; the limit that the format's own library sets."""

SIZES = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    "C64": 8,
}
"""Bytes of one entry. Other types (there are some below one byte) are listed by name and not measured."""


@dataclass(frozen=True)
class Slot:
    """Where one array lies: its type as the format spells it, its shape, and its first byte in the file."""

    kind: str
    shape: tuple[int, ...]
    start: int


def read_header(path: Path) -> dict[str, Slot]:
    """Every array's place in a safetensors file; nothing but the header is read.

    Raises ValueError, naming the file and what is wrong, for a file that is no safetensors file, is truncated, or whose
    offsets overlap, leave holes or do not fit the shapes; OSError when it cannot be opened.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(8)
        if len(prefix) < 8:
            raise ValueError(f"{path}: no safetensors file: {size} bytes, the header alone has 8 or more")
        length = int.from_bytes(prefix, "little")
        if length > LARGEST_HEADER:
            raise ValueError(f"{path}: no safetensors file: its first 8 bytes announce a header of {length} bytes")
        if 8 + length > size:
            raise ValueError(f"{path}: truncated: the header has {length} bytes and the file {size}")
        raw = stream.read(length)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no safetensors file: its header is not the JSON expected ({error})") from None
    if not isinstance(header, dict):
        raise ValueError(f"{path}: no safetensors file: its header is not a JSON object")
    spans = {name: _span(path, name, entry) for name, entry in header.items() if name != "__metadata__"}
    _check_cover(path, spans, size - 8 - length)
    return {name: Slot(kind, shape, 8 + length + begin) for name, (kind, shape, begin, _) in spans.items()}


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _span(path: Path, name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape, begin and end of one header entry."""
    where = f"{path}: array {name!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{where}: its header entry must have exactly dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{where}: its header entry is malformed: {str(entry)[:200]}")
    begin, end = offsets
    if begin > end:
        raise ValueError(f"{where}: its offsets {offsets} run backwards")
    if kind in SIZES and end - begin != SIZES[kind] * prod(shape):
        wanted = SIZES[kind] * prod(shape)
        raise ValueError(f"{where}: shape {shape} of {kind} takes {wanted} bytes, its offsets hold {end - begin}")
    return kind, tuple(shape), begin, end


def _counts(value: Any) -> bool:
    # The bounds keep a hostile header from costing time in products of enormous numbers.
    return isinstance(value, list) and len(value) <= 64 and all(type(x) is int and 0 <= x < 2**63 for x in value)


def _check_cover(path: Path, spans: dict[str, tuple[str, tuple[int, ...], int, int]], size: int) -> None:
    """The arrays must cover the data section without overlap or hole, as the format demands."""
    ordered = sorted((begin, end, name) for name, (_, _, begin, end) in spans.items())
    last = max((end for _, end, _ in ordered), default=0)
    if last > size:
        raise ValueError(f"{path}: truncated: the arrays take {last} bytes, the file holds {size} after its header")
    if last < size:
        raise ValueError(f"{path}: {size - last} bytes after the last array belong to none")
    if ordered and ordered[0][0] != 0:
        raise ValueError(f"{path}: array {ordered[0][2]!r} starts at byte {ordered[0][0]} of the data; it should be 0")
    for (_, end, name), (begin, _, following) in pairwise(ordered):
        if begin != end:
            raise ValueError(f"{path}: array {following!r} starts at byte {begin}, but {name!r} ends at {end}")
