"""Backward induction within a round, on the survivals that can come up.

A plan's worth is linear in the survival S: S times the tokens (and head starts) it brings per unit of survival, minus
the price of what it drafts. So a node keeps two numbers, ``worth`` and ``drafts``, and fractions stay fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from specmath.exact.explorer import BudgetError, Number
from specmath.stopping.chain import Row
from specmath.stopping.compiled import FRESH, Compiled, Move, Starts, key_of, pushed

KEPT = 1
"""Tokens that a kept draft brings."""
BONUS = 1
"""Tokens that a round brings beside those that were drafted: the correction or the bonus."""


@dataclass
class Node:
    """A point of the round: what is known is the survival; what follows is the best plan from here."""

    survival: Number
    worth: Number = 0
    drafts: Number = 0
    go: bool = False


@dataclass(frozen=True)
class Problem:
    """A round to be planned for a given price of time.

    Attributes
    ----------
    process : the numbered process.
    price : tokens that one drafted token costs, rate x cost.
    bias : start of the next round -> its head start in tokens.
    horizon, lag, budget : most drafted tokens, observation lag, most nodes.
    ahead : by number of unseen tokens and state, an upper bound of what drafting on brings per unit of survival.
    """

    process: Compiled
    price: Number
    bias: Mapping[int, Number]
    horizon: int
    lag: int
    budget: int
    ahead: Sequence[Sequence[float]]

    def expected(self, law: Starts) -> Number:
        """Head start of the next round."""
        return self.bias[FRESH] if law is None else sum(weight * self.bias[place] for weight, place in law)

    def unseen(self) -> list[list[Number]]:
        """Worth of stopping, by number of unseen tokens and state, per unit of survival."""
        found = [[self.expected(law) for law in self.process.bonus]]
        for _ in range(self.lag):
            behind = found[-1]
            found.append([sum(self.kept(m, behind) for m in row) for row in self.process.moves])
        return found

    def kept(self, move: Move, behind: Sequence[Number]) -> Number:
        """Worth of an unseen token, times its probability, with the worth of what is unseen behind it."""
        brought = move.acceptance * (KEPT + behind[move.state]) + self.lost(move.acceptance, move.rejected)
        return move.probability * brought

    def lost(self, acceptance: Number, rejected: Starts) -> Number:
        """Worth of a rejection, times its probability."""
        return (1 - acceptance) * self.expected(rejected) if acceptance < 1 else 0

    def settled(self, state: int, survival: Number, unseen: int) -> bool:
        """Whether all that drafting on could bring is worth less than the next token's price."""
        bound = float(survival) * self.ahead[unseen][state]
        return bound * (1 + 1e-9) <= float(self.price) * (1 - 1e-9) or not self.process.moves[state]


Layer = dict[tuple[int, Number], Node]


def induct(problem: Problem, roots: Sequence[tuple[int, Number]], depth: int = 0) -> list[Layer]:
    """The best plan from each root (state, survival) after ``depth`` drafted tokens: a layer of nodes for each depth.

    Ties stop. BudgetError beyond the problem's budget of nodes.
    """
    layers: list[Layer] = [{(state, key_of(survival)): Node(survival) for state, survival in roots}]
    size = len(layers[0])
    for k in range(depth, problem.horizon):
        below: Layer = {}
        for (state, _), node in layers[-1].items():
            if problem.settled(state, node.survival, min(k, problem.lag)):
                continue
            for place, survival in _children(problem, k, state, node.survival):
                below.setdefault((place, key_of(survival)), Node(survival))
        size += len(below)
        if size > problem.budget:
            raise BudgetError(
                f"process: more than {problem.budget} points of a round within {k + 1} drafted tokens; hand in a "
                "shorter horizon, or `Rounded`, which has fewer survivals"
            )
        if not below:
            break
        layers.append(below)
    stop = problem.unseen()
    for level in reversed(range(len(layers))):
        k = depth + level
        unseen = min(k, problem.lag)
        below = layers[level + 1] if level + 1 < len(layers) else {}
        for (state, _), node in layers[level].items():
            node.worth = stop[unseen][state]
            if k < problem.horizon and not problem.settled(state, node.survival, unseen):
                worth, drafts = onward(problem, k, state, node.survival, below)
                gain = node.survival * (worth - node.worth)
                if gain > problem.price * drafts:
                    node.worth, node.drafts, node.go = worth, drafts, True
    return layers


def _children(problem: Problem, k: int, state: int, survival: Number) -> list[tuple[int, Number]]:
    if k < problem.lag:
        return [(state, survival)]
    found = [(m.state, survival * m.acceptance) for m in problem.process.moves[state]]
    return [(place, product) for place, product in found if product]


def onward(problem: Problem, k: int, state: int, survival: Number, below: Layer) -> tuple[Number, Number]:
    """Worth per unit of survival, and drafted tokens, of drafting one more and then going on as planned."""
    if k < problem.lag:
        node = below[state, key_of(survival)]
        return node.worth, 1 + node.drafts
    worth, drafts = 0, 1
    for m in problem.process.moves[state]:
        worth += m.probability * problem.lost(m.acceptance, m.rejected)
        product = survival * m.acceptance
        if product:
            node = below[m.state, key_of(product)]
            worth += m.probability * m.acceptance * (KEPT + node.worth)
            drafts += m.probability * node.drafts
    return worth, drafts


def followed(problem: Problem, layers: Sequence[Layer], root: int) -> Row:
    """What a round from a root with survival 1 brings under the plan."""
    tokens, drafted, capped = BONUS, 0, 0
    after: dict[int, Number] = {}

    def begin(law: Starts, mass: Number) -> None:
        for weight, place in ((1, FRESH),) if law is None else law:
            after[place] = after.get(place, 0) + mass * weight

    def settle(state: int, mass: Number, unseen: int) -> None:
        nonlocal tokens
        row = problem.process.moves[state]
        if not unseen or not row:
            begin(problem.process.bonus[state], mass)
            return
        for m in row:
            part = mass * m.probability
            tokens += part * m.acceptance
            if m.acceptance < 1:
                begin(m.rejected, part * (1 - m.acceptance))
            if m.acceptance:
                settle(m.state, part * m.acceptance, unseen - 1)

    weights: dict[tuple[int, Number], Number] = {(root, 1): 1}
    for k, layer in enumerate(layers):
        below: dict[tuple[int, Number], Number] = {}
        for place, weight in weights.items():
            node, state = layer[place], place[0]
            if not node.go:
                settle(state, weight * node.survival, min(k, problem.lag))
                capped += weight if k == problem.horizon else 0
                continue
            drafted += weight
            if k < problem.lag:
                below[place] = below.get(place, 0) + weight
                continue
            for m in problem.process.moves[state]:
                mass = weight * m.probability
                product = node.survival * m.acceptance
                tokens += mass * product
                if m.acceptance < 1:
                    begin(m.rejected, mass * (node.survival - product))
                if product:
                    child = m.state, key_of(product)
                    below[child] = below.get(child, 0) + mass
        weights = below
    return Row(tokens, drafted, tokens - BONUS, capped, after)


def beyond(process: Compiled, horizon: int, values: Sequence[float]) -> list[float]:
    """E[survival after ``horizon`` tokens x value there], for each state."""
    found = list(values)
    for _ in range(horizon):
        found = pushed(process, found)
    return found
