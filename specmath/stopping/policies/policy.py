"""What the registry knows about a policy."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from specmath.arrays import check_number


@dataclass(frozen=True)
class PolicyKind:
    """A stopping policy by name.

    Attributes
    ----------
    name, purpose, source : registry name, one line, bibliography key with locator.
    make : makes the policy from its parameters; None for one that only a solver makes.
    sees : what it looks at: "nothing", "acceptance" (survival), "draft" (confidence, entropy), "rounds" (what became
        of earlier ones) or "future".
    """

    name: str
    purpose: str
    source: str
    make: Callable[..., Any] | None
    sees: str = "acceptance"


def check_unit(name: str, value: Any) -> Any:
    """The value itself; ValueError unless it is a number from 0 to 1."""
    check_number(name, value, 0.0, 1.0, "numbers from 0 to 1")
    return value


def check_length(name: str, value: Any) -> int:
    """The value as an int; ValueError unless it is a whole number >= 0."""
    try:
        found = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = -1
    if found < 0:
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers >= 0")
    return found
