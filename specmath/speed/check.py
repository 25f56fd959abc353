"""Checks that the speed models share."""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specmath.arrays import check_number

Floats = NDArray[np.float64]


def probability(name: str, value: Any) -> float:
    """The value as a float in [0, 1], else ValueError."""
    return check_number(name, value, 0.0, 1.0, "numbers from 0 to 1")


def cost(name: str, value: Any) -> float:
    """The value as a finite float >= 0, else ValueError."""
    return check_number(name, value, 0.0, math.nextafter(math.inf, 0.0), "finite numbers >= 0")


def positive(name: str, value: Any) -> float:
    """The value as a finite float > 0, else ValueError."""
    return check_number(name, value, math.ulp(0.0), math.nextafter(math.inf, 0.0), "finite numbers > 0")


def whole(name: str, value: Any) -> int:
    """The value as an int >= 0, else ValueError.

    >>> whole("draft_length", -1)
    Traceback (most recent call last):
    ValueError: draft_length is -1; allowed are whole numbers >= 0
    """
    try:
        found = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = -1
    if found < 0:
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers >= 0")
    return found


def survival_rows(survival: Any, dimensions: int = 1) -> Floats:
    """A survival curve (K,), or one for each request (R, K), as floats: within [0, 1] and never rising."""
    try:
        rows = np.asarray(survival, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"survival is {reprlib.repr(survival)}; allowed are numbers, as many in each row") from None
    if rows.ndim != dimensions or (dimensions == 2 and not len(rows)):
        shape = "(K,)" if dimensions == 1 else "(R, K) with one request or more"
        raise ValueError(f"survival has shape {rows.shape}; allowed is {shape}")
    if not np.all((rows >= 0) & (rows <= 1)):
        raise ValueError("survival holds numbers outside [0, 1]; allowed are probabilities")
    if np.any(np.diff(rows, axis=-1) > 0):
        raise ValueError("survival rises; allowed are P(the first k drafts are all accepted), which never does")
    return rows


def seconds(name: str, law: Callable[..., float], *arguments: Any, least: float = 0.0) -> float:
    """What a cost law says, checked: finite and not below ``least``."""
    if not callable(law):
        raise ValueError(f"{name} is {law!r}; allowed is a function of the number of tokens, such as Line or Curve")
    found = float(law(*arguments))
    if not least <= found < math.inf:
        asked = ", ".join(map(str, arguments))
        raise ValueError(f"{name}({asked}) is {found}; allowed are finite numbers {'> 0' if least else '>= 0'}")
    return found


def probabilities(name: str, values: Sequence[Any]) -> list[float]:
    """A sequence of probabilities as floats, else ValueError naming the first that is none."""
    return [probability(f"{name}[{place}]", value) for place, value in enumerate(values)]
