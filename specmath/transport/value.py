"""The optimal acceptance of n drafts and the cut that proves it, by one sort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from specmath import draft_laws
from specmath.arrays import Array, as_pytree, check_pair, like, namespace, to_numpy
from specmath.draft_laws.greedy import rest
from specmath.draft_laws.without_replacement import prefix_masses
from specmath.draws import ones_hot, ranked, ratio


@dataclass(frozen=True)
class Optimum:
    """The largest acceptance any lossless rule can have, and its cut.

    Attributes
    ----------
    acceptance : alpha* = 1 + min_H [p(H) - Q(H)], shape (...), Q(H) = P(all n drafts in H).
    cut : a minimising set H, boolean (..., V). The 0/1 potentials y = 1_H and z(omega) = 1{omega not inside H} are
        an optimal solution of the dual, so that the cut alone bounds every rule from above.
    n, drafts : the number of candidates and the name of their law.
    correction : largest |sum - 1| of the laws that were handed in, before they were scaled (None under a tracer).
    """

    acceptance: Array
    cut: Array
    n: int
    drafts: str
    correction: float | None


def optimum(target: Array, draft: Array, n: int, drafts: str = "iid") -> Optimum:
    """Optimal acceptance alpha* of n drafts against the target, with its cut.

    alpha* = 1 + min_H [p(H) - Q(H)] over all token sets H. For "iid" and "without_replacement" a minimiser is a prefix
    of the tokens in rising order of p/q (one sort); "greedy", "hub" and "top_k" have closed forms.

    Parameters
    ----------
    target, draft : laws (..., V), numpy, torch or jax (or nested lists); checked, then float64.
    n : candidates at the node.
    drafts : draft law. "without_replacement" is computed on the host (exponential-race integral, O(V n M)).

    Raises
    ------
    ValueError
        For arrays that are no laws, n < 1, an unknown draft law, or fewer than n possible tokens where n distinct ones
        are drafted (naming the first such row).

    Source: hu2025optimal (subset selection, prefixes of q-convex laws; Section 5 for greedy drafts); proofs in
    docs/theory/optimal_acceptance.md.

    >>> round(float(optimum([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], n=2).acceptance), 12)
    0.86
    """
    law = draft_laws.get(drafts)
    p, q, correction = check_pair(target, draft)
    law.check_rows(n, q)
    acceptance, cut = _METHODS[drafts](p, q, n)
    return as_pytree(Optimum(acceptance, cut, n, drafts, correction), arrays=("acceptance", "cut"))


def _prefix_cut(p: Array, q: Array, masses: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Best prefix in rising order of p/q; ``masses`` maps the ordered draft law to Q of its V + 1 prefixes."""
    xp = namespace(p)
    largest = xp.full_like(p, xp.finfo(p.dtype).max)
    steep = ratio(p, q)  # may overflow; tokens that are never drafted come last all the same
    steep = xp.where(steep < largest, steep, largest)
    order = xp.argsort(xp.where(q > 0, steep, xp.full_like(p, xp.inf)), axis=-1, stable=True)
    ordered_p, ordered_q = xp.take_along_axis(p, order, axis=-1), xp.take_along_axis(q, order, axis=-1)
    zero = xp.zeros_like(p[..., :1])
    gain = masses(ordered_q) - xp.concat([zero, xp.cumulative_sum(ordered_p, axis=-1)], axis=-1)
    # The first of equal gains is taken, so tokens that neither law wants stay outside the cut.
    best = xp.argmax(gain, axis=-1)
    place = xp.argsort(order, axis=-1, stable=True)
    return 1 - xp.max(gain, axis=-1), place < best[..., None]


def _iid(p: Array, q: Array, n: int) -> tuple[Array, Array]:
    xp = namespace(p)

    def masses(ordered: Array) -> Array:
        within = xp.cumulative_sum(ordered, axis=-1)
        return xp.concat([xp.zeros_like(ordered[..., :1]), (within / within[..., -1:]) ** n], axis=-1)

    return _prefix_cut(p, q, masses)


def _without_replacement(p: Array, q: Array, n: int) -> tuple[Array, Array]:
    xp = namespace(p)

    def masses(ordered: Array) -> Array:
        host = to_numpy(ordered).astype(np.float64)
        found = prefix_masses(host.reshape(int(np.prod(host.shape[:-1])), host.shape[-1]), n)
        return xp.astype(like(found.reshape(*host.shape[:-1], host.shape[-1] + 1), ordered), ordered.dtype)

    return _prefix_cut(p, q, masses)


def _greedy(p: Array, q: Array, n: int) -> tuple[Array, Array]:
    xp = namespace(p)
    _, fixed, last = rest(q, n)
    acceptance = xp.sum(xp.where(fixed | (p < last), p, last), axis=-1)
    return acceptance, fixed | (p < last)


def _top_k(p: Array, q: Array, n: int) -> tuple[Array, Array]:
    xp = namespace(p)
    top = ranked(q)[..., :n]
    cut = xp.zeros_like(p, dtype=xp.bool)
    for j in range(n):
        cut = cut | ones_hot(top[..., j], p.shape[-1], xp)
    return xp.sum(xp.where(cut, p, xp.zeros_like(p)), axis=-1), cut


_METHODS: dict[str, Callable[[Any, Any, int], tuple[Any, Any]]] = {
    "iid": _iid,
    "without_replacement": _without_replacement,
    "greedy": _greedy,
    "hub": _greedy,
    "top_k": _top_k,
}
