"""Dumps are read block by block, and every storage order gives the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.cli.conftest import only_named_errors
from specmath.cli.dump import open_dump

VALUES = np.arange(35, dtype=np.float64).reshape(7, 5) / 8


def read(path, rows: int) -> list[np.ndarray]:
    with open_dump(path) as arrays:
        return list(arrays["x"].blocks(rows))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_npz(tmp_path, dtype, order, write):
    path = tmp_path / "x.npz"
    stored = np.asarray(VALUES.astype(dtype), order=order)
    write(path, x=stored)
    blocks = read(path, 3)
    assert [block.shape for block in blocks] == [(3, 5), (3, 5), (1, 5)]
    assert np.array_equal(np.concatenate(blocks), np.load(path)["x"])
    assert blocks[0].dtype == np.dtype(dtype).newbyteorder("=")


@given(
    write=st.sampled_from([np.savez, np.savez_compressed]),
    cut=st.integers(0, 700),
    changes=st.lists(st.tuples(st.integers(0, 699), st.integers(0, 255)), max_size=4),
)
def test_damaged_archives_are_refused_or_read(tmp_path_factory, write, cut, changes):
    """Whatever happens to the bytes, there is a ValueError that names the file, or every array can be read."""
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    write(path, x=VALUES[:3])
    content = bytearray(path.read_bytes())
    for place, byte in changes:
        content[place % len(content)] = byte
    path.write_bytes(content[: max(0, len(content) - cut)])
    with only_named_errors(path), open_dump(path) as arrays:
        for stored in arrays.values():
            if len(stored.shape) == 2 and stored.dtype == "float64":
                assert sum(len(block) for block in stored.blocks(2)) == stored.shape[0]


def test_two_arrays_are_read_in_step(tmp_path):
    """Both streams of one archive stay in their own place."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=VALUES, y=-VALUES)
    with open_dump(path) as arrays:
        for x, y in zip(arrays["x"].blocks(2), arrays["y"].blocks(2), strict=True):
            assert np.array_equal(x, -y)


def test_only_what_is_needed_is_read(tmp_path, monkeypatch):
    """The memory is bounded: no single read is larger than a block."""
    import zipfile

    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros((1000, 50)))
    sizes = []
    original = zipfile.ZipExtFile.read

    def read_noting(self, size=-1):
        sizes.append(size)
        return original(self, size)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", read_noting)
    with open_dump(path) as arrays:
        assert sum(len(block) for block in arrays["x"].blocks(10)) == 1000
    assert len(sizes) >= 100
    assert 0 < max(sizes) <= 10 * 50 * 8
    assert min(sizes) > 0  # -1 would mean: all of it
