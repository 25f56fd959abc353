"""The hand-computed examples reject the rules they are meant to tell apart."""

from __future__ import annotations

from fractions import Fraction

import pytest

from proofs_tests import checks, identities
from proofs_tests.exact.test_identities import path_kept
from proofs_tests.meta import broken_programs as programs
from specmath import rules


@pytest.mark.claim("identity/traversal-example", "control")
def test_stopping_at_the_first_rejection_changes_the_worked_example() -> None:
    assert path_kept(programs.block_intact) == Fraction(2, 3)
    assert path_kept(programs.block_stops_at_first) != Fraction(2, 3)


@pytest.mark.claim("identity/uniform-draft-example", "control")
def test_another_rule_misses_the_values_of_the_uniform_example() -> None:
    """Sampler match; the naive list has the recursive rule's value there, so it would not do."""
    instance = identities.uniform_draft_instance(Fraction(1, 12))
    found = float(checks.exact_acceptance(rules.get("sampler_match"), instance))
    values = identities.uniform_draft_values(Fraction(1, 12))
    assert all(abs(found - value) > 1e-3 for value in values.values())
