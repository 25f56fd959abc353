"""Every notebook runs from top to bottom, and its asserts hold."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.py"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_asserts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    assert "\nassert " in path.read_text(encoding="utf-8")
    runpy.run_path(str(path))


def test_a_false_claim_in_a_notebook_is_seen(tmp_path: Path) -> None:
    """Control: the bias of the wrong rule, misstated."""
    wrong = tmp_path / "wrong.py"
    text = NOTEBOOKS[0].read_text(encoding="utf-8")
    assert "Fraction(15, 100)" in text
    wrong.write_text(text.replace("Fraction(15, 100)", "Fraction(11, 100)"), encoding="utf-8")
    with pytest.raises(AssertionError):
        runpy.run_path(str(wrong))
