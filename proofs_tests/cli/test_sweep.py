"""`specmath acceptance` on large files: chunks, workers, clusters and interruptions leave every bit as it is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from proofs_tests.cli.conftest import Outcome, some_laws, some_logits
from specmath import comparison
from specmath.cli import sweep as module
from specmath.cli.chunk import Work, compute_elsewhere
from specmath.cli.clusters import Workers, configuration
from specmath.cli.dump import open_dump
from specmath.cli.laws import pair
from specmath.comparison import Part, plan

CONTEXTS, VOCABULARY = 23, 9000
"""At 9000 tokens a granule holds 14 contexts: two granules, the second one shorter."""

OPTIONS = ("--logits", "--n", 1, 2, "--rules", "recursive", "sampler_match", "--drafts", "iid", "--json")
ESTIMATED = ("--n", 2, "--drafts", "without_replacement", "--rules", "sampler_match", "--replicates", 5, "--json")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A dump that is cut into granules; not large at all."""
    target, draft = (logits.astype(np.float32) for logits in some_logits(CONTEXTS, VOCABULARY))
    path = tmp_path / "large.npz"
    np.savez(path, target=target, draft=draft)
    return path


@pytest.fixture
def small_granules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Granules of two contexts, for workers in this process."""
    monkeypatch.setattr(comparison, "ROWS", 2)


def test_workers_do_not_change_a_bit(specmath_main: Callable[..., Outcome], large: Path) -> None:
    alone = specmath_main("acceptance", large, *OPTIONS)
    assert alone.code == 0, alone.err
    compressed = large.with_name("compressed.npz")
    with np.load(large) as held:
        np.savez_compressed(compressed, **held)
    for file in (large, compressed):
        for extra in (["--jobs", 2], ["--jobs", 2, "--send-rows"], ["--jobs", 2, "--backend", "threading"]):
            other = specmath_main("acceptance", file, *OPTIONS, "--chunk", 1, *extra)
            assert other.document["rows"] == alone.document["rows"]
            assert other.err == ""


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 100])
def test_chunks_do_not_change_a_bit(
    specmath_main: Callable[..., Outcome], save: Callable[..., Path], small_granules: None, chunk: int
) -> None:
    target, draft = some_laws(5)
    path = save(target=target, draft=draft)
    whole = specmath_main("acceptance", path, *ESTIMATED)
    assert specmath_main("acceptance", path, *ESTIMATED, "--chunk", chunk).out == whole.out
    threads = ("--jobs", 2, "--backend", "threading")
    assert specmath_main("acceptance", path, *ESTIMATED, "--chunk", chunk, *threads).out == whole.out


def test_chunk_is_a_number_of_granules() -> None:
    for chunk in (14, 28):
        assert module.chunk_size(VOCABULARY, chunk - 13) == module.chunk_size(VOCABULARY, chunk) == chunk


@pytest.mark.parametrize("extra", [["--jobs", 2, "--backend", "threading"], ["--jobs", 2, "--send-rows"], []])
def test_first_error_wins(
    specmath_main: Callable[..., Outcome], save: Callable[..., Path], small_granules: None, extra: list
) -> None:
    """Whichever worker is the fastest, and with one line on stderr."""
    target, draft = some_laws(40)
    target[[11, 30, 39]] = np.nan
    path = save(target=target, draft=draft)
    outcome = specmath_main("acceptance", path, "--chunk", 2, "--n", 1, *extra)
    outcome.refused(f"error: {path}: target: context 11: ", "finite")


def test_damage_is_seen_before_the_work(specmath_main: Callable[..., Outcome], tmp_path: Path) -> None:
    """A compressed file is read while others work on its beginning; its checksum comes last."""
    target, draft = some_logits(CONTEXTS, 400)
    path = tmp_path / "dump.npz"
    np.savez_compressed(path, target=target, draft=draft)
    content = bytearray(path.read_bytes())
    with open_dump(path) as arrays:
        assert arrays["draft"].mapped is None
    place = content.index(b"draft.npy") + len(content) // 3
    content[place] ^= 1
    path.write_bytes(content)
    for extra in ([], ["--jobs", 2, "--backend", "threading"]):
        specmath_main("acceptance", path, "--logits", "--n", 1, *extra).refused(f"{path}: draft: cannot be read")


def test_dead_worker_is_an_error(
    specmath_main: Callable[..., Outcome], dump: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(calls: object) -> Iterator[Part]:
        raise BrokenProcessPool("killed")
        yield

    monkeypatch.setattr(module, "_outcomes", died)
    specmath_main("acceptance", dump, "--jobs", 2).refused(f"{dump}: a worker process ended", "fewer --jobs")


def test_workers_refuse_what_does_not_fit(dump: Path) -> None:
    """A worker that has other versions, sees no file, or sees another one."""
    with open_dump(dump) as arrays:
        both = pair(dump, arrays, None)
        work = Work(both.source, both.vocabulary, plan([1], ["iid"]), 0, 2)
    assert isinstance(compute_elsewhere(work, 0, 5), Part)
    old = Work(work.source, work.vocabulary, work.todo, 0, 2, {**work.versions, "numpy": "1.0"})

    def refusal(asked: Work) -> str:
        outcome = compute_elsewhere(asked, 3, 5)
        assert isinstance(outcome, tuple)
        first, error = outcome
        assert first == 3
        assert isinstance(error, ValueError)
        return str(error)

    assert "numpy 1.0" in refusal(old)
    dump.write_bytes(dump.read_bytes() + b"!")
    assert "bytes when it was opened" in refusal(work)
    dump.unlink()
    assert "--send-rows" in refusal(work)


@pytest.mark.parametrize("library", ["joblib", "distributed", "ray"])
def test_missing_library(
    specmath_main: Callable[..., Outcome], dump: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    backend = {"joblib": "loky", "distributed": "dask", "ray": "ray"}[library]
    command = 'pip install "specmath[sweep]"' if library == "joblib" else f"pip install {library}"
    specmath_main("acceptance", dump, "--backend", backend).refused(repr(library), command)


def test_no_scheduler(specmath_main: Callable[..., Outcome], dump: Path) -> None:
    pytest.importorskip("distributed")
    outcome = specmath_main("acceptance", dump, "--backend", "dask", "--scheduler", "foo://here:1")
    outcome.refused("--scheduler is 'foo://here:1'", "unknown address scheme")


@pytest.fixture
def cluster() -> Iterator[str]:
    """Address of a Dask scheduler with two workers in this process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address="", protocol="inproc"
    ) as found:
        yield found.scheduler_address


