"""Checks of draft laws, as functions of the law."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from proofs_tests.checks import BEFORE_ONE, CLOSE, inside_exact, subsets
from proofs_tests.laws import Instance
from specmath import exact
from specmath.draft_laws import DraftLaw
from specmath.exact import law_of_uniforms

Check = Callable[[Instance], None]


def _rows(law: DraftLaw, instance: Instance, uniforms: np.ndarray) -> list[tuple[int, ...]]:
    draft = np.array(instance.draft(()), dtype=float)
    rows = np.broadcast_to(draft, (len(uniforms), len(draft)))
    return [tuple(int(token) for token in row) for row in law.sample(rows, len(instance.parents), uniforms)]


def sample_is_program(law: DraftLaw) -> Check:
    """Law of the ordered tuple that sample gives, from its breakpoints, against program."""

    def check(instance: Instance) -> None:
        n = len(instance.parents)
        judge = exact.law(lambda chance: law.program(chance, instance.draft(()), n))
        found = law_of_uniforms(lambda u: _rows(law, instance, u), max(1, law.uniforms(n)))
        error = float(judge.total_variation(found))
        assert error < CLOSE, f"sample is {error:.3g} off program on {instance}"

    return check


def inside_is_enumeration(law: DraftLaw) -> Check:
    """P(all drafts in H) for every set H, all sets in one batched call."""

    def check(instance: Instance) -> None:
        draft, n = instance.draft(()), len(instance.parents)
        sets = subsets(len(draft))
        members = np.array([[token in chosen for token in range(len(draft))] for chosen in sets])
        rows = np.broadcast_to(np.array(draft, dtype=float), members.shape)
        found = np.asarray(law.inside(rows, n, members))
        want = [float(inside_exact(law, draft, n, chosen)) for chosen in sets]
        np.testing.assert_allclose(found, want, atol=CLOSE, rtol=0)

    return check


def drafts_are_possible(law: DraftLaw) -> Check:
    """At u = 0 and just below one no token of draft probability zero is drafted, and distinct laws stay distinct."""

    def check(instance: Instance) -> None:
        n, count = len(instance.parents), law.uniforms(len(instance.parents))
        corners = np.array(np.meshgrid(*[[0.0, BEFORE_ONE]] * max(1, count))).reshape(max(1, count), -1).T
        support = set(exact.law(lambda chance: law.program(chance, instance.draft(()), n)))
        for tokens in _rows(law, instance, corners):
            assert tokens in support, f"{tokens} cannot be drafted on {instance}"

    return check
