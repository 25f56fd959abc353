"""Drafts of a set quality, for measurements of speed: a script says whether a drafted token is the right one.

Shapes: B rows, S places.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reference.random import Stream, fractions, philox


@dataclass(frozen=True)
class Script:
    """Sets how good a draft is, to measure speed: after the draft's own pass each token of a chain is replaced, with
    probability ``agreement`` by the one that will be emitted (``truth`` (B, S), prompts included), else by another.

    The coin of a place is tossed once: a round of draft length k then emits 1 + a + ... + a^k tokens on average.
    """

    truth: Tensor
    agreement: float


class ScriptedTokens:
    """The tokens of a `Script` for every place (B, S), right or not, in one place of memory."""

    def __init__(self, truth: Tensor, words: Tensor) -> None:
        low, high, request = words[..., 0]  # (B, 1) each
        places = torch.arange(truth.shape[1], device=truth.device)
        a, b, _, _ = torch.broadcast_tensors(*philox((0, places, int(Stream.DRAFT), request), (low, high)))
        self._truth, self._coins, self._tokens = truth, fractions(a, b), torch.empty_like(truth)

    def agree(self, agreement: float, size: int) -> None:
        """The true token with this probability, else the one after it; ValueError outside [0, 1]."""
        if not 0 <= agreement <= 1:
            raise ValueError(f"agreement is {agreement}; allowed are numbers from 0 to 1")
        self._tokens.copy_(torch.where(self._coins < agreement, self._truth, (self._truth + 1) % size))

    def at(self, places: Tensor) -> Tensor:
        """Tokens (B, 1) at places (B,)."""
        return self._tokens.gather(1, places[:, None].clamp(max=self._tokens.shape[1] - 1))
