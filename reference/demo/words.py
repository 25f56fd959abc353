"""Numbers as the terminal and the report write them."""

from __future__ import annotations

from reference.demo.evidence import Estimate


def between(estimate: Estimate, digits: int = 2, scale: float = 1.0) -> str:
    """A value and its interval.

    >>> between(Estimate(0.5, 0.25, 0.75))
    '0.50 [0.25, 0.75]'
    >>> between(Estimate(0.5, None, None))
    '0.50'
    """
    value = fixed(scale * estimate.value, digits)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{fixed(scale * estimate.low, digits)}, {fixed(scale * estimate.high, digits)}]"


def fixed(value: float, digits: int) -> str:
    """A number with so many digits; what rounds to zero has no sign.

    >>> fixed(-1e-9, 2), fixed(-1.0, 2)
    ('0.00', '-1.00')
    """
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def chance(bound: float) -> str:
    """An upper bound of a p-value.

    >>> chance(1.0), chance(0.25), chance(3e-9)
    ('1', '0.25', '3e-09')
    """
    return f"{bound:.2g}"