def test_dask_cluster_does_not_change_a_bit(
    specmath_main: Callable[..., Outcome], large: Path, tmp_path: Path, cluster: str
) -> None:
    alone = specmath_main("acceptance", large, *OPTIONS)
    dask = ("--backend", "dask", "--scheduler", cluster, "--chunk", 1)
    for extra in ([], ["--send-rows"], ["--resume", tmp_path / "kept"]):
        other = specmath_main("acceptance", large, *OPTIONS, *dask, *extra)
        assert other.document == alone.document
    wrong = tmp_path / "wrong.npz"
    target, draft = some_logits(CONTEXTS, VOCABULARY)
    target[CONTEXTS - 1, 0] = np.nan
    np.savez(wrong, target=target, draft=draft)
    outcome = specmath_main("acceptance", wrong, *OPTIONS, *dask)
    outcome.refused(f"{wrong}: target: context {CONTEXTS - 1}: ", "NaN")


class Poison:
    """Cannot be unpacked by a worker."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return int, ("this is no number",)


def test_task_that_dask_gives_up_is_an_error(cluster: str) -> None:
    """The cluster fails, not the task, as when workers die: joblib alone would wait for ever."""
    from joblib import Parallel, delayed, parallel_config

    errors: list[str] = []

    def work() -> None:
        with configuration(Workers(backend="dask", scheduler=cluster)) as options, parallel_config(**options):
            try:
                list(Parallel(return_as="generator_unordered")(delayed(str)(one) for one in ("a", Poison(), "b")))
            except ValueError as error:
                errors.append(str(error))

    thread = threading.Thread(target=work, daemon=True)  # were it to wait for ever, the test would not
    thread.start()
    thread.join(timeout=60)
    assert [error.partition("(")[0] for error in errors] == ["the Dask cluster gave up a chunk "]
