"""Prompt lookup against a search by hand."""

from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs_tests.drafters.propose import proposed, task
from reference import drafters
from reference.decode import Options
from reference.drafters.lookup import LookupDrafting

TEXTS = st.lists(st.integers(0, 2), min_size=1, max_size=24)


def searched(text: list[int], longest: int, shortest: int) -> list[int]:
    """What followed the last occurrence of the longest suffix that has one, place by place."""
    for size in range(longest, shortest - 1, -1):
        for start in range(len(text) - size - 1, -1, -1):
            if text[start : start + size] == text[len(text) - size :]:
                return text[start + size :]
    return []


def check(text: list[int], sizes: tuple[int, int], length: int, most: int) -> None:
    longest, shortest = max(sizes), min(sizes)
    drafter = drafters.lookup(draft_length=length, longest=longest, shortest=shortest)
    found = proposed(drafter, text, most, task(Options(), 3))
    assert list(found.tokens) == searched(text, longest, shortest)[: min(length, most)]
    assert list(found.parents) == list(range(-1, len(found.tokens) - 1))
    assert (found.laws, found.calls) == (None, 0)


@settings(max_examples=300)
@given(TEXTS, st.tuples(st.integers(1, 4), st.integers(1, 4)), st.integers(1, 5), st.integers(0, 5))
def test_lookup_is_the_search_by_hand(text, sizes, length, most):
    check(text, sizes, length, most)


@pytest.mark.parametrize("change", [lambda copied: copied[1:], lambda copied: copied[:-1]])
def test_a_copy_from_the_place_beside_is_caught(change):
    copied = LookupDrafting._copied
    wrong = mock.patch.object(LookupDrafting, "_copied", lambda self, text: change(copied(self, text)))
    with wrong, pytest.raises(AssertionError):
        check([0, 1, 2, 0], (1, 2), 5, 5)


def test_what_lookup_prefers():
    def copied(text, **sizes):
        return list(proposed(drafters.lookup(draft_length=2, **sizes), text, 9, task(Options(), 9)).tokens)

    assert copied([1, 2, 3, 4, 1, 2]) == [3, 4]
    assert copied([1, 2, 3, 7, 2, 5, 1, 2]) == [3, 7]  # the longer suffix
    assert copied([1, 2, 3, 7, 2, 5, 1, 2], longest=1) == [5, 1]  # the later place
    assert copied([1, 2, 3, 7, 4, 2], shortest=2) == []
    assert copied([1]) == copied([1, 2]) == []
    assert copied([1, 1]) == [1]  # it may reach into the suffix itself


@pytest.mark.parametrize("name", ["draft_length", "longest", "shortest"])
@pytest.mark.parametrize("value", [0, 2.5, True])
def test_sizes_that_are_none_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value!r}; allowed are whole numbers >= 1"):
        drafters.lookup(**{name: value})


def test_a_shortest_above_the_longest_is_refused():
    with pytest.raises(ValueError, match="shortest is 4; allowed are at most longest, 3"):
        drafters.lookup(shortest=4)
