"""Bad input to the ground truth and the certificates: the message names the argument and what is allowed."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from specmath.transport import independent_law, joint_optimum, upper_bound

HALF, THIRDS = [0.5, 0.5], [Fraction(1, 3)] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": lambda _: [0.5, 0.4]}, r"target\(\) sums to 0\.9; allowed is 1 within 1e-09"),
        ({"target": lambda text: HALF if not text else [0.5, 0.6]}, r"target\(\d,\) sums to 1\.1"),
        ({"draft": lambda _: [Fraction(1, 3)] * 2}, r"draft\(\) sums to 2/3; allowed is 1$"),
        ({"draft": lambda _: [0.5, math.nan]}, r"draft\(\)\[1\] is nan; allowed are finite numbers >= 0"),
        ({"draft": lambda _: [2.0, -1.0]}, r"draft\(\)\[1\] is -1\.0"),
        ({"target": lambda _: ["0.5", "0.5"]}, r"target\(\)\[0\] is '0\.5'"),
        ({"target": lambda _: 1.0}, r"target\(\) is 1\.0; allowed are sequences"),
        ({"target": lambda _: []}, r"target\(\) is \[\]"),
        ({"target": lambda _: THIRDS}, "target has 3 tokens and draft 2; both laws must be over one vocabulary"),
        ({"draft": lambda text: THIRDS if text else HALF}, r"draft\(\d,\) has 3 tokens, other texts 2"),
        ({"parents": [-1, 5]}, r"parents is \[-1, 5\]; allowed are .* -1 \(root\) or the index of an earlier"),
        ({"parents": [0]}, r"parents is \[0\]"),
        ({"parents": [-2]}, r"parents is \[-2\]"),
        ({"parents": []}, r"parents is \[\]"),
        ({"parents": [-1.0]}, r"parents is \[-1\.0\]; allowed are sequences of whole numbers"),
        ({"parents": [-1] * 3, "drafts": "without_replacement"}, "n is 3: .* the draft has only 2 possible tokens"),
        ({"drafts": "sorted"}, "drafts is 'sorted'"),
        ({"drafts": ["iid"]}, r"drafts is \['iid'\]; allowed are 'iid'"),
    ],
)
def test_joint_optimum(changes: dict[str, Any], message: str) -> None:
    arguments = {"target": lambda _: HALF, "draft": lambda _: HALF, "parents": [-1, 0], **changes}
    with pytest.raises(ValueError, match=message):
        joint_optimum(**arguments)


def test_the_joint_optimum_takes_arrays_and_fractions() -> None:
    found = joint_optimum(lambda _: np.array(HALF), lambda _: [Fraction(1, 4), Fraction(3, 4)], np.array([-1]))
    assert found.accepted == pytest.approx(0.75)


BOUND = {
    "target": np.array(HALF),
    "draft": np.array([0.25, 0.75]),
    "n": 2,
    "cut": np.array([False, True]),
    "drafts": "iid",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "n is 0; allowed are whole numbers >= 1"),
        ({"n": 1.5}, r"n is 1\.5"),
        ({"n": 3, "drafts": "hub"}, "n is 3: drafts='hub' is defined for n = 2 only"),
        ({"drafts": "sorted"}, "drafts is 'sorted'"),
        ({"cut": np.array([0.0, 1.0])}, "cut: dtype float64; allowed are booleans"),
        ({"cut": np.array([0, 1])}, "cut: dtype int64; allowed are booleans"),
        ({"cut": np.array([True, False, True])}, r"cut: shape \(3,\); its last axis must hold the laws' 2 tokens"),
        ({"cut": np.array([True])}, r"cut: shape \(1,\)"),
        ({"cut": np.array(True)}, r"cut: shape \(\)"),
        ({"cut": np.ones((3, 2), bool), "target": np.full((2, 2), 0.5)}, r"cut has leading axes \(3,\), target \(2,\)"),
        ({"draft": np.array([*HALF, 0.0])}, "target has 2 tokens and draft 3"),
        ({"target": np.array([1, 0])}, "target: dtype int64; allowed are float64 and float32"),
        ({"target": "half"}, "target: dtype"),
        ({"drafts": "independent"}, r"draft: shape \(2,\) .* \(\.\.\., 2, V\) for the draft"),
        ({"drafts": "independent", "draft": np.full((3, 2), 0.5)}, r"draft: shape \(3, 2\)"),
    ],
)
def test_upper_bound(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        upper_bound(**(BOUND | changes))


def test_upper_bound_broadcasts_the_cut() -> None:
    both = upper_bound(**(BOUND | {"cut": np.array([[False, True], [False, False]])}))
    assert both.value.tolist() == [pytest.approx(0.9375), pytest.approx(1.0)]


@pytest.mark.parametrize(
    ("drafts", "message"),
    [
        ([HALF, [0.5, 0.4]], r"drafts\[1\] sums to 0\.9"),
        ([HALF, [0.5, -0.5, 1.0]], r"drafts\[1\]\[1\] is -0\.5"),
        ([HALF, THIRDS], r"drafts\[1\] has 3 tokens and drafts\[0\] 2"),
        ([[math.nan, 1.0]], r"drafts\[0\]\[0\] is nan"),
        ([], "drafts: no law"),
        (HALF, r"drafts\[0\] is 0\.5; allowed are sequences"),
    ],
)
def test_independent_law(drafts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        independent_law(drafts)
