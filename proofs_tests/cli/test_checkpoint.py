"""A killed sweep goes on where it was, to the bit; a checkpoint that is foreign or damaged is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from proofs_tests.cli.conftest import Outcome, some_laws
from specmath import comparison
from specmath.cli import chunk as chunk_module
from specmath.cli.checkpoint import open_checkpoint
from specmath.comparison import Part

OPTIONS = ("--n", "2", "--drafts", "iid", "without_replacement", "--replicates", "5", "--json")
CHUNKS = 5

KILLED = """
import os, signal, sys
from pathlib import Path
from specmath import comparison
from specmath.cli import main

moment, left = sys.argv[1], int(sys.argv[2])
comparison.ROWS = 2
replace = os.replace

def counted(source, target):
    global left
    chunk = Path(target).name.startswith("contexts-")
    left -= chunk
    if chunk and left == 0 and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
    if chunk and left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = counted
main(sys.argv[3:])
"""


@pytest.fixture(autouse=True)
def small_granules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "ROWS", 2)


@pytest.fixture
def dump(save: Callable[..., Path]) -> Path:
    target, draft = some_laws(2 * CHUNKS - 1)
    return save(target=target, draft=draft)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """First contexts of the granules that are computed from now on."""
    found: list[int] = []
    original = chunk_module.measure

    def noted(first: int, *rest: object, **options: object) -> Part:
        found.append(first)
        return original(first, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(chunk_module, "measure", noted)
    return found


@pytest.mark.parametrize(("moment", "done"), [("before", 2), ("after", 3)])
@pytest.mark.parametrize("jobs", [[], ["--jobs", "2", "--backend", "threading"]], ids=["alone", "threads"])
def test_killed_and_resumed(
    specmath_main: Callable[..., Outcome],
    dump: Path,
    tmp_path: Path,
    measured: list[int],
    moment: str,
    done: int,
    jobs: list[str],
) -> None:
    """SIGKILL at the third chunk, just before or just after its file appears under its name."""
    kept = tmp_path / "kept"
    command = ["acceptance", str(dump), *OPTIONS, "--chunk", "2"]
    resume = ["--resume", str(kept)]
    child = subprocess.run(
        [sys.executable, "-c", KILLED, moment, "3", *command, *resume, *jobs],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert child.stdout == b""
    assert len(list(kept.glob("contexts-*.npz"))) == done
    whole = specmath_main(*command)
    assert len(measured) == CHUNKS
    measured.clear()
    resumed = specmath_main(*command, *resume, *jobs)
    assert (resumed.code, resumed.out, resumed.err) == (0, whole.out, "")
    assert len(measured) == CHUNKS - done
    measured.clear()
    assert specmath_main(*command, *resume).out == whole.out
    assert measured == []


def test_chunks_may_change(
    specmath_main: Callable[..., Outcome], dump: Path, tmp_path: Path, measured: list[int]
) -> None:
    kept = tmp_path / "kept"
    resume = ("--resume", kept)
    whole = specmath_main("acceptance", dump, *OPTIONS, *resume, "--chunk", 2)
    for name in ("contexts-000000000000-000000000002.npz", "contexts-000000000004-000000000006.npz"):
        (kept / name).unlink()
    (kept / "contexts-000000000006-000000000008.npz").unlink()
    measured.clear()
    assert specmath_main("acceptance", dump, *OPTIONS, *resume, "--chunk", 100).out == whole.out
    assert measured == [0, 4, 6]
    assert (kept / "contexts-000000000004-000000000008.npz").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--seed", 1], ["seed is 0 there and 1 now"]),
        (["--replicates", 6], ["replicates is 5 there and 6 now"]),
        (["--n", 1], ["rows is "]),
        (["--logits"], ["logits is null there"]),
    ],
)
def test_another_run(
    specmath_main: Callable[..., Outcome], dump: Path, tmp_path: Path, change: list, words: list
) -> None:
    kept = tmp_path / "kept"
    arguments = ("acceptance", dump, *OPTIONS, "--drafts", "iid", "--resume", kept)
    assert specmath_main(*arguments).code == 0
    before = {path: path.read_bytes() for path in kept.iterdir()}
    outcome = specmath_main(*arguments, *change)
    errors = [line for line in outcome.err.splitlines() if not line.startswith("note: ")]
    Outcome(outcome.code, outcome.out, "\n".join(errors) + "\n").refused(str(kept), "another run", *words)
    assert before == {path: path.read_bytes() for path in kept.iterdir()}


@pytest.mark.parametrize("changed", ["target", "draft"])
def test_another_file(
    specmath_main: Callable[..., Outcome], dump: Path, save: Callable[..., Path], tmp_path: Path, changed: str
) -> None:
    """The same name and shape, one array changed; a copy under another name is the same run."""
    kept = tmp_path / "kept"
    assert specmath_main("acceptance", dump, *OPTIONS, "--resume", kept).code == 0
    copy = tmp_path / "copy.npz"
    copy.write_bytes(dump.read_bytes())
    assert specmath_main("acceptance", copy, *OPTIONS, "--resume", kept).code == 0
    laws: dict[str, np.ndarray] = dict(zip(("target", "draft"), some_laws(2 * CHUNKS - 1), strict=True))
    save(**{**laws, changed: laws[changed][:, ::-1]})
    specmath_main("acceptance", dump, *OPTIONS, "--resume", kept).refused(str(kept), "content is")


def test_other_versions(specmath_main: Callable[..., Outcome], dump: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert specmath_main("acceptance", dump, *OPTIONS, "--resume", kept).code == 0
    about = json.loads((kept / "run.json").read_text())
    (kept / "run.json").write_text(json.dumps({**about, "numpy": "1.0"}))
    specmath_main("acceptance", dump, *OPTIONS, "--resume", kept).refused('numpy is "1.0" there')


def finished(specmath_main: Callable[..., Outcome], dump: Path, tmp_path: Path) -> Path:
    kept = tmp_path / "kept"
    assert specmath_main("acceptance", dump, *OPTIONS, "--resume", kept, "--chunk", 2).code == 0
    return kept


def test_every_flipped_bit_is_seen(specmath_main: Callable[..., Outcome], dump: Path, tmp_path: Path) -> None:
    """A bit here and there in a chunk's file: refused, or read as what it was (a time stamp, say)."""
    kept = finished(specmath_main, dump, tmp_path)
    path, *others = sorted(kept.glob("contexts-*.npz"))
    for other in others:
        other.unlink()
    content = path.read_bytes()
    run = json.loads((kept / "run.json").read_text())
    del run["format"]
    seen = 0
    with open_checkpoint(kept, run) as checkpoint:
        good = checkpoint.parts()[0]
        for place in range(0, len(content), 3):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            try:
                part = checkpoint.parts()[0]
            except ValueError as error:
                assert str(error).startswith(f"{path}: ")  # noqa: PT017
                seen += 1
            else:
                assert np.array_equal(part.values, good.values)
                assert np.array_equal(part.errors, good.errors)
    assert seen > len(content) / 12


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:100]), ["damaged", "delete it"]),
        (lambda path: path.write_bytes(b""), ["damaged", "delete it"]),
        (lambda path: path.rename(path.with_name("contexts-000000000000-000000000003.npz")), ["damaged"]),
        (lambda path: path.rename(path.with_name("contexts-000000000008-000000000010.npz")), ["damaged"]),
        (lambda path: path.with_name("contexts-x.npz").write_bytes(b"?"), ["contexts-x.npz: damaged"]),
        (lambda path: path.with_name("run.json").write_text("{"), ["run.json: damaged"]),
        (lambda path: path.with_name("run.json").write_text("[1]"), ["run.json: damaged"]),
        (lambda path: path.with_name("run.json").unlink(), ["no run.json", "new folder"]),
    ],
)
def test_damage(
    specmath_main: Callable[..., Outcome], dump: Path, tmp_path: Path, damage: Callable[[Path], object], words: list
) -> None:
    kept = finished(specmath_main, dump, tmp_path)
    damage(kept / "contexts-000000000000-000000000002.npz")
    specmath_main("acceptance", dump, *OPTIONS, "--resume", kept).refused(f"error: {kept}", *words)


