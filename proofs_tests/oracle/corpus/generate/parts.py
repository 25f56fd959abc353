"""Pieces that the generate calls share: draws, the ratio test of a chain, drafting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def draw(law: Any, rng: Any) -> int:
    return int(rng.choice(len(law), p=np.asarray(law) / np.sum(law)))


def inverted(law: Any, u: Any) -> int:
    """The token at which the cumulated law exceeds u."""
    edges = np.cumsum(law)
    return int(min(np.searchsorted(edges, u * edges[-1], side="right"), np.flatnonzero(law)[-1]))


def left(target: Any, draft: Any) -> Any:
    rest = np.maximum(target - draft, 0)
    return rest if rest.sum() > 0 else target


def ratio_test(target: Any, draft: Any, tokens: list[int], rng: Any) -> list[int]:
    """Accepted drafts and the token after them; target (K+1, V), draft (K, V)."""
    for i, x in enumerate(tokens):
        if rng.random() * draft[i][x] >= target[i][x]:
            return [*tokens[:i], draw(left(target[i], draft[i]), rng)]
    return [*tokens, draw(target[len(tokens)], rng)]


def rows(target: Callable[..., Any], text: list[int], drafted: list[int]) -> list[Any]:
    """The target's laws at the K + 1 positions of a round."""
    return [target(tuple(text + drafted[:i])) for i in range(len(drafted) + 1)]


def sharpen(law: Any, temperature: float) -> Any:
    powered = np.asarray(law) ** (1 / temperature)
    return powered / powered.sum()


def traced(target: Any, draft: Any, rng: Any, count: int, said: Any, draft_length: int = 2) -> list[dict[str, Any]]:
    """Rounds of the ratio test, one text after another, as a trace; ``said(token, place, target rows, draft rows)`` is
    the probability that is logged for an emitted token."""
    text: list[int] = []
    rounds = []
    for _ in range(count):
        drafted: list[int] = []
        laws = []
        while len(drafted) < draft_length:
            laws.append(draft(tuple(text + drafted)))
            drafted.append(draw(laws[-1], rng))
        wide = rows(target, text, drafted)
        emitted = ratio_test(wide, laws, drafted, rng)
        rounds.append(
            {
                "drafted": drafted,
                "accepted": len(emitted) - 1,
                "emitted": emitted,
                "target_logprobs": [_log(wide[i][x]) for i, x in enumerate(drafted)],
                "draft_logprobs": [_log(laws[i][x]) for i, x in enumerate(drafted)],
                "logprobs": [_log(said(x, i, wide, laws)) for i, x in enumerate(emitted)],
            }
        )
        text += emitted
    return rounds


def _log(probability: float) -> float | None:
    return float(np.log(probability)) if probability > 0 else None
