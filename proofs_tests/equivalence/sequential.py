"""A sequential test of rejection mode on the shipped pair, with a false-alarm rate and a power that are proved.

After each of many contexts one token is emitted by the decoder. The bettor knows the target's law p and what a decoder
would emit that draws from p, not from (p - q)^+, after a rejection: a = min(p, q) + TV(p, q) p. It multiplies its
wealth by a(x) / p(x). If tokens follow p the wealth is a martingale: by Ville's inequality it ever reaches 1 / alpha
with probability at most alpha, however long one looks. If they follow a, the alarm is missed after n tokens with
probability at most min over t > 0 of alpha^-t times the product of sum_x a(x) (p(x) / a(x))^t (Chernoff's inequality).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proofs_tests.equivalence.judge import Fresh
from reference import decode, drafters, pair
from reference.models.tiny import TinyModel
from reference.pair import prompts

FALSE_ALARM = 1e-6


@dataclass(frozen=True)
class Bet:
    """A context, the target's law (V,) of the next token, and the law of the defective decoder."""

    text: tuple[int, ...]
    target: NDArray[np.float64]
    defective: NDArray[np.float64]

    @property
    def gains(self) -> NDArray[np.float64]:
        """log a(x) / p(x) of each token."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.target > 0, np.log(self.defective / self.target), 0.0)

    def moment(self, power: float) -> float:
        """Mean of (p(x) / a(x))^power where tokens follow the defective law."""
        return float((self.defective * np.exp(-power * self.gains)).sum())

    @property
    def growth(self) -> float:
        """KL(a || p)."""
        return float((self.defective * self.gains).sum())


def law(model: TinyModel, text: tuple[int, ...]) -> NDArray[np.float64]:
    """softmax of the logits after the text, read without a cache."""
    row = Fresh(model.prepared)(text).double().numpy()
    weights = np.exp(row - row.max())
    return weights / weights.sum()


def bets(models: pair.Pair, count: int, length: int = 12) -> list[Bet]:
    """The beginnings of the shipped prompts, those ``count`` of them on which the wealth grows fastest."""
    found = []
    for prompt in prompts.load():
        text = tuple(pair.encode(prompt.prompt))[:length]
        target, draft = (law(model, text) for model in (models.target, models.draft))
        off = 1 - np.minimum(target, draft).sum()
        found.append(Bet(text, target, np.minimum(target, draft) + off * target))
    return sorted(found, key=lambda bet: -bet.growth)[:count]


def missed(chosen: list[Bet], repeats: int) -> float:
    """Largest probability with which ``repeats`` bets on each context miss the defect."""
    logs = [
        power * math.log(1 / FALSE_ALARM) + repeats * sum(math.log(bet.moment(power)) for bet in chosen)
        for power in np.linspace(0.02, 1, 50)
    ]
    return math.exp(min(0.0, *logs))


def largest_wealth(models: pair.Pair, chosen: list[Bet], repeats: int, *, rows: int = 20) -> tuple[float, int]:
    """Run the test: the largest logarithm of the wealth, and the number of tokens looked at until an alarm."""
    requests = [
        decode.Request(
            prompt=bet.text,
            options=decode.Options(max_tokens=2, seed=seed),  # with room for two the first token is drafted
            drafter=drafters.chain(models.draft, 1),
            rule="token_wise",
        )
        for seed in range(repeats)
        for bet in chosen
    ]
    wealth = largest = 0.0
    batch = decode.Batch(models.target, rows=rows)
    tickets = {batch.submit(request): bet for request, bet in zip(requests, chosen * repeats, strict=True)}
    seen = 0
    while batch.busy:
        for event in batch.step():
            assert isinstance(event.outcome, decode.Round), event.outcome
            if not event.outcome.stop_reason:
                batch.preempt(event.ticket)  # the second token is of no interest
            seen += 1
            wealth += float(tickets[event.ticket].gains[event.outcome.emitted[0]])
            largest = max(largest, wealth)
            if largest >= math.log(1 / FALSE_ALARM):
                return largest, seen
    return largest, seen