def test_part_of_another_run(specmath_main: Callable[..., Outcome], dump: Path, tmp_path: Path) -> None:
    """A whole and sound file, copied from the checkpoint of another seed."""
    kept = finished(specmath_main, dump, tmp_path)
    name = "contexts-000000000000-000000000002.npz"
    other = tmp_path / "other"
    assert specmath_main("acceptance", dump, *OPTIONS, "--seed", 9, "--resume", other, "--chunk", 2).code == 0
    (kept / name).write_bytes((other / name).read_bytes())
    specmath_main("acceptance", dump, *OPTIONS, "--resume", kept).refused(name, "belongs to another run")


def test_every_number_of_a_part_is_in_its_digest(tmp_path: Path) -> None:
    """A part written again with one field changed, its digest left as it was: refused, whichever field it is."""
    part = Part(0, np.array([[0.5, 0.25]]), np.array([True]), np.array([[0.1, 0.2]]), correction=1e-9)
    with open_checkpoint(tmp_path / "kept", {"n": 1}) as checkpoint:
        checkpoint.write(part)
        (path,) = checkpoint.folder.glob("contexts-*.npz")
        with np.load(path) as archive:
            held = {name: archive[name] for name in archive.files}
        assert set(held) == {"values", "estimated", "errors", "correction", "key", "digest"}
        for name in ("values", "errors", "correction"):
            np.savez(path, allow_pickle=False, **{**held, name: held[name] + 1e-10})
            with pytest.raises(ValueError, match="its digest differs"):
                checkpoint.parts()
        np.savez(path, allow_pickle=False, **held)
        assert checkpoint.parts()[0].correction == part.correction


