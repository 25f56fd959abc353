"""Bad input to `specmath acceptance`: exit code 2 and one line that says what, where, and what is allowed."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest

from proofs_tests.cli.conftest import some_laws, some_logits
from specmath import comparison

TARGET, DRAFT = some_laws()


def changed(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    result = array.copy()
    result[place] = value
    return result


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--n", "0"], ["--n", "0 is too small", ">= 1"]),
        (["--n", "two"], ["--n", "'two' is not a whole number"]),
        (["--n", "1", "x.npz"], ["'x.npz'", "put FILE first"]),
        (["--drafts", "idd"], ["'idd'", "'iid'", "'without_replacement'", "'greedy'", "'top_k'"]),
        (["--rules", "foo"], ["'foo'", "'single'", "'k_seq'"]),
        (["--rules", "block"], ["'block'", "'single'"]),
        (["--rules", "single", "--n", "2"], ["n is 2", "'single'"]),
        (["--rules", "greedy"], ["'greedy' does not verify drafts='iid'"]),
        (["--drafts", "hub", "--n", "1"], ["n is 1", "'hub'", "n = 2 only"]),
        (["--top-k", "3"], ["--top-k", "--logits"]),
        (["--top-p", "0.5"], ["--top-p", "--logits"]),
        (["--temperature", "1"], ["--temperature", "--logits"]),
        (["--logits", "--temperature", "-1"], ["temperature is -1", ">= 0"]),
        (["--logits", "--temperature", "hot"], ["--temperature", "'hot' is not a number"]),
        (["--logits", "--top-p", "1.5"], ["top_p is 1.5", "up to 1"]),
        (["--logits", "--top-k", "0"], ["--top-k", "0 is too small"]),
        (["--seed", "-1"], ["--seed", "-1 is too small"]),
        (["--replicates", "1"], ["--replicates", ">= 2"]),
        (["--n", "7", "--drafts", "top_k"], ["dump.npz: context 0", "n is 7", "'top_k'", "only 6 possible tokens"]),
        (["--jason"], ["--jason"]),
        (["--js"], ["--js"]),  # options are not guessed from their beginnings
        (["second.npz"], ["second.npz"]),
        (["--jobs", "0"], ["--jobs", "0 is too small", ">= 1"]),
        (["--chunk", "0"], ["--chunk", "0 is too small", ">= 1"]),
        (["--backend", "mpi"], ["--backend", "'mpi'", "loky", "threading", "dask", "ray"]),
        (["--scheduler", "tcp://here:1"], ["--scheduler", "--backend dask or ray"]),
        (["--scheduler", "tcp://here:1", "--backend", "loky"], ["--scheduler", "--backend dask or ray"]),
        (["--scheduler", "tcp://here:1", "--backend", "dask", "--jobs", "2"], ["--jobs", "without --scheduler"]),
        (["--scheduler", "nonsense", "--backend", "dask"], ["--scheduler is 'nonsense'", "tcp://host:port"]),
        (["--scheduler", "tcp://here", "--backend", "dask"], ["--scheduler is 'tcp://here'", "tcp://host:port"]),
        (["--scheduler", "tcp://here:99999", "--backend", "dask"], ["--scheduler is", "tcp://host:port"]),
        (["--send-rows"], ["--send-rows", "--jobs or --backend"]),
    ],
)
def test_wrong_options(specmath_main, dump, arguments, words):
    specmath_main("acceptance", dump, *arguments).refused("specmath acceptance: error: ", *words)


def test_file_swallowed_by_a_list(specmath_main, dump):
    specmath_main("acceptance", "--drafts", "iid", dump).refused("FILE is missing", str(dump), "put FILE first")
    specmath_main("acceptance").refused("FILE is missing")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"target": TARGET}, ["no array 'draft'", "holds 'target'"]),
        ({"p": TARGET, "q": DRAFT}, ["no array 'target'", "'p', 'q'"]),
        ({"target": TARGET, "draft": DRAFT[:, :5]}, ["target has shape (5, 6)", "draft (5, 5)"]),
        ({"target": TARGET, "draft": DRAFT[:4]}, ["(5, 6)", "(4, 6)"]),
        ({"target": TARGET[0], "draft": DRAFT}, ["(6,)", "(5, 6)"]),
        ({"target": TARGET[None], "draft": DRAFT[None]}, ["target: shape (1, 5, 6)", "(contexts, vocabulary)"]),
        ({"target": np.float64(1), "draft": np.float64(1)}, ["shape ()"]),
        ({"target": TARGET[:0], "draft": DRAFT[:0]}, ["shape (0, 6)", "no contexts"]),
        ({"target": TARGET[:, :0], "draft": DRAFT[:, :0]}, ["shape (5, 0)", "vocabulary is empty"]),
        ({"target": changed(TARGET, (3, 2), np.nan), "draft": DRAFT}, ["target: context 3", "nan", "finite"]),
        ({"target": TARGET, "draft": changed(DRAFT, (4, 0), 0.9)}, ["draft: context 4: sums to", "within 1e-09"]),
        ({"target": changed(TARGET, (2, 1), -0.1), "draft": DRAFT}, ["target: context 2", "did you mean --logits?"]),
        (dict(zip(("target", "draft"), some_logits(), strict=True)), ["target: context 0", "did you mean --logits?"]),
        ({"target": TARGET.astype(np.float16), "draft": DRAFT}, ["target: dtype float16", "--logits"]),
        ({"target": TARGET, "draft": (DRAFT > 0.5).astype(int)}, ["draft: dtype int64", "float32"]),
        ({"target": TARGET.astype(complex), "draft": DRAFT}, ["target: dtype complex128"]),
        ({"target": TARGET.astype(str), "draft": DRAFT}, ["target: dtype str"]),
        ({"target": np.zeros((5, 6), np.uint16), "draft": DRAFT}, ["dtype uint16", "bfloat16"]),
        ({"target": np.zeros((5, 6), "V2"), "draft": DRAFT}, ["dtype void16", "bfloat16"]),
        ({"target": np.array([[None] * 6] * 5), "draft": DRAFT}, ["target: holds Python objects", "never loaded"]),
        ({}, ["no array 'target'", "holds no array"]),
    ],
)
def test_wrong_arrays(specmath_main, save, arrays, words):
    path = save(**arrays)
    specmath_main("acceptance", path).refused(f"specmath acceptance: error: {path}: ", *words)


@pytest.mark.parametrize(
    ("row", "words"),
    [(np.full(6, -np.inf), "masked (-inf) completely"), ([0, 0, np.nan, 0, 0, 0], "NaN"), ([np.inf] + [0] * 5, "+inf")],
)
def test_logits_without_a_law(specmath_main, save, monkeypatch, row, words):
    """The context is counted over the whole file, also when it lies in a later block."""
    target, draft = some_logits()
    draft[3] = row
    monkeypatch.setattr(comparison, "ROWS", 2)
    path = save(target=target, draft=draft)
    specmath_main("acceptance", path, "--logits").refused(f"{path}: draft: context 3: ", words)


def test_support_smaller_than_n(specmath_main, save, monkeypatch):
    """A context with fewer possible tokens than distinct drafts is named, not left out."""
    draft = DRAFT.copy()
    draft[4] = [0.5, 0.5, 0, 0, 0, 0]
    path = save(target=TARGET, draft=draft)
    monkeypatch.setattr(comparison, "ROWS", 2)
    for law in ("without_replacement", "greedy", "top_k"):
        arguments = ("acceptance", path, "--drafts", law, "--n")
        specmath_main(*arguments, 3).refused(f"{path}: context 4: n is 3: drafts={law!r}", "only 2 possible tokens")
        assert specmath_main(*arguments, 2).code == 0
    logits = save(target=np.log(TARGET), draft=np.log(DRAFT))
    outcome = specmath_main("acceptance", logits, "--logits", "--top-k", 2, "--n", 3, "--drafts", "greedy")
    outcome.refused(f"{logits}: context 0: n is 3", "only 2 possible tokens")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.npz", b"", ["no .npz file (it is empty)"]),
        ("text.npz", b"hello, this is no archive", ["no .npz file", "not a zip"]),
        ("pickle.npz", pickle.dumps([1, 2]), ["no .npz file"]),
        ("laws.csv", b"0.5,0.5", ["suffix '.csv'", ".npz, .npy, .safetensors"]),
        ("empty.safetensors", b"", ["no safetensors file", "0 bytes"]),
        ("text.safetensors", b"hello, this is no tensor file", ["no safetensors file"]),
    ],
)
def test_foreign_files(specmath_main, tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    specmath_main("acceptance", path).refused(f"error: {path}: ", *words)


def test_missing_file_and_folder(specmath_main, tmp_path):
    specmath_main("acceptance", tmp_path / "none.npz").refused(f"{tmp_path / 'none.npz'}: No such file")
    folder = tmp_path / "folder.npz"
    folder.mkdir()
    specmath_main("acceptance", folder).refused(str(folder), "folder without .npy files", "target.npy")


def archive(path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as stream:
        for name, content in members.items():
            stream.writestr(f"{name}.npy", content)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy(TARGET)[:-8], ["takes 240 bytes", "holds 232"]),
        (npy(TARGET) + b"\0" * 8, ["takes 240 bytes", "holds 248"]),
        (b"no header at all", ["target: cannot be read"]),
        (b"", ["target: cannot be read"]),
        (npy(TARGET).replace(b"(5, 6)", b"(5, 66", 1), ["target: cannot be read"]),
        (npy(TARGET).replace(b"(5, 6), }  ", b"(-5, -6), }", 1), ["target: shape (-5, -6)", "negative"]),
    ],
)
def test_broken_members(specmath_main, tmp_path, content, words):
    path = tmp_path / "dump.npz"
    archive(path, target=content, draft=npy(DRAFT))
    specmath_main("acceptance", path).refused(str(path), *words)


@pytest.mark.parametrize("name", ["target", "draft"])
def test_flipped_bits_are_noticed(specmath_main, tmp_path, name):
    """The archive's checksum of each array is looked at although it is read piece by piece.

    The arrays are longer than what zipfile reads ahead when only the header is asked for.
    """
    path = tmp_path / "dump.npz"
    stored = {key: npy(law) for key, law in zip(("target", "draft"), some_laws(400, 50), strict=True)}
    archive(path, **stored)
    content = bytearray(path.read_bytes())
    content[content.index(stored[name]) + len(stored[name]) - 8] ^= 1  # the last bit of the last number: still a law
    path.write_bytes(content)
    specmath_main("acceptance", path, "--n", 1).refused(f"{name}: cannot be read", "CRC")
