"""The public report is what the audits gave, and what the adapters say of themselves."""

from __future__ import annotations

import copy
import json
import re

import pytest

from benchmarks.audits import KEPT, OURS, PAGE
from benchmarks.audits_page import page
from specmath.oracle.adapters import adapters

DOCUMENT = json.loads(KEPT.read_text(encoding="utf-8"))
PUBLISHED = {name: one for name, one in adapters().items() if one.package != OURS}


def disagree(document: dict) -> list[str]:
    """Adapters that are not in the report, or whose verdict there is not the one they expect."""
    kept = document["adapters"]
    return [
        name
        for name, adapter in PUBLISHED.items()
        if name not in kept
        or (kept[name]["verdict"]["status"], kept[name]["family"]) != (adapter.expected, adapter.family)
    ]


def test_every_adapter_is_reported_with_the_verdict_that_it_expects():
    assert disagree(DOCUMENT) == []


@pytest.mark.parametrize("name", ["transformers.universal", "sglang.chain"])
def test_another_verdict_is_seen(name):
    changed = copy.deepcopy(DOCUMENT)
    changed["adapters"][name]["verdict"]["status"] = "unsafe"
    assert disagree(changed) == [name]
    del changed["adapters"][name]
    assert disagree(changed) == [name]


def test_the_page_is_made_from_the_file():
    assert PAGE.read_text(encoding="utf-8") == page(DOCUMENT)


def test_the_page_has_no_path_of_the_machine_that_made_it():
    text = PAGE.read_text(encoding="utf-8")
    assert re.search(r"(?:^|[\s'\"(])/[a-z]+/[a-z]", text) is None
    assert re.search(r"(?:^|[\s'\"(])/[a-z]+/[a-z]", "absent: /srv/some/where")