@pytest.mark.parametrize(("stop", "fits"), [(256, True), (512, False), (257, False)])
def test_parts_that_overlap_are_refused(tmp_path: Path, stop: int, fits: bool) -> None:
    """Files of contexts 0 to ``stop`` - 1 and 256 to 699."""
    with open_checkpoint(tmp_path / "kept", {"n": 1}) as checkpoint:
        for first, end in ((0, stop), (256, 700)):
            checkpoint.write(Part(first, np.zeros((1, end - first)), np.array([False]), np.zeros((0, end - first))))
        if fits:
            assert [(one.first, one.stop) for one in checkpoint.parts()] == [(0, 256), (256, 700)]
            return
        with pytest.raises(ValueError, match=r"contexts-000000000256-000000000700\.npz: overlaps the file before it"):
            checkpoint.parts()


def test_foreign_places(specmath_main: Callable[..., Outcome], dump: Path, tmp_path: Path) -> None:
    specmath_main("acceptance", dump, *OPTIONS, "--resume", dump).refused(
        f"{dump}: is a file", "--resume takes a folder"
    )
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("precious")
    specmath_main("acceptance", dump, *OPTIONS, "--resume", full).refused(str(full), "no checkpoint")
    assert [path.name for path in full.iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(os.name == "nt", reason="no such lock there")
def test_one_run_at_a_time(specmath_main: Callable[..., Outcome], dump: Path, tmp_path: Path) -> None:
    kept = finished(specmath_main, dump, tmp_path)
    run = json.loads((kept / "run.json").read_text())
    del run["format"]
    with open_checkpoint(kept, run):
        specmath_main("acceptance", dump, *OPTIONS, "--resume", kept).refused(str(kept), "in use by another process")
    assert specmath_main("acceptance", dump, *OPTIONS, "--resume", kept).code == 0
