"""The models against published tables: bands, provenance, and what a broken model would do to them."""

from __future__ import annotations

import re

import pytest

from proofs_tests.packaging.sources import ROOT
from specmath.speed import chain, validation
from specmath.speed.published import main, report, validate
from specmath.speed.tables import SETS, Row, Validation, load

BANDS = {
    "leviathan": [(0.30, 2), (0.04, 0)],
    "specdecpp": [(0.03, 0)],
    "spec_bench": [(0.015, 1), (0.08, 0)],
    "batch_ladder": [(0.17, 0)] * 4,
    "sequoia": [(1e-4, 0)],
    "magicdec": [(0.18, 0)],
    "specdecode_bench": [(0.06, 0)],
}
"""Band and rows outside of it, per comparison. The rows outside are named in docs/theory/speed.md."""


@pytest.mark.parametrize("name", SETS)
def test_bands(name: str) -> None:
    found = validate([name])
    assert [(one.band, one.outside) for one in found] == BANDS[name]
    for one in found:
        assert one.met, report([one])
        assert len(one.missed) == one.outside, "a row came back into the band: name fewer"


def test_rows_outside_are_these() -> None:
    assert [row.what[:13] for row in validate(["leviathan"])[0].missed] == ["EnDe, T5-larg", "EnDe, T5-larg"]
    assert [row.what for row in validate(["spec_bench"])[0].missed] == ["REST"]


def test_what_the_first_table_implies() -> None:
    """Four rows are faster than drafts for free would be; the two outside of the band need twice the stated cost."""
    rows = load("leviathan")["rows"]
    implied = [
        (chain.expected_tokens(row["acceptance"], row["draft_length"]) / row["speedup"] - 1) / row["draft_length"]
        for row in rows
    ]
    assert sum(c < 0 for c in implied) == 4
    assert [round(c, 2) for c, row in zip(implied, rows, strict=True) if row["draft"] == "T5-large"][:2] == [0.23, 0.28]


def test_fits_have_fewer_parameters_than_rows() -> None:
    for one in validate():
        assert 2 * len(one.fitted) < len(one.rows)


@pytest.mark.parametrize("name", SETS)
def test_provenance(name: str) -> None:
    """Every set says where it is from, as a key of the bibliography, how it was read, and under what setting."""
    data = load(name)
    known = re.findall(r"^@\w+\{(\w+),", (ROOT / "docs" / "references.bib").read_text(), flags=re.MULTILINE)
    assert data["name"] == name
    assert data["source"].split(",")[0] in known
    assert len(data["how"]) > 10
    assert len(data["setting"]) > 10
    assert data["rows"]


def test_every_data_file_is_a_set() -> None:
    files = {path.stem for path in (ROOT / "specmath" / "data" / "published").glob("*.json")}
    assert files == set(SETS) == set(validation.MODELS) == set(BANDS)


def test_broken_models_leave_the_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Controls: no bonus token; drafts for free; another device's overhead."""
    monkeypatch.setattr(validation, "speedup", lambda a, length, c: chain.speedup(a, length, c) - 1 / (length * c + 1))
    assert not validate(["leviathan"])[0].met
    monkeypatch.setattr(validation, "speedup", lambda a, length, c: chain.speedup(a, length, 0.0))
    assert not validate(["leviathan"])[1].met
    monkeypatch.setattr(validation, "expected_tokens", lambda a, length: 1 + a)
    assert not validate(["magicdec"])[0].met
    rows = {(row["device"], row["target"], row["method"]): row for row in load("spec_bench")["rows"]}
    there, here = (rows[device, "Vicuna-7B", "Recycling"] for device in ("A100", "3090"))
    assert there["tokens"] == here["tokens"]
    assert here["tokens"] * there["speedup"] / there["tokens"] > 1.5 * here["speedup"]


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["specdecpp"]) == 0
    assert "GSM8K, best fixed length      published   2.066" in capsys.readouterr().out
    assert main(["nope"]) == 2
    assert "name is 'nope'; allowed are 'leviathan'" in capsys.readouterr().err


def test_missed_bands_are_reported() -> None:
    one = Validation("a", "s", "h", "m", {"x": 1.0}, (Row("r", 2.0, 3.0), Row("nan", 2.0, float("nan"))), 0.3)
    assert not one.met
    assert len(one.missed) == 2
    text = report([one])
    assert "NOT MET" in text
    assert "outside" in text
