"""A bandit over draft lengths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from specmath.arrays import check_number
from specmath.stopping.costs import Costs
from specmath.stopping.policies.policy import PolicyKind, check_length
from specmath.stopping.view import View


@dataclass
class Bandit:
    """Upper confidence bounds over fixed draft lengths, for emitted tokens per cost.

    A round with length K uses the K whose tokens / cost so far, plus ``width`` (K + 1) / cost of K x
    sqrt(2 log rounds / rounds with K), is largest; lengths never used come first. The ratio of the sums is estimated,
    not the mean of ratios, because that ratio is what throughput is; (K + 1) / cost is the most that a round can bring.

    Attributes
    ----------
    lengths : the draft lengths (m,), distinct, >= 0.
    costs : of a round.
    width : of the confidence bound, >= 0.

    >>> policy = Bandit((1, 4), Costs(0.1))
    >>> for accepted in (1, 2):
    ...     policy.observe(policy.draft_length, accepted)
    >>> policy.rounds, policy.tokens
    ([1, 1], [2, 3])
    """

    lengths: Sequence[int]
    costs: Costs
    width: float = 0.25
    rounds: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    sequential = False

    def __post_init__(self) -> None:
        if not isinstance(self.lengths, Iterable):
            raise ValueError(f"lengths is {self.lengths!r}; allowed are one or more distinct whole numbers >= 0")
        self.lengths = tuple(check_length("lengths", length) for length in self.lengths)
        if not self.lengths or len(set(self.lengths)) != len(self.lengths):
            raise ValueError(f"lengths is {self.lengths!r}; allowed are one or more distinct whole numbers >= 0")
        check_number("width", self.width, 0.0, math.inf, "numbers >= 0")
        self.rounds = self.rounds or [0] * len(self.lengths)
        self.tokens = self.tokens or [0] * len(self.lengths)

    @property
    def draft_length(self) -> int:
        """The length of the next round."""
        return self.lengths[self._arm()]

    def _arm(self) -> int:
        if 0 in self.rounds:
            return self.rounds.index(0)
        both = 2 * math.log(sum(self.rounds))
        scores = []
        for length, rounds, tokens in zip(self.lengths, self.rounds, self.tokens, strict=True):
            cost = float(self.costs.round(length))
            scores.append(tokens / (rounds * cost) + self.width * (length + 1) / cost * math.sqrt(both / rounds))
        return scores.index(max(scores))

    def decide(self, state: View) -> bool:
        return state.drafted < self.draft_length

    def observe(self, drafted: int, accepted: int) -> None:
        """Books the round to the arm that drafted it; a round cut short by the end of a text is left out."""
        arm = self._arm()
        if drafted == self.lengths[arm]:
            self.rounds[arm] += 1
            self.tokens[arm] += accepted + 1

    def memory(self) -> Any:
        return [list(self.rounds), list(self.tokens)]

    def restore(self, memory: Any) -> Bandit:
        rounds, tokens = ([], []) if memory is None else memory
        return Bandit(self.lengths, self.costs, self.width, list(rounds), list(tokens))


KIND = PolicyKind(
    "bandit", "learns the best of several lengths", "hou2025banditspec (UCBSpec); auer2002finite", Bandit, "rounds"
)
