"""The check of a law that is a plain sequence of numbers, fractions among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Rational, Real
from typing import Any

import numpy as np

from specmath.arrays import TOLERANCE
from specmath.exact.explorer import Number


def check_numbers(name: str, law: Any) -> Sequence[Number]:
    """The law as a sequence of plain numbers, unchanged: fractions stay fractions, and nothing is scaled.

    Raises ValueError that begins with ``name`` for what is no sequence, entries that are negative or no finite numbers,
    and a sum other than one: exactly where all entries are rational, within 1e-9 else.

    >>> check_numbers("draft", [0.5, 0.4])
    Traceback (most recent call last):
    ValueError: draft sums to 0.9; allowed is 1 within 1e-09
    """
    numbers: Any = np.asarray(law).tolist() if hasattr(law, "__array__") else law
    if not isinstance(numbers, Sequence) or isinstance(numbers, str) or not numbers:
        raise ValueError(f"{name} is {law!r}; allowed are sequences of one or more numbers")
    for place, number in enumerate(numbers):
        if isinstance(number, bool) or not issubclass(type(number), Real) or not 0 <= number < math.inf:
            raise ValueError(f"{name}[{place}] is {number!r}; allowed are finite numbers >= 0")
    rational = all(isinstance(number, Rational) for number in numbers)
    total, tolerance = sum(numbers), 0 if rational else TOLERANCE["float64"]
    if abs(total - 1) > tolerance:
        raise ValueError(f"{name} sums to {total}; allowed is 1" + ("" if rational else f" within {tolerance:g}"))
    return numbers
