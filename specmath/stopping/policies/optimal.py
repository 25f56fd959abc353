"""The policy that `solve` found: on every point of a round, and its thresholds in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from specmath.exact.explorer import Number
from specmath.stopping.compiled import Compiled, key_of
from specmath.stopping.costs import Costs
from specmath.stopping.induction import Layer, Problem, induct, onward
from specmath.stopping.policies.policy import PolicyKind, check_length
from specmath.stopping.policies.table import Table
from specmath.stopping.view import View, needed

MOST_STEPS = 200


@dataclass(frozen=True)
class Planned:
    """The plan of one closed class of round starts, with its certificate (see `Solution`)."""

    problem: Problem
    layers: Sequence[Layer]
    rate: Number
    gap: float
    truncation: float
    iterations: int


@dataclass(frozen=True)
class Optimal:
    """Drafts one more token if and only if the survival lies above the boundary of this place and state.

    Made by `solve`; needs ``latent`` and ``survival`` with the lag that it was solved for. Raises ValueError for a
    state that the process does not have.
    """

    process: Compiled = field(repr=False)
    plans: Sequence[Planned] = field(repr=False)
    owner: Mapping[int, int] = field(repr=False)
    costs: Costs = field(repr=False)
    sequential = False
    _known: dict[tuple[int, int], Number] = field(default_factory=dict, init=False, repr=False, compare=False)

    def _place(self, latent: Any) -> int:
        place = self.process.number.get(latent)
        if place is None:
            raise ValueError(f"latent is {latent!r}; allowed are the {len(self.process.states)} states of the process")
        return place

    def decide(self, state: View) -> bool:
        place, survival = self._place(state.latent), needed("optimal", state.survival, "survival")
        layers = self.plans[self.owner[place]].layers
        if state.drafted < len(layers):
            node = layers[state.drafted].get((place, key_of(survival)))
            if node is not None:
                return node.go
        return survival > self.boundary(state.drafted, state.latent)

    def boundary(self, drafted: int, latent: Any) -> Number:
        """The survival up to which stopping is best after ``drafted`` tokens in this state; 1 if it always is.

        Newton's iteration on the gain of drafting on, which is convex and piecewise linear in the survival: finite,
        and exact for rationals.
        """
        place = self._place(latent)
        if (drafted, place) not in self._known:
            self._known[drafted, place] = self._boundary(drafted, place)
        return self._known[drafted, place]

    def _boundary(self, drafted: int, place: int) -> Number:
        problem = self.plans[self.owner[place]].problem
        unseen = min(drafted, problem.lag)
        survival: Number = 1
        for _ in range(MOST_STEPS):
            if drafted >= problem.horizon or problem.settled(place, survival, unseen):
                return survival
            layers = induct(problem, [(place, survival)], drafted)
            worth, drafts = onward(problem, drafted, place, survival, layers[1] if len(layers) > 1 else {})
            slope, price = worth - problem.unseen()[unseen][place], problem.price * drafts
            if survival * slope <= price * (1 + 1e-13 if isinstance(price, float) else 1):
                return survival
            survival = price / slope
        return survival

    def table(self, length: int) -> Table:
        """The boundaries of the first ``length`` places as plain numbers; nothing is drafted beyond them."""
        rows = range(min(check_length("length", length), self.plans[0].problem.horizon))
        return Table([{latent: self.boundary(drafted, latent) for latent in self.process.states} for drafted in rows])

    def observe(self, drafted: int, accepted: int) -> None:
        pass

    def memory(self) -> None:
        return None

    def restore(self, memory: Any) -> Optimal:
        return self


KIND = PolicyKind(
    "optimal",
    "survival above the exact boundary of its place and state; made by solve()",
    "huang2024specdecpp, Section 3; proof in docs/theory/stopping.md",
    None,
)
