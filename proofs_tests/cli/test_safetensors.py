"""The own reader of safetensors against the format's library, and against files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.cli.conftest import only_named_errors
from specmath.cli.dump import open_dump
from specmath.cli.safetensors import read_header


def encoded(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape: list, begin: int, end: int, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


GOOD = encoded({"target": entry([1, 2], 0, 8), "draft": entry([1, 2], 8, 16)}, bytes(16))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_agrees_with_the_library(tmp_path: Path, dtype: str):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    generator = torch.Generator().manual_seed(0)
    values = (torch.randn(7, 5, generator=generator, dtype=torch.float64) * 100).to(getattr(torch, dtype))
    values[0, 0], values[0, 1], values[0, 2] = -torch.inf, 0.0, torch.finfo(values.dtype).tiny
    path = tmp_path / "x.safetensors"
    save_file({"target": values, "other": torch.arange(3)}, path, metadata={"made": "here"})
    with open_dump(path) as arrays:
        assert set(arrays) == {"target", "other"}
        assert arrays["target"].dtype == dtype
        blocks = list(arrays["target"].blocks(3))
    assert [len(block) for block in blocks] == [3, 3, 1]
    expected = load_file(path)["target"].double().numpy()
    assert np.array_equal(np.concatenate(blocks).astype(np.float64), expected)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes"),
        (b"abc", "3 bytes"),
        (b"PK\x03\x04" + bytes(60), "truncated|header of"),
        (bytes(8) + b"x", "not the JSON"),
        ((10**9).to_bytes(8, "little"), "announce a header of 1000000000 bytes"),
        (GOOD[:20], "truncated: the header has"),
        (GOOD[:-1], "truncated: the arrays take 16 bytes, the file holds 15"),
        (GOOD + b"\0", "1 bytes after the last array"),
        (encoded(b"[1, 2]"), "not a JSON object"),
        (encoded(b"\xff\xfe"), "not the JSON"),
        (encoded(b"[" * 100_000), "not the JSON"),
        (encoded(b'{"a": 1, "a": 2}'), "occurs twice"),
        (encoded({"target": 3}), "'target': its header entry must have exactly"),
        (encoded({"target": {**entry([2], 0, 8), "x": 1}}, bytes(8)), "must have exactly"),
        (encoded({"target": entry([2.5], 0, 8)}, bytes(8)), "malformed"),
        (encoded({"target": entry([-2], 0, 8)}, bytes(8)), "malformed"),
        (encoded({"target": entry([True], 0, 4)}, bytes(4)), "malformed"),
        (encoded({"target": entry([2**70], 0, 4)}, bytes(4)), "malformed"),
        (encoded({"target": entry([1], 4, 0)}, bytes(4)), "backwards"),
        (encoded({"target": entry([3], 0, 8)}, bytes(8)), r"shape \[3\] of F32 takes 12 bytes, its offsets hold 8"),
        (encoded({"target": entry([1], 4, 8)}, bytes(8)), "starts at byte 4"),
        (encoded({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)), "starts at byte 4, but 'a' ends at 8"),
        (encoded({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)), "starts at byte 8, but 'a' ends at 4"),
    ],
)
def test_foreign_and_broken_files(tmp_path: Path, content: bytes, words: str):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read_header(path)
    assert str(caught.value).startswith(str(path))


@given(
    cut=st.integers(0, len(GOOD)),
    changes=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4),
    tail=st.binary(max_size=3),
)
def test_damaged_files_are_refused_or_read(tmp_path_factory, cut: int, changes: list, tail: bytes):
    """Whatever happens to the bytes, there is a ValueError that names the file, or every array can be read."""
    content = bytearray(GOOD)
    for place, byte in changes:
        content[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(bytes(content[:cut]) + tail)
    with only_named_errors(path), open_dump(path) as arrays:
        for stored in arrays.values():
            if len(stored.shape) == 2 and stored.dtype == "float32":
                assert sum(len(block) for block in stored.blocks(2)) == stored.shape[0]


@given(st.binary(max_size=200))
def test_noise_is_refused(tmp_path_factory, content: bytes):
    path = tmp_path_factory.getbasetemp() / "noise.safetensors"
    path.write_bytes(encoded(content))
    with only_named_errors(path):
        assert read_header(path) == {}  # noise that happens to be a header has no data, hence no arrays
