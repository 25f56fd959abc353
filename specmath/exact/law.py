"""The exact law of a program, and what one asks of laws."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from numbers import Rational
from typing import Any

from specmath.exact.chance import Chance, Enumerated, Sampled
from specmath.exact.explorer import Explorer, Number

Program = Callable[[Chance], Hashable]
DEFAULT_BUDGET = 100_000


class Law(Mapping[Any, Number]):
    """A finite law: outcome -> probability (> 0), and the number of paths that led to it.

    >>> from fractions import Fraction
    >>> fair = law(lambda chance: chance.flip(Fraction(1, 2)))
    >>> fair[True], fair[None], fair.paths
    (Fraction(1, 2), 0, 2)
    """

    def __init__(self, probabilities: Mapping[Any, Number], paths: int = 0) -> None:
        self._probabilities = {outcome: p for outcome, p in probabilities.items() if p > 0}
        self.paths = paths

    def __getitem__(self, outcome: Hashable) -> Number:
        return self._probabilities.get(outcome, 0)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._probabilities)

    def __len__(self) -> int:
        return len(self._probabilities)

    def __contains__(self, outcome: object) -> bool:
        return outcome in self._probabilities

    def __repr__(self) -> str:
        return f"Law({self._probabilities!r}, paths={self.paths})"

    def map(self, function: Callable[[Any], Hashable]) -> Law:
        """Law of ``function(outcome)``."""
        image: dict[Hashable, Number] = {}
        for outcome, probability in self.items():
            key = function(outcome)
            image[key] = image.get(key, 0) + probability
        return Law(image, self.paths)

    def mean(self, function: Callable[[Any], Number]) -> Number:
        """Expected value of ``function(outcome)``."""
        return sum(probability * function(outcome) for outcome, probability in self.items())

    def total_variation(self, other: Mapping[Any, Number]) -> Number:
        """Half the sum of absolute differences, 1/2 sum |P - Q|."""
        outcomes = {*self, *other}
        return sum(abs(self[o] - other.get(o, 0)) for o in outcomes) / 2


def law(program: Program, *, budget: int = DEFAULT_BUDGET) -> Law:
    """Exact law of a program's outcome, by depth-first enumeration of its choices.

    ``draw`` takes weights of any positive sum. Over Fractions when the program's probabilities are rational, in float
    otherwise. Choices of probability zero are never explored. Raises `BudgetError` if there are more than ``budget``
    paths, and RuntimeError for a program that is not a function of its choices.

    >>> law(lambda chance: chance.draw([1, 2]) + chance.draw([1, 1]))
    Law({0: Fraction(1, 6), 1: Fraction(1, 2), 2: Fraction(1, 3)}, paths=4)
    """
    explorer = Explorer(budget)
    chance = Enumerated(explorer)
    found: dict[Hashable, Number] = {}
    for outcome, probability in explorer.paths(lambda: program(chance)):
        found[outcome] = found.get(outcome, 0) + probability
    total = sum(found.values())
    if abs(total - 1) > (0 if isinstance(total, Rational) else 1e-9):
        raise RuntimeError(f"the program is not a function of its choices: its paths have total probability {total}")
    return Law(found, explorer.explored)


def sample(program: Program, rounds: int, *, seed: int) -> list[Hashable]:
    """Outcomes of ``rounds`` independent runs of the same program, drawn from a seeded generator.

    >>> sample(lambda chance: chance.draw([0, 1]), 3, seed=0)
    [1, 1, 1]
    """
    chance = Sampled(seed)
    return [program(chance) for _ in range(rounds)]
