"""verify, as a function of its uniforms, has exactly the law of program."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from proofs_tests import checks
from proofs_tests.laws import for_all, instances
from specmath import rules

CASES = [
    pytest.param(name, drafts, id=f"{name}-{drafts}", marks=pytest.mark.claim(f"verify/{name}", "exact"))
    for name in rules.names()
    if rules.get(name).same_plan
    for drafts in rules.get(name).drafts
]
EXAMPLES = {"node": 40, "chain": 25, "tree": 10}


def with_drafts(name: str, drafts: str, *, nodes: int = 4) -> st.SearchStrategy:
    return st.tuples(instances(name, drafts, paths=100, nodes=nodes), st.integers(0, 200))


@pytest.mark.parametrize(("name", "drafts"), CASES)
def test_law_of_verify_is_the_law_of_program(name: str, drafts: str) -> None:
    rule = rules.get(name)
    nodes = 3 if name in ("k_seq", "spectr") else 4  # its root search makes every evaluation some thirty times dearer
    examples = 5 if name == "spectr" else EXAMPLES[rule.layout]
    for_all(with_drafts(name, drafts, nodes=nodes), checks.verify_is_program(rule), examples=examples)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "drafts"), CASES)
def test_law_of_verify_on_many_more_instances(name: str, drafts: str) -> None:
    rule = rules.get(name)
    nodes, examples = (4, 15) if name == "spectr" else (5, 8 * EXAMPLES[rule.layout])
    for_all(with_drafts(name, drafts, nodes=nodes), checks.verify_is_program(rule), examples=examples)


@pytest.mark.parametrize(("name", "drafts"), [(name, law) for name in rules.names() for law in rules.get(name).drafts])
def test_extreme_uniforms_and_the_accepted_index(name: str, drafts: str) -> None:
    for_all(with_drafts(name, drafts, nodes=6), checks.verdict_is_consistent(rules.get(name), 0), examples=40)


@pytest.mark.parametrize("name", [name for name in rules.names() if rules.get(name).same_plan])
def test_float32_verify_is_close(name: str) -> None:
    """Every breakpoint moves by a few float32 roundings (6e-8 each); V <= 3 and n <= 3 leave it below 1e-5."""
    rule = rules.get(name)

    def check(chosen: tuple) -> None:
        instance, number = chosen
        drafts = checks.realisations(instance)
        tokens, contexts = drafts[number % len(drafts)]
        want = checks.program_law(rule, instance, tokens, contexts)
        found = checks.verify_law(rule, instance, tokens, contexts, np.float32)
        assert float(want.total_variation(found)) < 1e-5

    sample = st.tuples(instances(name, rule.drafts[0], sizes=(2, 3), nodes=3), st.integers(0, 50))
    for_all(sample, check, examples=3 if name == "spectr" else 8)
