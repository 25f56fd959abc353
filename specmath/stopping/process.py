"""What an acceptance process is: where a text begins, which tokens are drafted there, and how often they are kept.

A process is a finite description that a solver can enumerate and a simulator can draw from. Its states are any
hashable values. A token drafted in a state is one of `Token`: it comes up with a probability, is kept with its
acceptance if all drafted tokens before it were kept, and leads to the next state.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from specmath.exact.check import check_numbers
from specmath.exact.explorer import Number

State = Hashable
Law = tuple[tuple[Number, State], ...]
"""A finite law of states: (probability, state) pairs that sum to one."""


@dataclass(frozen=True)
class Token:
    """One token that may be drafted in a state.

    Attributes
    ----------
    probability : that the draft draws it there, in [0, 1].
    acceptance : P(it is kept | all drafted tokens before it were kept), in [0, 1].
    state : where drafting goes on behind it.
    rejected : law of the state in which the next round begins if this token is the first to be rejected; None: the
        next round begins as the text did, from `Process.start`.
    confidence : the draft's probability of this token; None if the process has no draft laws.
    entropy : entropy in nats of the law that it was drawn from; None if the process has no draft laws.
    """

    probability: Number
    acceptance: Number
    state: State
    rejected: Law | None = None
    confidence: Number | None = None
    entropy: float | None = None


class Process(Protocol):
    """Where acceptance comes from; shared by the exact solver, the exact evaluation and the simulator."""

    def start(self) -> Law:
        """Law of the state in which a text begins."""
        ...

    def tokens(self, state: State) -> tuple[Token, ...]:
        """The tokens that may be drafted in a state, with probabilities that sum to one; () if nothing can be."""
        ...

    def bonus(self, state: State) -> Law | None:
        """Law of the state in which the next round begins if drafting stopped in ``state`` and all was kept: the
        bonus token stands between. None: the next round begins as the text did."""
        ...


def check_probability(name: str, value: Any) -> Number:
    """The value itself; ValueError unless it is a number from 0 to 1.

    >>> check_probability("acceptance", 1.5)
    Traceback (most recent call last):
    ValueError: acceptance is 1.5; allowed are probabilities from 0 to 1
    """
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, bool) or not isinstance(number, int | float | Fraction) or not 0 <= number <= 1:
        raise ValueError(f"{name} is {value!r}; allowed are probabilities from 0 to 1")
    return number


def check_list(name: str, values: Any) -> Any:
    """The values themselves; ValueError unless they are a sequence or an array that holds numbers, or rows of them.

    >>> check_list("acceptances", 0.5)
    Traceback (most recent call last):
    ValueError: acceptances is 0.5; allowed is a sequence
    """
    if isinstance(values, str) or not (isinstance(values, Iterable) and hasattr(values, "__len__")):
        raise ValueError(f"{name} is {values!r}; allowed is a sequence")
    return values


def check_process(process: Any) -> Process:
    """The process itself; ValueError unless it has `Process`'s three methods."""
    if isinstance(process, type) or not all(callable(getattr(process, n, None)) for n in ("start", "tokens", "bonus")):
        raise ValueError(f"process is {process!r}; allowed are processes, such as Constant(0.8): start, tokens, bonus")
    return process


def check_probabilities(name: str, values: Iterable[Any]) -> tuple[Number, ...]:
    """The values as a tuple; ValueError unless there is one or more, each a probability."""
    listed = check_list(name, values)
    found = tuple(check_probability(f"{name}[{place}]", value) for place, value in enumerate(listed))
    if not found:
        raise ValueError(f"{name} is empty; allowed are one or more probabilities")
    return found


def law_of(name: str, weights: Any, states: Iterable[State]) -> Law:
    """Pairs of the law's entries and their states, those of probability zero left out; ValueError if it is no law."""
    return tuple((weight, state) for weight, state in zip(check_numbers(name, weights), states, strict=True) if weight)


def entropy(law: Iterable[Number]) -> float:
    """-sum p log p in nats, for a law given as numbers.

    >>> round(entropy([0.5, 0.5]), 4)
    0.6931
    """
    return -math.fsum(float(p) * math.log(p) for p in law if p > 0)
