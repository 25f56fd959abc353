"""The rounds of a recorded trace, one drawn after the other: what other policies would have done with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from specmath.exact.explorer import Number
from specmath.stopping.process import Law, State, Token, check_list, check_probabilities


@dataclass(frozen=True)
class Replay:
    """Rounds drawn uniformly from recorded ones; the k-th token of a round is kept with its recorded acceptance.

    Nothing can be drafted behind the last token that was recorded, so policies are compared up to the recorded
    lengths: record with a long fixed length, which ends no round early. A solver that sees the state knows the
    round's future; solve `blind` or a fitted process instead, and evaluate its policy here.

    Attributes
    ----------
    acceptances : for each round the acceptance of its drafted tokens, in [0, 1]; a round may be empty.
    confidences : for each round the draft's probability of each token; None: not known.

    Raises ValueError for no rounds, values outside [0, 1], and shapes that differ.

    >>> Replay([[0.5, 1.0], []]).start()
    ((0.5, (0, 0)), (0.5, (1, 0)))
    """

    acceptances: Sequence[Sequence[Number]]
    confidences: Sequence[Sequence[Number]] | None = None

    def __post_init__(self) -> None:
        if not len(check_list("acceptances", self.acceptances)):
            raise ValueError("acceptances: an empty trace; allowed are one or more rounds")
        for name in ("acceptances", "confidences"):
            rows = getattr(self, name)
            for place, row in enumerate(() if rows is None else check_list(name, rows)):
                if len(check_list(f"{name}[{place}]", row)):
                    check_probabilities(f"{name}[{place}]", row)
        if self.confidences is not None and list(map(len, self.confidences)) != list(map(len, self.acceptances)):
            raise ValueError("confidences has other lengths than acceptances; allowed is one number for each token")

    @property
    def longest(self) -> int:
        """Most tokens drafted in a round."""
        return max(len(row) for row in self.acceptances)

    @classmethod
    def of_trace(cls, rounds: Iterable[Mapping[str, Any] | Any]) -> Replay:
        """From rounds with the fields of ``specmath/schemas/round.schema.json``, mappings or objects.

        The acceptance of a token is min(1, exp(target_logprob - draft_logprob)). Rounds without drafts are left out:
        they are the ends of texts, where no policy was asked. Raises ValueError for an empty trace, trees, and tokens
        that their own draft law cannot have drawn.

        >>> one = {"drafted": [5], "parents": [-1], "draft_logprobs": [0.0], "target_logprobs": [None]}
        >>> Replay.of_trace([one]).acceptances
        ((0.0,),)
        """
        kept, sure = [], []
        for number, one in enumerate(rounds):
            drafted, parents, draft, target = (_field(one, number, name) for name in _FIELDS)
            if list(parents) != list(range(-1, len(drafted) - 1)):
                raise ValueError(f"rounds[{number}] drafted a tree; allowed are chains")
            if any(value is None or value == -math.inf for value in draft):
                raise ValueError(f"rounds[{number}] drafted a token of draft probability zero; allowed are others")
            if drafted:
                logs = [(-math.inf if p is None else p, q) for p, q in zip(target, draft, strict=True)]
                kept.append(tuple(math.exp(min(0.0, p - q)) for p, q in logs))
                sure.append(tuple(math.exp(q) for _, q in logs))
        if not kept:
            raise ValueError("rounds: an empty trace; allowed are one or more rounds with drafted tokens")
        return cls(tuple(kept), tuple(sure))

    def start(self) -> Law:
        share = 1 / len(self.acceptances)
        return tuple((share, (number, 0)) for number in range(len(self.acceptances)))

    def tokens(self, state: State) -> tuple[Token, ...]:
        number, place = state  # type: ignore[misc]
        row = self.acceptances[number]
        if place >= len(row):
            return ()
        sure = None if self.confidences is None else self.confidences[number][place]
        return (Token(1, row[place], (number, place + 1), None, sure),)

    def bonus(self, state: State) -> None:
        return None


_FIELDS = ("drafted", "parents", "draft_logprobs", "target_logprobs")


def _field(one: Mapping[str, Any] | Any, number: int, name: str) -> Any:
    try:
        return one[name] if isinstance(one, Mapping) else getattr(one, name)
    except (KeyError, AttributeError):
        raise ValueError(f"rounds[{number}] has no field {name!r}; allowed are records of the round schema") from None
