"""Different drafters: one candidate from each of n draft laws, Q(H) = prod_l q^l(H), no order of tokens to sort by.

psi(H) = p(H) - Q(H) is submodular. Tokens that no minimiser holds, or every one does, are settled by their marginal
gains; what is left is solved by enumeration (at most 14 tokens) or by Wolfe's minimum-norm point, whose duality gap is
returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from specmath.arrays import Array, CheckedPair, check_count, check_law, check_pair, like, namespace, to_numpy
from specmath.exact import Number
from specmath.exact.check import check_numbers

FloatArray = np.ndarray[Any, Any]

ENUMERATED = 14
ROUNDS = 200
TOLERANCE = 1e-14
MARGIN = 1e-12  # a token whose share equals the gap may be in the only minimiser: rounding must not decide
SETTLED = 0.25  # share of the open tokens that a base must settle to be worth a fresh start


def independent_law(drafts: Sequence[Sequence[Number]]) -> Mapping[tuple[int, ...], Number]:
    """Law of the tuple of one token from each drafter, for `max_flow` and `linear_program`; exact for Fractions.

    Raises ValueError for no laws, laws over different vocabularies, entries that are negative or no finite numbers, and
    laws that do not sum to one (exactly for fractions, within 1e-9 for floats).

    >>> independent_law([[0.5, 0.5], [1, 0]])
    {(0, 0): 0.5, (1, 0): 0.5}
    """
    _check_drafters(drafts)
    found: dict[tuple[int, ...], Number] = {}
    for tokens in product(*(range(len(draft)) for draft in drafts)):
        mass: Number = 1
        for draft, token in zip(drafts, tokens, strict=True):
            mass = mass * draft[token]
        if mass > 0:
            found[tokens] = mass
    return found


def _check_drafters(drafts: Sequence[Sequence[Number]]) -> None:
    if not len(drafts):
        raise ValueError("drafts: no law; allowed are one or more, one for each drafter")
    for place, draft in enumerate(drafts):
        check_numbers(f"drafts[{place}]", draft)
        if len(draft) != len(drafts[0]):
            raise ValueError(
                f"drafts[{place}] has {len(draft)} tokens and drafts[0] {len(drafts[0])}; all laws must be over one "
                "vocabulary"
            )


def check(target: Any, drafts: Any, n: int) -> CheckedPair:
    """Target (..., V) and draft laws (..., n, V), float64 and scaled once, from a sequence of laws or one array."""
    n = check_count("n", n)
    if isinstance(drafts, (list, tuple)):
        if len(drafts) != n:
            raise ValueError(f"draft holds {len(drafts)} laws; n is {n}: drafts='independent' needs one law per draft")
        pairs = [_pair(target, each, place) for place, each in enumerate(drafts)]
        xp = namespace(*(pair.draft for pair in pairs))
        rows = xp.broadcast_arrays(*(pair.draft for pair in pairs))
        known = [pair.correction for pair in pairs]
        p = xp.broadcast_to(pairs[0].target, rows[0].shape)
        worst = None if any(c is None for c in known) else max(c for c in known if c is not None)
        return CheckedPair(p, xp.stack(list(rows), axis=-2), worst)
    q = check_law("draft", drafts)
    shape = tuple(q.values.shape)
    if len(shape) < 2 or shape[-2] != n:
        raise ValueError(f"draft has shape {shape}; drafts='independent' with n = {n} needs (..., {n}, V)")
    return check(target, [drafts[..., place, :] for place in range(n)], n)


def _pair(target: Any, draft: Any, place: int) -> CheckedPair:
    try:
        return check_pair(target, draft)
    except ValueError as error:
        raise ValueError(f"{error} (drafter {place})") from None


def minimise(p: Array, q: Array) -> tuple[Array, Array, Array]:
    """alpha*, a minimising cut and the gap of every row; p (..., V), q (..., n, V); on the host in float64."""
    xp = namespace(p)
    size = p.shape[-1]
    rows = to_numpy(p).astype(np.float64).reshape(-1, size)
    laws = to_numpy(q).astype(np.float64).reshape(len(rows), q.shape[-2], size)
    cut, value, gap = np.zeros(rows.shape, dtype=bool), np.zeros(len(rows)), np.zeros(len(rows))
    for row in range(len(rows)):
        value[row], cut[row], gap[row] = minimise_row(rows[row], laws[row])
    shape = p.shape[:-1]
    alpha, slack = (xp.astype(like(a.reshape(shape), p), p.dtype) for a in (1 + value, gap))
    return alpha, like(cut.reshape(p.shape), p), slack


def minimise_row(p: FloatArray, q: FloatArray) -> tuple[float, FloatArray, float]:
    """min psi, a set that reaches it up to the gap, and the gap; p (V,), q (n, V) each of sum one.

    With L inside every and U around every minimiser looked for, x in U leaves U if p_x > Q(U) - Q(U - x), its largest
    possible gain, and joins L if p_x < Q(L + x) - Q(L), its smallest. A base that comes as near as its gap settles
    more: x leaves if its share exceeds the gap, and joins if it lies below minus the gap. All of that is exact.
    """
    within = np.asarray((q > 0).any(axis=0))
    sure = np.zeros(len(p), dtype=bool)
    while True:
        open_ = np.flatnonzero(within & ~sure)
        top, low = q[:, within].sum(axis=1), q[:, sure].sum(axis=1)
        here = q[:, open_]
        leave = p[open_] > _gain(np.maximum(top[:, None] - here, 0.0), here)
        join = ~leave & (p[open_] < _gain(np.broadcast_to(low[:, None], here.shape), here))
        if not (leave.any() or join.any()):
            best, chosen, gap, base = _remainder(p[open_], here, low)
            leave, join = base > gap + MARGIN, base < -gap - MARGIN
            if gap <= TOLERANCE or leave.sum() + join.sum() < SETTLED * len(open_):
                break
        within[open_[leave]] = False
        sure[open_[join]] = True
    best += float(p[sure].sum() - np.prod(low))
    members = sure.copy()
    members[open_[chosen]] = True
    if best >= -TOLERANCE:  # the empty set, within rounding
        return 0.0, np.zeros_like(sure), max(gap - best, 0.0) if gap > TOLERANCE else 0.0
    return best, members, gap


def _gain(before: FloatArray, more: FloatArray) -> FloatArray:
    """prod(before + more) - prod(before) over the drafters (axis 0), as a sum of non-negative terms."""
    after = before + more
    found = np.zeros(more.shape[1:])
    for place in range(len(more)):
        term = more[place].copy()
        for other in range(len(more)):
            if other != place:
                term *= before[other] if other < place else after[other]
        found += term
    return found


def _vertex(p: FloatArray, q: FloatArray, low: FloatArray, order: FloatArray) -> tuple[FloatArray, float, int]:
    """Greedy base of an order; and the smallest value of its prefixes, with its length."""
    moved = q[:, order]
    after = low[:, None] + np.cumsum(moved, axis=1)
    before = np.concatenate([low[:, None], after[:, :-1]], axis=1)
    steps = p[order] - _gain(before, moved)
    found = np.empty_like(p)
    found[order] = steps
    values = np.cumsum(steps)
    length = int(np.argmin(values))
    return (found, float(values[length]), length + 1) if values[length] < 0 else (found, 0.0, 0)


def _remainder(p: FloatArray, q: FloatArray, low: FloatArray) -> tuple[float, FloatArray, float, FloatArray]:
    """min over S of p(S) - [Q(L + S) - Q(L)], a minimising S as indices, the gap, and a base."""
    size = len(p)
    if size <= ENUMERATED:
        sets = (np.arange(1 << size)[:, None] >> np.arange(size)) & 1
        values = sets @ p - _gain(np.broadcast_to(low[:, None], (len(low), len(sets))), (sets @ q.T).T)
        best = int(np.argmin(values))
        return float(values[best]), np.flatnonzero(sets[best]), 0.0, np.zeros(size)
    return _minimum_norm(p, q, low)


def _minimum_norm(p: FloatArray, q: FloatArray, low: FloatArray) -> tuple[float, FloatArray, float, FloatArray]:
    """Wolfe's algorithm for the base x of least sum x^2 / w, w = the drafters' mean law.

    Any base proves min psi >= sum min(x, 0), any prefix of any order is a set: both only get better, and the loop ends
    when they meet, when the base settles half of the tokens, or after ROUNDS orders.

    Source: wolfe1976nearest, fujishige1980base.
    """
    scale = np.sqrt(np.maximum(q.mean(axis=0), np.finfo(float).tiny))
    order = np.argsort(p / scale**2)
    vertex, best, length = _vertex(p, q, low, order)
    chosen, base, bound = order[:length], vertex, float(np.minimum(vertex, 0.0).sum())
    corners, gram, weights = (vertex / scale)[None], np.array([[np.sum((vertex / scale) ** 2)]]), np.ones(1)
    for _ in range(ROUNDS):
        if best - bound <= TOLERANCE or np.mean(np.abs(base) > best - bound + MARGIN) > 2 * SETTLED:
            break
        order = np.argsort(weights @ corners / scale)
        vertex, value, length = _vertex(p, q, low, order)
        if value < best:
            best, chosen = value, order[:length]
        corners = np.concatenate([corners, (vertex / scale)[None]])
        across = corners @ corners[-1]
        gram = np.block([[gram, across[:-1, None]], [across]])
        kept, weights = _closer(gram, np.append(weights, 0.0))
        corners, gram = corners[kept], gram[np.ix_(kept, kept)]
        point = weights @ corners * scale
        if np.minimum(point, 0.0).sum() > bound:
            base, bound = point, float(np.minimum(point, 0.0).sum())
    return best, chosen, max(best - bound, 0.0), base


def _closer(gram: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Minor cycles: which corners are kept, and the weights of the point of least norm in their hull."""
    kept = np.arange(len(gram))
    while True:
        inner = gram[np.ix_(kept, kept)]
        try:
            solution = np.linalg.solve(inner + np.trace(inner) / len(kept), np.ones(len(kept)))
        except np.linalg.LinAlgError:
            solution = np.linalg.lstsq(inner + 1.0, np.ones(len(kept)), rcond=None)[0]
        affine = solution / solution.sum()
        if (affine > -1e-12).all():
            affine = np.maximum(affine, 0.0)
            return kept, affine / affine.sum()
        falling = affine < weights
        step = np.min(weights[falling] / (weights[falling] - affine[falling]))
        weights = weights + min(step, 1.0) * (affine - weights)
        left = weights > 1e-12
        left[np.argmin(weights)] = False
        kept, weights = kept[left], weights[left] / weights[left].sum()
