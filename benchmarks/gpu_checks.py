"""Sections of `benchmarks/gpu.py` that check: tests on the device, logits against the CPU, the transports' part."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import re
import runpy
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_setting import Setting
    from torch import Tensor

HOME = Path(__file__).resolve().parent
ROOT = HOME.parent
WORKERS = 4
PLAYED = "import pytest\n@pytest.mark.gpu\ndef test_one(): pass\n@pytest.mark.gpu\ndef test_two(): pytest.skip('so')\n"
"""The tests of a rehearsal: those of the project would only be skipped, which takes too long."""


def tests(setting: Setting) -> Iterator[tuple[str, Any]]:
    """Files with tests marked gpu, in one run of pytest, ended when the time is up."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        log.touch()
        if setting.tiny:
            (Path(folder) / "test_played.py").write_text(PLAYED)
            files = [folder]
        else:
            files = gpu_files()
        code = run_tests(files, log, setting.left(), alone=setting.tiny)
        yield "ended", "timeout" if code is None else code
        yield from counted([json.loads(line) for line in log.read_text().splitlines()]).items()
        if code not in (0, None):
            raise RuntimeError(f"pytest ended with {code}; see failures")
        if code is None:
            raise TimeoutError("tests were cut short; the counts are those that ended")


def gpu_files() -> list[str]:
    """Files that may hold tests marked gpu: those that name the mark, and those beside a conftest.py that does.

    To collect all files would take longer, and would need every package that any test needs.
    """
    found = (ROOT / "proofs_tests").rglob("test_*.py")
    return sorted(str(path) for path in found if names_gpu(path) or names_gpu(path.with_name("conftest.py")))


def names_gpu(path: Path) -> bool:
    """Whether a file names the mark."""
    return path.exists() and re.search(r"\bmark\.gpu\b", path.read_text(encoding="utf-8")) is not None


def run_tests(files: Sequence[str], log: Path, limit: float, *, alone: bool) -> int | None:
    """Exit code of pytest, None if the time was up."""
    several = [] if alone or importlib.util.find_spec("xdist") is None else ["-n", str(WORKERS)]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "gpu_pytest", "-p", "no:cacheprovider"]
    paths = os.pathsep.join([str(HOME), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"PYTHONPATH": paths, "SPECMATH_GPU_LOG": str(log), "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command += [
        "--continue-on-collection-errors",
        *several,
        "-c",
        str(ROOT / "pyproject.toml"),
        f"--rootdir={ROOT}",
        *files,
    ]
    process = subprocess.Popen(command, env=env, cwd=ROOT)
    try:
        return process.wait(timeout=max(limit, 1.0))
    except subprocess.TimeoutExpired:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        process.kill()
        process.wait()
        return None


def counted(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts by outcome and by file, reasons of skips, failures with their ends, the slowest tests."""
    lines = list({(line["test"], line["outcome"]): line for line in lines}.values())
    by_file: dict[str, Counter[str]] = {}
    for line in lines:
        by_file.setdefault(line["test"].split("::")[0].split("/")[-1], Counter())[line["outcome"]] += 1
    slowest = sorted(lines, key=lambda line: -line["seconds"])[:5]
    return {
        **{outcome: sum(line["outcome"] == outcome for line in lines) for outcome in ("passed", "failed", "skipped")},
        "by file": {name: dict(own) for name, own in sorted(by_file.items())},
        "skips": dict(Counter(line["why"] for line in lines if line["outcome"] == "skipped")),
        "failures": [{"test": line["test"], "why": line["why"]} for line in lines if line["outcome"] == "failed"][:20],
        "slowest": [[line["test"], line["seconds"]] for line in slowest],
    }


def logits(setting: Setting) -> Iterator[tuple[str, Any]]:
    """Logits of the shipped pair over prompts of its own: one hash on both sides, at once, in chunks, in a batch."""
    from reference import pair
    from reference.pair.prompts import spread

    texts = [pair.encode(prompt.prompt) for prompt in spread(2 if setting.tiny else 8)]
    for arithmetic in ("exact64",) if setting.tiny else ("exact64", "int8", "native"):
        for part in ("draft",) if setting.tiny else ("draft", "target"):
            here, there = (getattr(pair.load(arithmetic=arithmetic, device=d), part) for d in ("cpu", setting.device))
            truth, found = whole(here, texts), whole(there, texts)
            ways = {"cpu": truth, "device": found, "in chunks": chunks(there, texts), "in a batch": batch(there, texts)}
            hashes = {name: digest(rows) for name, rows in ways.items()}
            far = max(float((a - b).abs().max()) for a, b in zip(truth, found, strict=True))
            same = sum(int((a == b).all(dim=-1).sum()) for a, b in zip(truth, found, strict=True))
            yield (
                f"{part} {arithmetic}",
                {
                    "hashes": hashes,
                    "equal": len(set(hashes.values())) == 1,
                    "rows": sum(map(len, truth)),
                    "equal rows": same,
                    "largest difference": far,
                },
            )


def whole(model: Any, texts: Sequence[Sequence[int]]) -> list[Tensor]:
    """Float64 logits (T, V) of each text, on the host."""
    return [_close(state := model.start(), state.extend(text)) for text in texts]


def chunks(model: Any, texts: Sequence[Sequence[int]], size: int = 7) -> list[Tensor]:
    import torch

    found = []
    for text in texts:
        state = model.start()
        parts = [state.extend(text[start : start + size]) for start in range(0, len(text), size)]
        found.append(_close(state, torch.cat(parts)))
    return found


def batch(model: Any, texts: Sequence[Sequence[int]]) -> list[Tensor]:
    from reference.models.protocol import Read

    cache = model.cache(len(texts))
    states = [cache.start() for _ in texts]
    rows = cache.extend([Read(state, text) for state, text in zip(states, texts, strict=True)])
    return [own.double().cpu() for own in rows]


def _close(state: Any, rows: Tensor) -> Tensor:
    state.close()
    return rows.double().cpu()


def digest(rows: Sequence[Tensor]) -> str:
    """SHA-256 of all numbers as float64."""
    own = hashlib.sha256()
    for part in rows:
        own.update(part.contiguous().numpy().astype("<f8").tobytes())
    return own.hexdigest()


def transport(setting: Setting) -> Iterator[tuple[str, Any]]:
    """The part of `benchmarks/transport.py` that runs on the device, as it prints it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(HOME / "transport.py"))["gpu"](0.0 if setting.tiny else 2.0)
    lines = [line.strip() for line in printed.getvalue().splitlines() if line.strip()]
    print("\n".join(lines), flush=True)
    yield "printed", lines
    ratios = {name: float(value) for line in lines for name, value in re.findall(r"^(\w+): ([\d.]+) argsorts", line)}
    yield "argsorts", ratios
    if not setting.tiny and set(ratios) != {"value", "coupling"}:
        raise RuntimeError(f"benchmarks/transport.py measured {sorted(ratios)}; expected value and coupling")
