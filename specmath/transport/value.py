"""The optimal acceptance of n drafts and the cut that proves it, by one sort."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from specmath import draft_laws
from specmath.arrays import Array, as_pytree, check_pair, namespace
from specmath.draft_laws.greedy import rest
from specmath.draws import likeliest, ones_hot
from specmath.transport import bounds, independent, prefix

INDEPENDENT = "independent"
"""Value of ``drafts`` for n different drafters, one law each."""


ARRAYS = ("acceptance", "cut", "target", "draft", "gap")
"""Fields of `Optimum` that are arrays, for `arrays.as_pytree`."""


@dataclass(frozen=True)
class Optimum:
    """The largest acceptance any lossless rule can have, and its cut.

    Attributes
    ----------
    acceptance : alpha* = 1 + min_H [p(H) - Q(H)], shape (...), Q(H) = P(all n drafts in H).
    cut : a minimising set H, boolean (..., V).
    n, drafts : the number of candidates and the name of their law.
    correction : largest |sum - 1| of the laws that were handed in, before they were scaled (None under a tracer).
    target, draft : the laws in float64, scaled once; (..., V), the draft (..., n, V) for different drafters. Under a
        prefix weight the target is scaled by it.
    gap : how far ``acceptance`` may lie above the optimum because the search for H was given up, (...); zero for all
        draft laws but "independent".
    """

    acceptance: Array
    cut: Array = field(repr=False)
    n: int
    drafts: str
    correction: float | None
    target: Array = field(repr=False)
    draft: Array = field(repr=False)
    gap: Array

    @property
    def token_potentials(self) -> Array:
        """y = 1_H as 0.0 or 1.0, (..., V): half of an optimal solution of the dual (see `Plan`)."""
        return namespace(self.cut).astype(self.cut, self.acceptance.dtype)

    def set_potential(self, drafted: Iterable[int]) -> Array:
        """z = 1 if some token of the drafted set lies outside the cut, else 0; shape (...).

        Together with `token_potentials` it meets y(x) + z(omega) >= 1 for all x in omega.

        >>> best = optimum([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], n=2)
        >>> best.cut.tolist(), float(best.set_potential({1, 2})), float(best.set_potential({0, 1}))
        ([False, True, True], 0.0, 1.0)
        """
        xp = namespace(self.cut)
        held = xp.all(xp.stack([self.cut[..., token] for token in drafted]), axis=0)
        return 1 - xp.astype(held, self.acceptance.dtype)

    @property
    def rounding(self) -> Array:
        """What `upper` adds for rounding, (...): a bound of its own floating-point error, see `bounds.upper_bound`."""
        return bounds.upper_bound(self.target, self.draft, self.n, self.cut, self.drafts).rounding

    @property
    def upper(self) -> Array:
        """p(H) + 1 - Q(H) + `rounding`, (...): no lossless rule accepts more; recomputed from the cut alone."""
        return bounds.upper_bound(self.target, self.draft, self.n, self.cut, self.drafts).value


def optimum(target: Array, draft: Array | Sequence[Array], n: int, drafts: str = "iid") -> Optimum:
    """Optimal acceptance alpha* of n drafts against the target, with its cut.

    alpha* = 1 + min_H [p(H) - Q(H)] over all token sets H. For "iid" and "without_replacement" a minimiser is a prefix
    of the tokens in rising order of p/q (one sort); "greedy", "hub" and "top_k" have closed forms. "independent" are
    n different drafters: ``draft`` is then a sequence of n laws (..., V), or one array (..., n, V), and H is found by
    submodular minimisation (see `transport.independent`), with ``gap`` as certificate.

    Parameters
    ----------
    target, draft : laws (..., V), numpy, torch or jax (or nested lists); checked, then float64.
    n : candidates at the node.
    drafts : draft law. "without_replacement" with n > 2 is computed on the host (exponential race; error below 1e-12),
        also within jax's jit and vmap; "independent" on the host and never under a tracer.

    Raises
    ------
    ValueError
        For arrays that are no laws, n < 1, an unknown draft law, fewer than n possible tokens where n distinct ones
        are drafted (naming the first such row), or another number of drafters than n.

    Source: hu2025optimal (subset selection, prefixes of q-convex laws; Section 5 for greedy drafts); proofs in
    docs/theory/optimal_acceptance.md.

    >>> round(float(optimum([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], n=2).acceptance), 12)
    0.86
    >>> round(float(optimum([0.5, 0.5], [[1.0, 0.0], [0.5, 0.5]], 2, "independent").acceptance), 12)
    1.0
    """
    if drafts == INDEPENDENT:
        p, q, correction = independent.check(target, draft, n)
    else:
        if not isinstance(drafts, str) or drafts not in _METHODS:
            raise ValueError(f"drafts is {drafts!r}; allowed are {', '.join(map(repr, (*_METHODS, INDEPENDENT)))}")
        law = draft_laws.get(drafts)
        p, q, correction = check_pair(target, draft)
        law.check_rows(n, q)
    acceptance, cut, gap = minimum(p, q, n, drafts)
    return as_pytree(Optimum(acceptance, cut, n, drafts, correction, p, q, gap), arrays=ARRAYS)


def minimum(goal: Array, draft: Array, n: int, drafts: str) -> tuple[Array, Array, Array]:
    """alpha*, cut and gap of checked float arrays: goal (..., V) may sum to less than one (a prefix weight).

    The mass that the goal misses is on a symbol that is never drafted and hence in no cut.
    """
    if drafts == INDEPENDENT:
        return independent.minimise(goal, draft)
    acceptance, cut = _METHODS[drafts](goal, draft, n)
    return acceptance, cut, namespace(goal).zeros_like(acceptance)


def _greedy(p: Array, q: Array, n: int) -> tuple[Array, Array]:
    xp = namespace(p)
    _, fixed, last = rest(q, n)
    acceptance = xp.sum(xp.where(fixed | (p < last), p, last), axis=-1)
    return acceptance, fixed | (p < last)


def _top_k(p: Array, q: Array, n: int) -> tuple[Array, Array]:
    xp = namespace(p)
    top = likeliest(q, n)
    cut = xp.zeros_like(p, dtype=xp.bool)
    for j in range(n):
        cut = cut | ones_hot(top[..., j], p.shape[-1], xp)
    return xp.sum(xp.where(cut, p, xp.zeros_like(p)), axis=-1), cut


_METHODS: dict[str, Callable[[Any, Any, int], tuple[Any, Any]]] = {
    "iid": prefix.iid,
    "without_replacement": prefix.without_replacement,
    "greedy": _greedy,
    "hub": _greedy,
    "top_k": _top_k,
}
