"""Which of the three bounds on TV decides, and texts of weight zero."""

from __future__ import annotations

import math

import numpy as np
import pytest

from specmath.relax import sequence_bound


@pytest.mark.parametrize(
    ("distance", "kl", "wanted"),
    [
        ([0.05, 0.05], [1.0, 2.0], 0.1),  # the sum of the tokens' TV
        ([0.25, 0.25], [0.01, 0.01], math.sqrt(0.01)),  # Pinsker: sqrt(KL / 2) with KL = 0.02
        ([1.0] * 5, [1.0, 1.0, 0.5, 0.5, 0.0], math.sqrt(1 - math.exp(-3))),  # Bretagnolle and Huber, KL = 3
        ([1.0] * 5, [math.inf] * 5, 1.0),
    ],
)
def test_the_smallest_of_the_bounds(distance: list[float], kl: list[float], wanted: float) -> None:
    found = sequence_bound(distance, kl)
    assert found.total_variation == pytest.approx(wanted, abs=1e-12)
    assert found.kl == pytest.approx(sum(kl), abs=1e-12)


def test_a_text_that_never_occurs_costs_nothing() -> None:
    """Its KL may be infinite: 0 * inf counts as 0, with bounds that stay what they are without the text."""
    distance, kl = np.array([[0.1, 0.2], [1.0, 1.0]]), np.array([[0.03, 0.01], [math.inf, 0.5]])
    found = sequence_bound(distance, kl, weights=[1.0, 0.0])
    assert found == sequence_bound(distance[:1], kl[:1])
    assert found.kl == pytest.approx(0.04)
    assert math.isinf(sequence_bound(distance, kl, weights=[0.5, 0.5]).kl)
