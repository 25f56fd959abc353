"""From certificates per token to a bound for whole texts, by the chain rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from specmath.arrays import as_array, to_numpy


@dataclass(frozen=True)
class SequenceBound:
    """Upper bounds on the distance of the law of whole texts.

    Attributes
    ----------
    total_variation : bound on TV between the laws of texts, the smallest of three: from the tokens' TV, Pinsker's
        sqrt(KL / 2), and Bretagnolle and Huber's sqrt(1 - exp(-KL)).
    kl : KL of the target's texts against the relaxed ones in nats, or its bound.
    length : tokens per text.
    """

    total_variation: float
    kl: float
    length: int


def sequence_bound(total_variation: Any, kl: Any, *, weights: Any = None, worst_case: bool = False) -> SequenceBound:
    """Bounds on TV and KL of texts of T tokens from the certificates of their tokens.

    Along texts x drawn from the target, with certificates TV_t and KL_t at the context x_<t,

        KL(texts) = E sum_t KL_t (chain rule),    TV(texts) <= E sum_t TV_t.

    If instead every context at position t is known to have TV_t <= e_t and KL_t <= d_t (``worst_case=True``, for
    example because the relaxation had a budget), then TV(texts) <= 1 - prod_t (1 - e_t) and KL(texts) <= sum_t d_t.

    Parameters
    ----------
    total_variation, kl : `Relaxed.total_variation` and `Relaxed.kl` at the T positions of texts drawn from the TARGET,
        shape (texts, T) or (T,); with ``worst_case`` shape (T,), the bounds e_t and d_t.
    weights : probability of each text, shape (texts,); default all equal. With all texts and their probabilities the
        expectation is exact; with sampled texts it is an estimate of the bound.
    worst_case : whether the values bound every context of their position.

    Raises
    ------
    ValueError
        For shapes that differ, no texts or no tokens, values that are negative or NaN, TV above 1, weights that are no
        law.

    >>> found = sequence_bound([0.1, 0.1], [0.02, 0.02], worst_case=True)
    >>> round(found.total_variation, 4), round(found.kl, 4)
    (0.1414, 0.04)
    """
    distance, spent = (
        np.atleast_1d(np.asarray(to_numpy(as_array(name, values)), dtype=np.float64))
        for name, values in (("total_variation", total_variation), ("kl", kl))
    )
    if distance.shape != spent.shape or distance.ndim > 2 or distance.size < 1:
        raise ValueError(
            f"total_variation has shape {distance.shape} and kl {spent.shape}; allowed is one shape (texts, T) or "
            "(T,), with at least one text and one token"
        )
    if not ((distance >= 0) & (distance <= 1 + 1e-9)).all():
        raise ValueError("total_variation: a value lies outside [0, 1]")
    if not (spent >= 0).all():
        raise ValueError("kl: a value is negative or NaN; allowed are numbers >= 0, inf included")
    length = distance.shape[-1]
    if worst_case:
        if distance.ndim != 1 or weights is not None:
            raise ValueError("worst_case: allowed are one bound per position, shape (T,), and no weights")
        walked, kl_bound = 1 - float(np.prod(np.maximum(1 - distance, 0.0))), float(spent.sum())
    else:
        share = _share(weights, distance.reshape(-1, length).shape[0])
        seen = share > 0  # 0 * inf is no contribution
        walked = float(share[seen] @ distance.reshape(-1, length)[seen].sum(axis=-1))
        kl_bound = float(share[seen] @ spent.reshape(-1, length)[seen].sum(axis=-1))
    bounds = (walked, math.sqrt(kl_bound / 2), math.sqrt(-math.expm1(-kl_bound)), 1.0)
    return SequenceBound(min(bounds), kl_bound, length)


def _share(weights: Any, texts: int) -> np.ndarray[Any, Any]:
    if weights is None:
        return np.full(texts, 1 / texts)
    share = np.asarray(to_numpy(as_array("weights", weights)), dtype=np.float64)
    if share.shape != (texts,) or not (share >= 0).all() or abs(share.sum() - 1) > 1e-9:
        raise ValueError(f"weights: allowed are {texts} numbers >= 0 that sum to 1, one per text")
    return share
