"""The one depth-first search over choices: re-run a program until every branch with positive probability was taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from numbers import Rational
from typing import TypeVar

Number = int | float | Fraction
"""What probabilities are made of: exact rationals (int, Fraction) or float."""

Outcome = TypeVar("Outcome")


class BudgetError(RuntimeError):
    """The program has more paths than the budget allows; nothing partial is returned."""


def normalised(weights: Sequence[Number], name: str = "weights") -> list[Number]:
    """Weights divided by their sum, exact when all are rational.

    >>> normalised([1, 1, 2])
    [Fraction(1, 4), Fraction(1, 4), Fraction(1, 2)]

    Raises ValueError when a weight is negative or NaN, or when none is positive.
    """
    for index, weight in enumerate(weights):
        if not weight >= 0:
            raise ValueError(f"{name}[{index}] is {weight}; allowed are non-negative numbers")
    total = sum(weights)
    if not 0 < total < float("inf"):
        raise ValueError(f"{name} sum to {total}; at least one must be positive and all finite")
    if isinstance(total, Rational):
        return [Fraction(weight) / Fraction(total) for weight in weights]
    return [weight / total for weight in weights]


class Explorer:
    """Chooses for a program, path after path, until every path of positive probability has been run once.

    A path is the list of branch numbers taken so far. `choose` follows the recorded path and, beyond its end, takes
    the first branch; `paths` then moves to the next path in depth-first order. The program must be a function of its
    choices alone: a replay that is offered other probabilities, or ends early, raises RuntimeError.
    """

    def __init__(self, budget: int) -> None:
        if budget < 1:
            raise ValueError(f"budget is {budget}; at least one path must be allowed")
        self._budget = budget
        self._path: list[int] = []
        self._offered: list[tuple[Number, ...]] = []
        self._depth = 0
        self.probability: Number = Fraction(1)
        self.explored = 0

    def choose(self, probabilities: Sequence[Number]) -> int:
        """Index of the branch to take now; branches of probability zero are never taken."""
        open_branches = [index for index, probability in enumerate(probabilities) if probability > 0]
        if not open_branches:
            raise ValueError("no branch has positive probability")
        if self._depth == len(self._path):
            self._path.append(0)
            self._offered.append(tuple(probabilities))
        elif self._offered[self._depth] != tuple(probabilities):
            raise RuntimeError(
                f"the program is not a function of its choices: choice {self._depth} offered "
                f"{list(self._offered[self._depth])} and, in a replay, {list(probabilities)}"
            )
        branch = open_branches[self._path[self._depth]]
        self._depth += 1
        self.probability = self.probability * probabilities[branch]
        return branch

    def again(self, program: Callable[[], Outcome]) -> Outcome:
        """Run the path that was run last once more; RuntimeError if it offers other choices than it did."""
        known = len(self._path)
        self._depth, self.probability = 0, Fraction(1)
        outcome = program()
        if self._depth != known or len(self._path) != known:
            raise RuntimeError(
                f"the program is not a function of its choices: a replay made {self._depth} choices, and {known} before"
            )
        return outcome

    def paths(self, program: Callable[[], Outcome]) -> Iterator[tuple[Outcome, Number]]:
        """Yield (outcome, probability) of every path; raises BudgetError before path ``budget + 1`` is run."""
        while True:
            if self.explored == self._budget:
                raise BudgetError(
                    f"more than budget={self._budget} paths; raise the budget or shrink the instance "
                    f"(the last path had {len(self._path)} choices)"
                )
            self._depth, self.probability = 0, Fraction(1)
            outcome = program()
            self.explored += 1
            if self._depth < len(self._path):
                raise RuntimeError(
                    f"the program is not a function of its choices: a replay ended after {self._depth} of "
                    f"{len(self._path)} recorded choices"
                )
            yield outcome, self.probability
            while self._path and self._path[-1] + 1 == sum(p > 0 for p in self._offered[-1]):
                self._path.pop()
                self._offered.pop()
            if not self._path:
                return
            self._path[-1] += 1
