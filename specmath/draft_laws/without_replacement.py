"""n distinct tokens, each drawn from what the earlier ones left (Plackett-Luce, or successive sampling)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from specmath.arrays import Array, like, namespace, to_numpy
from specmath.draft_laws.law import DraftLaw
from specmath.draws import categorical, stack_last, without
from specmath.exact import Chance, Number

STEP = 0.125  # of the trapezoid rule in log t: its error falls geometrically, below 1e-13 at this step


def program(chance: Chance, draft: Sequence[Number], n: int) -> tuple[int, ...]:
    left, drawn = list(draft), []
    for _ in range(n):
        drawn.append(chance.draw(left))
        left[drawn[-1]] = 0
    return tuple(drawn)


def sample(draft: Array, n: int, uniforms: Array) -> Array:
    drawn = []
    for j in range(n):
        drawn.append(categorical(draft, uniforms[..., j]))
        draft = without(draft, drawn[-1])
    return stack_last(drawn)


def prefix_masses(ordered: np.ndarray, n: int) -> np.ndarray:
    """P(all n drafts among the first m tokens) for m = 0..V; ordered (B, V) float64 rows, result (B, V + 1).

    Exponential race: token x arrives at time Exp(q_x), the drafts are the first n arrivals, so that with
    l = mass of the tokens outside H

        Q(H) = int_0^inf l e^{-l t} P(at least n of H arrived by t) dt,

    by the trapezoid rule in log t. The truncated Poisson-binomial polynomial of the arrivals is extended token by
    token, O(V n M) for M nodes. Agrees with enumeration to 1e-12 (tested).
    """
    rows, size = ordered.shape
    if not rows:
        return np.zeros((0, size + 1))
    outside = np.zeros((rows, size + 1))
    outside[:, :-1] = np.cumsum(ordered[:, ::-1], axis=1)[:, ::-1]
    smallest = max(1e-300, float(np.min(outside[outside > 0], initial=1.0)))
    log_time = np.arange(np.log(1e-18) / (n + 1), np.log(42.0 / smallest) + STEP, STEP)
    time = np.exp(log_time)
    arrived = np.zeros((rows, n, len(time)))  # arrived[:, j]: P(exactly j of the prefix arrived by t), j < n
    arrived[:, 0] = 1.0
    result = np.empty((rows, size + 1))
    for m in range(size + 1):
        rate = outside[:, m, None]
        enough = np.clip(1.0 - arrived.sum(axis=1), 0.0, 1.0)
        density = STEP * rate * time * np.exp(-rate * time)
        beyond = np.exp(-rate[:, 0] * time[-1]) * enough[:, -1]  # what the last node leaves out
        result[:, m] = np.where(rate[:, 0] > 0, np.sum(density * enough, axis=1) + beyond, 1.0)
        if m < size:
            late = np.exp(-ordered[:, m, None] * time)
            early = -np.expm1(-ordered[:, m, None] * time)
            arrived[:, 1:] = late[:, None] * arrived[:, 1:] + early[:, None] * arrived[:, :-1]
            arrived[:, 0] *= late
    result[:, :n] = 0.0  # fewer than n tokens cannot hold n distinct drafts
    return np.clip(result, 0.0, 1.0)


def inside(draft: Array, n: int, members: Array) -> Array:
    """On the host in float64 (see `prefix_masses`), returned in the caller's library."""
    xp = namespace(draft)
    law = np.atleast_2d(to_numpy(draft).astype(np.float64))
    held = np.atleast_2d(to_numpy(members)) & (law > 0)
    law, held = np.broadcast_arrays(law, held)
    law, held = law.reshape(-1, law.shape[-1]), held.reshape(-1, held.shape[-1])
    order = np.argsort(~held, axis=-1, kind="stable")
    prefixes = prefix_masses(np.take_along_axis(law, order, axis=-1), n)
    found = np.take_along_axis(prefixes, held.sum(axis=-1, keepdims=True), axis=-1)[:, 0]
    shape = np.broadcast_shapes(draft.shape[:-1], members.shape[:-1])
    return xp.astype(like(found.reshape(shape), draft), draft.dtype)


def possible(draft: Array, tokens: Array) -> Array:
    xp = namespace(tokens)
    rising = xp.sort(tokens, axis=-1)
    return xp.all(rising[..., 1:] != rising[..., :-1], axis=-1)


LAW = DraftLaw(
    name="without_replacement",
    purpose="n distinct tokens drawn one after the other, each from what is left",
    program=program,
    sample=sample,
    inside=inside,
    possible=possible,
    uniforms=lambda n: n,
    needs=lambda n, support: (
        "" if n <= support else f"draws n distinct tokens; the draft has only {support} possible tokens"
    ),
    source="jeon2024recursive",
)
