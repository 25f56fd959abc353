"""Verifiers of chains as strangers write them: one that is right, and famous mistakes."""

from __future__ import annotations

import torch
from torch import Tensor


def right(target: Tensor, draft: Tensor, tokens: Tensor) -> list[int]:
    """Accept with min(1, p/q), else draw from what is left of the target; one token more after the last."""
    for i, token in enumerate(tokens.tolist()):
        if torch.rand(()) >= target[i, token] / draft[i, token]:
            left = (target[i] - draft[i]).clamp(min=0)
            return [*tokens[:i].tolist(), int(torch.multinomial(left if left.sum() > 0 else target[i], 1))]
    return [*tokens.tolist(), int(torch.multinomial(target[-1], 1))]


def redraws_from_the_target(target: Tensor, draft: Tensor, tokens: Tensor) -> list[int]:
    """After a rejection the token is drawn from the target, not from what is left of it."""
    for i, token in enumerate(tokens.tolist()):
        if torch.rand(()) >= target[i, token] / draft[i, token]:
            return [*tokens[:i].tolist(), int(torch.multinomial(target[i], 1))]
    return [*tokens.tolist(), int(torch.multinomial(target[-1], 1))]


def bonus_one_row_early(target: Tensor, draft: Tensor, tokens: Tensor) -> list[int]:
    """The token after full acceptance is drawn from the law of the place before."""
    for i, token in enumerate(tokens.tolist()):
        if torch.rand(()) >= target[i, token] / draft[i, token]:
            left = (target[i] - draft[i]).clamp(min=0)
            return [*tokens[:i].tolist(), int(torch.multinomial(left if left.sum() > 0 else target[i], 1))]
    return [*tokens.tolist(), int(torch.multinomial(target[len(tokens) - 1], 1))]
