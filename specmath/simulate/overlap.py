"""Ways to draft while the target verifies, as options of `specmath.simulate.simulate`."""

from __future__ import annotations

from dataclasses import dataclass

from specmath.arrays import check_count
from specmath.speed.check import cost, probability


@dataclass(frozen=True)
class Pearl:
    """The draft writes the next block of L while the target verifies what is there; both are waited for.

    The target's last logits judge the first token of the block being drafted. All accepted: the rest of that block
    is verified next, no bonus token. A rejection throws the block away. A step reads one token after a rejection, L
    otherwise; ``verify`` decides what that costs.

    Source: liu2025pearl; closed form: `specmath.speed.pearl`.
    """


@dataclass(frozen=True)
class Dsi:
    """Blocks of L are drafted without a wait, each is verified by a server of its own, and the target decodes alone.

    A segment ends with its first rejection or with the text, when the drafts are verified or the target alone is there,
    whichever is first. If it is the target alone, the records are those of plain decoding.

    Attributes
    ----------
    targets : copies of the target that verify, beside the one that decodes alone, >= 1; None: as many as are needed.

    Raises ValueError for a count below 1.

    Source: timor2025dsi; closed form: `specmath.speed.dsi`.
    """

    targets: int | None = None

    def __post_init__(self) -> None:
        if self.targets is not None:
            check_count("targets", self.targets)


@dataclass(frozen=True)
class Overlapped:
    """After a share of its pass the target has a guess at what the round will emit; the next drafts begin from there.

    Where the guess is wrong the round after drafts anew; so does a text's first round.

    Attributes
    ----------
    early : share of the pass after which the guess exists, in [0, 1].
    hit : P(the guess is right), independent of everything else.
    transfer : time to hand over, each round, >= 0.

    Raises ValueError for numbers out of range.

    Source: bhendawade2025mirror describes the schedule; closed form: `specmath.speed.overlapped`.
    """

    early: float
    hit: float
    transfer: float = 0.0

    def __post_init__(self) -> None:
        probability("early", self.early)
        probability("hit", self.hit)
        cost("transfer", self.transfer)


Overlap = Pearl | Dsi | Overlapped
