"""The demo's oracle section: verdicts are the ones due, wrong ones are reported, absent packages are named."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from types import SimpleNamespace

import jsonschema
import pytest

from reference.demo import audits as module
from reference.demo import strangers, terminal
from reference.demo.audits import SUBJECTS, Audits, check
from reference.demo.audits_section import audits_section
from reference.demo.story import Story
from specmath.oracle.adapters import registry


def lines(found: Audits) -> str:
    return "\n".join(terminal._audits(SimpleNamespace(audits=found)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found() -> Audits:
    return check()


def test_verdicts_are_the_ones_due(found: Audits) -> None:
    assert [(one.name, one.passed) for one in found.audited] == [(one.name, True) for one in SUBJECTS]
    assert sum(one.planted for one in found.audited) == 3
    assert [log.passed for log in found.logs] == [True, True]
    assert not found.failures


def test_json_holds_whole_verdicts(found: Audits) -> None:
    schema = json.loads((files("specmath") / "schemas" / "audit.schema.json").read_text())
    for one in found.as_json()["audited"]:
        jsonschema.validate(one["verdict"], schema)
        assert (one["verdict"]["instance"] is None) == (one["due"] == "lossless")


def test_page_and_terminal_show_the_smallest_instance(found: Audits) -> None:
    page, printed = audits_section(found), lines(found)
    for one in found.audited:
        assert one.verdict is not None
        if one.planted:
            assert one.verdict.instance is not None
            assert one.verdict.instance.vocabulary == 2
            for text in (page, printed):
                assert f"instance: {one.verdict.instance.name}; 2 tokens" in text
                assert one.cause in text
    for word in ("seen", "as due"):
        assert word in page
        assert word in printed
    assert "MISSED" not in page + printed


def test_wrong_verdicts_are_reported() -> None:
    """A defect that is none, a right one that is wrong, a defect with another cause."""
    wrong = check(
        subjects=(
            replace(SUBJECTS[1], function=strangers.right),
            replace(SUBJECTS[0], function=strangers.bonus_one_row_early),
            replace(SUBJECTS[1], function=strangers.bonus_one_row_early),
        )
    )
    assert [one.passed for one in wrong.audited] == [False, False, False]
    assert [line.partition(":")[0] for line in wrong.failures] == ["defect not seen", "oracle", "defect not seen"]
    assert "'redraws from the target' is lossless (no cause), due is biased" in wrong.failures[0]
    assert "matches: bonus from the row before" in wrong.failures[1]
    for text in (audits_section(wrong), lines(wrong)):
        assert "MISSED" in text
        assert "NOT AS DUE" in text


def test_logs_that_are_judged_wrongly_are_reported(found: Audits) -> None:
    wrong = Audits(found.audited, tuple(replace(log, due=not log.due) for log in found.logs))
    assert [line.rpartition(": ")[2] for line in wrong.failures] == ["no finding", "a finding"]
    for text in (audits_section(wrong), lines(wrong)):
        assert "FALSE ALARM" in text
        assert "MISSED" in text


def test_failures_are_those_of_the_story(found: Audits) -> None:
    wrong = Audits((), tuple(replace(log, due=not log.due) for log in found.logs))
    rest = {"equality": SimpleNamespace(failures=[]), "acceptance": None, "surprise": {}, "attained": [], "exact": []}
    for one in (found, wrong):
        assert Story.failures.fget(SimpleNamespace(**rest, audits=one)) == one.failures  # type: ignore[attr-defined]


def test_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, **options: object) -> None:
        raise registry.Missing("transformers is not installed")

    monkeypatch.setattr(module, "PUBLISHED", ("transformers.speculative_sampling",))
    monkeypatch.setattr(registry, "audit_adapter", absent)
    left = check(subjects=())
    assert [(one.verdict, one.passed, one.missing) for one in left.audited] == [
        (None, None, "transformers is not installed")
    ]
    assert not left.failures
    for text in (audits_section(left), lines(left)):
        assert "left out" in text
        assert "transformers is not installed" in text


@pytest.mark.slow
def test_published_function_is_shown_and_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr(module, "PUBLISHED", ("transformers.speculative_sampling",))
    (one,) = check(subjects=()).audited
    assert one.verdict is not None, one.missing
    assert one.verdict.status in ("lossless", "unsafe", "biased")
    assert one.passed is None
    assert "no promise" in audits_section(Audits((one,), ()))
