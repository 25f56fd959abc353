"""Running the command line inside the test process, and dumps to run it on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specmath.cli import main


@dataclass(frozen=True)
class Outcome:
    """What one run of the command line left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)

    def refused(self, *words: str) -> None:
        """Exit code 2, nothing on stdout, one line on stderr that holds every one of ``words``."""
        assert self.code == 2, self
        assert self.out == ""
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        assert ": error: " in self.err
        for word in words:
            assert word in self.err


@pytest.fixture
def specmath_main(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run(*arguments: object) -> Outcome:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def some_logits(contexts: int = 5, vocabulary: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a target and a draft that resemble each other; the same on every call."""
    generator = np.random.default_rng(2)
    target = 2 * generator.normal(size=(contexts, vocabulary))
    return target, target + generator.normal(size=(contexts, vocabulary))


def some_laws(contexts: int = 5, vocabulary: int = 6) -> tuple[np.ndarray, np.ndarray]:
    weights = [np.exp(logits) for logits in some_logits(contexts, vocabulary)]
    target, draft = (w / w.sum(axis=-1, keepdims=True) for w in weights)
    return target, draft


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write an .npz with these arrays and return its path."""

    def write(**arrays: Any) -> Path:
        path = tmp_path / "dump.npz"
        np.savez(path, **arrays)
        return path

    return write


@pytest.fixture
def dump(save: Callable[..., Path]) -> Path:
    target, draft = some_laws()
    return save(target=target, draft=draft)


@contextmanager
def only_named_errors(path: Path) -> Iterator[None]:
    """Lets ValueErrors pass that name the file; everything else fails the test."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(str(path)):
            raise
