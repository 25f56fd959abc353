"""The prompts written for this project: how many, of which kinds, and that they are nobody else's text."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from reference.pair import corpus, encode
from reference.pair.prompts import kinds, load, spread

PROMPTS = load()


def test_count_and_kinds() -> None:
    assert 90 <= len(PROMPTS) <= 110
    assert len(kinds()) >= 10
    assert min(Counter(one.kind for one in PROMPTS).values()) >= 5


def test_ids_and_texts_are_unique() -> None:
    assert len({one.id for one in PROMPTS}) == len(PROMPTS)
    assert len({one.prompt for one in PROMPTS}) == len(PROMPTS)


@pytest.mark.parametrize("one", PROMPTS, ids=lambda one: one.id)
def test_length(one) -> None:
    assert 15 <= len(one.prompt.encode()) <= 200
    assert 0 not in encode(one.prompt)[1:]


def copied(prompts: list[bytes], library: bytes) -> list[bytes]:
    return [one for one in prompts if len(one) >= 40 and one in library]


def test_no_long_prompt_is_library_text() -> None:
    library = b"\0".join(document.text for document in corpus.documents())
    assert len(library) > 1_000_000
    assert not copied([one.prompt.encode() for one in PROMPTS], library)
    assert copied([library[5000:5060]], library), "the check sees a copy"


def test_spread_visits_all_kinds() -> None:
    assert {one.kind for one in spread(len(kinds()))} == set(kinds())
    assert sorted(spread(len(PROMPTS)), key=lambda one: one.id) == sorted(PROMPTS, key=lambda one: one.id)


@pytest.mark.parametrize("count", [0, -1, len(PROMPTS) + 1])
def test_spread_refuses(count: int) -> None:
    with pytest.raises(ValueError, match=f"prompts is {count}; allowed are 1 to {len(PROMPTS)}"):
        spread(count)


def test_bad_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"id": "a", "kind": "b", "prompt": "c"}\n{"id": "d"}\n')
    with pytest.raises(ValueError, match="line 2"):
        load(file)
