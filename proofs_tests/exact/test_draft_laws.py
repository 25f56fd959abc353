"""Draft laws: sample has the law of program, inside is P(all drafts in the set), for every set."""

from __future__ import annotations

import pytest

from proofs_tests import draft_checks
from proofs_tests.laws import for_all, instances
from specmath import draft_laws


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.claim(f"sample/{name}", "exact")) for name in draft_laws.names()]
)
def test_sample_has_the_law_of_program(name: str) -> None:
    law = draft_laws.get(name)
    for_all(instances("sampler_match", name, paths=100), draft_checks.sample_is_program(law), examples=30)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.claim(f"inside/{name}", "exact")) for name in draft_laws.names()]
)
def test_inside_is_enumeration(name: str) -> None:
    law = draft_laws.get(name)
    for_all(instances("sampler_match", name, paths=100), draft_checks.inside_is_enumeration(law), examples=40)


@pytest.mark.parametrize("name", draft_laws.names())
def test_extreme_uniforms_draft_possible_tokens(name: str) -> None:
    law = draft_laws.get(name)
    for_all(instances("sampler_match", name), draft_checks.drafts_are_possible(law), examples=60)


@pytest.mark.parametrize(
    ("name", "n", "support"),
    [("without_replacement", 3, 2), ("greedy", 3, 2), ("top_k", 3, 2), ("hub", 2, 1), ("hub", 3, 3), ("iid", 0, 2)],
)
def test_impossible_numbers_of_drafts_are_refused(name: str, n: int, support: int) -> None:
    draft = [1.0 / support] * support + [0.0] * (3 - support)
    with pytest.raises(ValueError, match=f"n is {n}"):
        draft_laws.get(name).law(draft, n)


def test_unknown_draft_law_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'nope'; allowed are 'iid'"):
        draft_laws.get("nope")
