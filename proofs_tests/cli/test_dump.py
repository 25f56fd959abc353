"""Dumps are read block by block, and every storage order gives the same numbers."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofs_tests.cli.conftest import only_named_errors
from specmath.cli import stored
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
    write(path, x=np.asarray(VALUES.astype(dtype), order=order))
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


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_from_the_middle(tmp_path, dtype, order):
    """Any range of rows, mapped into memory from an .npz that is not compressed, and from a .npy file."""
    array = np.asarray(VALUES.astype(dtype), order=order)
    np.savez(tmp_path / "a.npz", first=np.arange(3), x=array)
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "x.npy", array)
    for path in (tmp_path / "a.npz", folder):
        with open_dump(path) as arrays:
            mapped = arrays["x"].mapped
        mapped = pickle.loads(pickle.dumps(mapped))  # as it goes to a worker
        for first, stop in ((0, 7), (2, 5), (6, 7)):
            rows = mapped.rows(first, stop)
            assert np.array_equal(rows, VALUES.astype(dtype)[first:stop])
            assert rows.dtype.isnative
            assert rows.flags.c_contiguous


def test_compressed_has_no_middle(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=VALUES)
    with open_dump(tmp_path / "x.npz") as arrays:
        assert arrays["x"].mapped is None


def test_compressed_columns_are_limited(tmp_path, monkeypatch):
    """They are the one case in which all of an array must be held."""
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.asfortranarray(VALUES))
    assert np.array_equal(np.concatenate(read(path, 2)), VALUES)
    monkeypatch.setattr(stored, "LARGEST_WHOLE", VALUES.nbytes - 1)
    with pytest.raises(ValueError, match=r"x.npz: x: its columns .* numpy.ascontiguousarray"):
        read(path, 2)


def test_halves_of_one_array(tmp_path):
    path = tmp_path / "both.npy"
    np.save(path, np.stack([VALUES, -VALUES]).astype(np.float32))
    with open_dump(path) as arrays:
        assert set(arrays) == {"target", "draft"}
        for name, sign in (("target", 1), ("draft", -1)):
            assert np.array_equal(np.concatenate(list(arrays[name].blocks(3))), sign * VALUES)
            mapped = arrays[name].mapped
            assert mapped is not None
            assert np.array_equal(mapped.rows(2, 4), sign * VALUES[2:4])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (VALUES, r"shape \(7, 5\); .* \(2, contexts, vocabulary\)"),
        (np.zeros((3, 7, 5)), r"shape \(3, 7, 5\)"),
        (np.asfortranarray(np.zeros((2, 7, 5))), "column by column"),
    ],
)
def test_other_single_arrays(tmp_path, array, words):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=words), open_dump(tmp_path / "x.npy"):
        pass


def test_truncated_npy(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.stack([VALUES, VALUES]))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="takes 560 bytes, the file holds 559"), open_dump(path):
        pass


MEMORY = """
import resource, sys
from specmath import comparison
from specmath.cli import main

small, large, whole = sys.argv[1:]
def peak():
    if sys.platform == "linux":  # where ru_maxrss begins with the peak of the process that started this one
        return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
options = ["--n", "1", "--rules", "single", "--json"]
if whole == "whole":
    comparison.ENTRIES, comparison.ROWS = 2**40, 2**40
main(["acceptance", small, *options])
before = peak()
main(["acceptance", large, *options])
print(peak() - before, file=sys.stderr)
"""


@pytest.mark.skipif(os.name == "nt", reason="peak memory is told otherwise there")
def test_memory_is_a_small_part_of_the_file(tmp_path):
    """The peak grows by less than a quarter of the file; with all contexts in one granule it grows by more than it."""
    rows, width = 1500, 4096
    law = np.random.default_rng(0).dirichlet(np.ones(width)).astype(np.float32)
    for name, count in (("small", 40), ("large", rows)):
        (tmp_path / name).mkdir()
        for array in ("target", "draft"):
            np.save(tmp_path / name / f"{array}.npy", np.broadcast_to(law, (count, width)))
    np.savez(tmp_path / "large.npz", **dict.fromkeys(("target", "draft"), np.broadcast_to(law, (rows, width))))

    def growth(large: str, granules: str) -> int:
        arguments = [str(tmp_path / "small"), str(tmp_path / large), granules]
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, *arguments], capture_output=True, text=True, timeout=120, check=True
        )
        return int(done.stderr)

    size = 2 * rows * width * 4
    assert growth("large", "granules") < size / 4
    assert growth("large.npz", "granules") < size / 4
    assert growth("large", "whole") > size
