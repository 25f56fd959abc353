"""Optima whose cut is a prefix of the tokens in rising order of p/q: one sort, cumulative sums, one maximum."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from specmath.arrays import Array, is_concrete, like, namespace, to_numpy
from specmath.draft_laws.race import best_prefix
from specmath.draws import ratio
from specmath.transport.search import power


class Scan(NamedTuple):
    """The prefixes of two laws: ``order`` of the tokens, ordered laws, their cumulative sums, all (..., V)."""

    order: Array
    target: Array
    draft: Array
    missed: Array
    held: Array


def rising(target: Array, draft: Array) -> Array:
    """Tokens in rising order of p/q, ties in any order, tokens that are never drafted last; (..., V)."""
    xp = namespace(target)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # Scaled so that no quotient overflows; 0/0 is NaN, which every library sorts behind inf.
        steep = target * (xp.finfo(target.dtype).eps / 4) / draft
    return xp.argsort(steep, axis=-1, stable=False)


def scan(target: Array, draft: Array) -> Scan:
    """One sort and two cumulative sums, which every prefix law starts from."""
    xp = namespace(target)
    order = rising(target, draft)
    if order.ndim == 1:
        p, q = xp.take(target, order), xp.take(draft, order)
    else:
        p, q = xp.take_along_axis(target, order, axis=-1), xp.take_along_axis(draft, order, axis=-1)
    return Scan(order, p, q, xp.cumulative_sum(p, axis=-1), xp.cumulative_sum(q, axis=-1))


def first(order: Array, count: Array) -> Array:
    """Boolean (..., V): the first ``count`` (...) tokens of the order."""
    xp = namespace(order)
    size = order.shape[-1]
    if array_api_compat.is_torch_array(order):
        chosen = xp.arange(size, device=order.device) < count[..., None]
        return xp.zeros(order.shape, dtype=xp.bool, device=order.device).scatter(-1, order, chosen)
    if array_api_compat.is_numpy_array(order):
        cut = np.zeros(order.shape, dtype=bool)
        for row in np.ndindex(order.shape[:-1]):
            cut[row][order[row][: count[row]]] = True
        return cut
    chosen = xp.broadcast_to(xp.arange(size) < count[..., None], order.shape)
    return xp.take_along_axis(chosen, xp.argsort(order, axis=-1), axis=-1)


def _best(order: Array, gain: Array) -> tuple[Array, Array]:
    """Acceptance and cut from the gains of the non-empty prefixes; the empty one gains 0.

    The first of equal gains is taken, so tokens that neither law wants stay outside the cut.
    """
    xp = namespace(gain)
    top = xp.max(gain, axis=-1)
    count = xp.where(top > 0, xp.argmax(gain, axis=-1) + 1, xp.zeros_like(xp.argmax(gain, axis=-1)))
    return 1 - xp.where(top > 0, top, xp.zeros_like(top)), first(order, count)


def iid(p: Array, q: Array, n: int) -> tuple[Array, Array]:
    """alpha* and cut of n independent draws: Q(H) = q(H)^n."""
    found = scan(p, q)
    return _best(found.order, power(found.held / found.held[..., -1:], n) - found.missed)


def without_replacement(p: Array, q: Array, n: int) -> tuple[Array, Array]:
    """alpha* and cut of n distinct draws: closed form for n <= 2, else the exponential race on the host."""
    if n == 1:
        return iid(p, q, 1)
    found = scan(p, q)
    if n == 2:
        return _best(found.order, pair_masses(found.draft) - found.missed)
    gain, count = _race(found.target, found.draft, n)
    return 1 - gain, first(found.order, count)


def pair_masses(ordered: Array) -> Array:
    """P(two distinct drafts among the first m tokens), m = 1..V, of ordered laws (..., V).

    Q(H) = sum over x != y in H of b_x q_y with b = q / (1 - q). For the likeliest token 1 - q is the sum of the
    others and its terms are kept apart, so that nothing is lost when it holds nearly all mass.
    """
    xp = namespace(ordered)
    place = xp.argmax(ordered, axis=-1)
    top = xp.max(ordered, axis=-1)[..., None]
    tokens = xp.cumulative_sum(xp.ones_like(place[..., None] + xp.zeros_like(ordered, dtype=place.dtype)), axis=-1) - 1
    passed = tokens >= place[..., None]
    others = xp.where(tokens == place[..., None], xp.zeros_like(ordered), ordered)
    odds = others / (1 - others)
    q, b = xp.cumulative_sum(others, axis=-1), xp.cumulative_sum(odds, axis=-1)
    among = q * b - xp.cumulative_sum(others * odds, axis=-1)
    among = xp.where(among > 0, among, xp.zeros_like(among))
    with_top = top * (ratio(q, q[..., -1:]) + b)
    return among + xp.where(passed, with_top, xp.zeros_like(with_top))


def _race(p: Array, q: Array, n: int) -> tuple[Array, Array]:
    """Gain and length of the best prefix of ordered laws, on the host; a callback under jax's tracers."""
    xp = namespace(p)

    def host(target: Any, draft: Any) -> tuple[np.ndarray, np.ndarray]:
        rows = [np.asarray(a, dtype=np.float64).reshape(-1, p.shape[-1]) for a in (target, draft)]
        gain, count = best_prefix(rows[0], rows[1], n)
        return gain.reshape(target.shape[:-1]), count.reshape(target.shape[:-1])

    if not is_concrete(p) and array_api_compat.is_jax_array(p):
        jax = sys.modules["jax"]
        kinds = jax.ShapeDtypeStruct(p.shape[:-1], p.dtype), jax.ShapeDtypeStruct(p.shape[:-1], xp.arange(1).dtype)

        def called(target: Any, draft: Any) -> tuple[np.ndarray, np.ndarray]:
            gain, count = host(np.asarray(target), np.asarray(draft))
            return gain.astype(kinds[0].dtype), count.astype(kinds[1].dtype)

        return jax.pure_callback(called, kinds, p, q, vmap_method="expand_dims")
    gain, count = host(to_numpy(p), to_numpy(q))
    return xp.astype(like(gain, p), p.dtype), like(count, p)
