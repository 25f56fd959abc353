"""Every planted defect is caught, by a rung of this suite; so are a defect that is none, and a list with gaps."""

from __future__ import annotations

import contextlib
import random
import re
from pathlib import Path

import pytest

from proofs_tests.equivalence import cases, laws
from proofs_tests.equivalence.ladder import RUNGS, climb
from proofs_tests.equivalence.runs import World
from proofs_tests.equivalence.table import COLUMNS, LADDER, NOTED, planted, uncaught

MOST = 8
PAGE = Path(__file__).resolve().parents[2] / "docs" / "theory" / "equivalence.md"


@pytest.mark.claim("equivalence/coupled", "control")
def test_the_ladder_catches_every_defect() -> None:
    """At most eight cases each; no defect that is on no rung, and none caught only because the decoder is unwell."""
    missed, seen = uncaught(LADDER, MOST)
    print("\n" + "\n".join(f"{name:40} {where}" for name, where in seen.items()))
    assert missed == []
    world = World(cases.at_random(random.Random(0)))
    assert climb(world).failed == {}, "the defects are gone again"


@pytest.mark.claim("equivalence/rejection", "control")
@pytest.mark.parametrize("name", laws.DEFECTS)
def test_the_law_catches_every_defect(name: str) -> None:
    with laws.DEFECTS[name]():
        assert laws.law_fails()
    assert laws.distance(1) == 0


def test_a_defect_that_is_none_is_reported_as_missed() -> None:
    """The meta-test: what has no catcher makes the suite fail."""
    missed, seen = uncaught({"nothing": contextlib.nullcontext}, 2)  # type: ignore[dict-item]
    assert (missed, seen) == (["nothing"], {})


def test_every_noted_bug_is_planted() -> None:
    assert set(NOTED.values()) <= {*LADDER, *laws.DEFECTS}
    assert not set(LADDER) & set(laws.DEFECTS)


def test_defects_fail_where_they_should() -> None:
    """Wrong state shows in bits, wrong choices in tokens only: the rungs are independent."""
    world = World(cases.at_random(random.Random(0)))
    assert "bits" in planted(LADDER["all positions shifted"], world).failed
    assert not {"greedy", "sampled"} & planted(LADDER["all positions shifted"], world).failed.keys()
    assert not {"bits", "logits"} & planted(LADDER["rejected draft emitted"], world).failed.keys()
    assert {*planted(LADDER["log-probabilities of the wrong row"], world).failed} == {"logprobs"}


def test_the_page_shows_every_defect() -> None:
    """The table of docs/theory/equivalence.md: names and columns; `proofs_tests.equivalence.table` prints it."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = [index for index, row in enumerate(rows) if row[0] == "planted defect"]
    assert len(heads) == 1
    assert rows[heads[0]][1:] == list(COLUMNS)
    shown = {row[0]: row[1:] for row in rows[heads[0] + 2 :]}
    assert list(shown) == ["none", *LADDER, *laws.DEFECTS]
    assert all(re.fullmatch(r"\.|", cell) for cell in shown["none"])
    for name in LADDER:
        assert any(cell not in ("", ".") for cell in shown[name][: len(RUNGS) + 1]), name
