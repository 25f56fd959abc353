"""Optimal verification of one node: select one of the n drafts, then the single-draft test against its own law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from specmath import draft_laws
from specmath.arrays import (
    TOLERANCE,
    Array,
    as_array,
    as_numpy,
    as_pytree,
    check_count,
    check_pair,
    dtype_name,
    is_concrete,
    like,
    namespace,
    on_host,
    one_library,
    to_index,
    to_numpy,
)
from specmath.draws import first_match
from specmath.transport import fixed, independent, priority, swap
from specmath.transport.certificate import certified
from specmath.transport.leftover import Leftover, leftover
from specmath.transport.search import pick
from specmath.transport.value import ARRAYS, INDEPENDENT, Optimum


class Selector(Protocol):
    """What selects one of the drafts: ``select(tokens (..., n), uniforms (..., 2n)) -> index (...)``."""

    def select(self, tokens: Array, uniforms: Array) -> Array: ...


class Verdict(NamedTuple):
    """The emitted token (...), and the index (...) of the first draft equal to it, -1 if there is none."""

    tokens: Array
    accepted: Array


@dataclass(frozen=True)
class Coupling:
    """A verifier of n drafts at one node: select, then test the selected draft against its own law.

    A draft x is selected with law r, accepted with probability min(1, w p(x) / r(x)), and replaced by a draw from
    (w p - r)^+ otherwise. It is lossless whatever r is; it accepts with probability sum min(w p, r), which is the
    optimum where ``gap`` is zero.

    Attributes
    ----------
    target : p, (..., V) float64; marginal : r, (..., V), law of the selected draft.
    acceptance : sum min(w p, r), (...); gap : what the cut allows above that, (...), zero up to rounding where optimal.
    optimum : the upper bound and its cut.
    n, drafts : number of drafts and the name of their law.
    selector, leftover : the two stages.

    With weights w (...) the goal is (w p, 1 - w) on V + 1 symbols, of which the last, V, is never drafted: emitting it
    means that this node fails.
    """

    target: Array = field(repr=False)
    marginal: Array = field(repr=False)
    acceptance: Array
    gap: Array
    optimum: Optimum = field(repr=False)
    selector: Selector = field(repr=False)
    leftover: Leftover = field(repr=False)
    n: int
    drafts: str

    @property
    def lower(self) -> Array:
        """Certified lower bound of the optimum, (...): sum min(w p, r) of the marginal, whose reachability is checked,
        minus a bound of the rounding error (`lower_bound`)."""
        return certified(self.leftover.goal, self.optimum.draft, self.n, self.marginal, self.drafts).value

    @property
    def upper(self) -> Array:
        """Certified upper bound, (...), from the cut alone, rounding included (`Optimum.upper`)."""
        return self.optimum.upper

    def select(self, tokens: Array, uniforms: Array, *, check: bool = True) -> Array:
        """Index (...) of the selected draft; its token has law ``marginal``.

        tokens (..., n) are drawn by the draft law; uniforms (..., 2n) in [0, 1): a position per draft, then a coin per
        draft. Leading axes are those of the laws, or any where the laws have none. ValueError as for `verify`.
        """
        tokens, uniforms = self._checked(tokens, uniforms, 2 * self.n, check)
        if _on_torch_host(self.target, tokens, uniforms):
            return like(as_numpy(self).selector.select(to_numpy(tokens), to_numpy(uniforms)), tokens)
        return self.selector.select(tokens, uniforms)

    def verify(self, tokens: Array, uniforms: Array, *, check: bool = True) -> Verdict:
        """Emitted tokens (...), V where the weight fails, and the index of the draft they equal, -1 if none.

        uniforms (..., 2n + 2) in [0, 1): those of `select`, one for the test (strictly below w p / r accepts), one for
        the replacement. Costs O(n log V + sqrt(V)).

        Raises ValueError for tokens or uniforms of another shape, library or kind, and, unless ``check`` is False, for
        values out of range where they lie on the host.
        """
        tokens, uniforms = self._checked(tokens, uniforms, 2 * self.n + 2, check)
        if _on_torch_host(self.target, tokens, uniforms):
            found = as_numpy(self).verify(to_numpy(tokens), to_numpy(uniforms), check=False)
            return Verdict(*(like(np.asarray(array), tokens) for array in found))
        xp, n = namespace(tokens), self.n
        chosen = self.selector.select(tokens, uniforms[..., : 2 * n])
        token = xp.take_along_axis(tokens, chosen[..., None], axis=-1)
        goal, share = pick(self.leftover.goal, token)[..., 0], pick(self.marginal, token)[..., 0]
        emitted = token[..., 0]
        accept = uniforms[..., 2 * n] * share < goal
        if not (isinstance(accept, np.ndarray | np.bool_) and accept.all()):  # a look that costs nothing in numpy
            drawn = xp.astype(self.leftover.draw(uniforms[..., 2 * n + 1]), tokens.dtype)
            emitted = xp.where(accept, emitted, drawn)
        return Verdict(emitted, first_match(tokens, emitted))

    def _checked(self, tokens: Array, uniforms: Array, width: int, values: bool) -> tuple[Array, Array]:
        tokens, uniforms = as_array("tokens", tokens), as_array("uniforms", uniforms)
        one_library(target=self.target, tokens=tokens, uniforms=uniforms)
        if not dtype_name(tokens).startswith(("int", "uint")):
            raise ValueError(f"tokens: dtype {dtype_name(tokens)}; allowed are integers")
        if dtype_name(uniforms) not in TOLERANCE:
            raise ValueError(f"uniforms: dtype {dtype_name(uniforms)}; allowed are float64 and float32")
        lead, size = tuple(self.target.shape[:-1]), self.target.shape[-1]
        for name, array, last in (("tokens", tokens, self.n), ("uniforms", uniforms, width)):
            if array.ndim < 1 or array.shape[-1] != last or (lead and tuple(array.shape[:-1]) != lead):
                wanted = f"{lead}, then {last}" if lead else f"any, then {last}"
                raise ValueError(f"{name}: shape {tuple(array.shape)}; allowed axes are {wanted} for n = {self.n}")
        if tokens.shape[:-1] != uniforms.shape[:-1]:
            raise ValueError(
                f"tokens have leading axes {tuple(tokens.shape[:-1])} and uniforms {tuple(uniforms.shape[:-1])}; "
                "they must be the same"
            )
        if values and on_host(tokens) and on_host(uniforms) and 0 not in tokens.shape:
            drawn, coins = to_numpy(tokens), to_numpy(uniforms)
            if drawn.min() < 0 or drawn.max() >= size:
                raise ValueError(f"tokens: values from {drawn.min()} to {drawn.max()}; allowed are 0 to {size - 1}")
            if not (coins.min() >= 0 and coins.max() < 1):
                raise ValueError("uniforms: a value lies outside [0, 1)")
            if on_host(self.target):
                self._check_drafted(drawn)
        return to_index(tokens), uniforms

    def _check_drafted(self, tokens: np.ndarray) -> None:
        """ValueError unless the draft law can have drawn the tokens (..., n)."""
        law = to_numpy(self.optimum.draft)
        rows = law if self.drafts == INDEPENDENT else law[..., None, :]
        rows = np.broadcast_to(rows, (*tokens.shape, law.shape[-1]))
        fits = (np.take_along_axis(rows, tokens[..., None], axis=-1)[..., 0] > 0).all(axis=-1)
        if self.drafts in draft_laws.names():
            whole = np.broadcast_to(law, (*tokens.shape[:-1], law.shape[-1]))
            fits = fits & draft_laws.get(self.drafts).possible(whole, tokens)
        if not fits.all():
            where = tuple(int(i) for i in np.argwhere(~np.atleast_1d(fits))[0]) if tokens.ndim > 1 else ()
            raise ValueError(f"tokens: {tokens[where].tolist()} cannot be drafted by drafts={self.drafts!r}")


def _on_torch_host(*arrays: Array) -> bool:
    """torch in host memory: its dispatch would cost more than the arithmetic, which numpy does on the same memory."""
    return all("torch" in type(array).__module__ and on_host(array) for array in arrays)


class Built(NamedTuple):
    """What a method gives.

    The marginal (..., V), the selector, the optimum's value (...) and cut (..., V), and how far a search for the cut
    may have missed it (...), None for exact methods.
    """

    marginal: Array
    selector: Any
    acceptance: Array
    cut: Array
    open: Array | None = None


def coupling(target: Array, draft: Array, n: int, drafts: str = "iid", *, weight: Array | None = None) -> Coupling:
    """The verifier of n drafts whose acceptance is optimal: exactly for "iid", "greedy", "hub" and "top_k".

    Parameters
    ----------
    target, draft : laws (..., V), numpy, torch or jax; checked, then float64. For drafts="independent" the draft is
        a sequence of n laws (..., V), or one array (..., n, V).
    n : candidates at the node.
    drafts : draft law; "without_replacement" (n up to 12) and "independent" are solved on the host, never under jit or
        vmap, and report a gap.
    weight : w (...) in [0, 1]: the target is (w p, 1 - w) on V + 1 symbols.

    Raises
    ------
    ValueError
        For arrays that are no laws, weights outside [0, 1], n < 1, an unknown draft law, or too few possible tokens.

    Source: docs/theory/optimal_coupling.md.

    >>> plan = coupling([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], n=2)
    >>> round(float(plan.acceptance), 12), plan.marginal.round(12).tolist()
    (0.86, [0.36, 0.3, 0.34])
    """
    n = check_count("n", n)
    if not isinstance(drafts, str) or drafts not in _METHODS:
        raise ValueError(f"drafts is {drafts!r}; allowed are {', '.join(map(repr, _METHODS))}")
    if drafts == INDEPENDENT:
        p, q, correction = independent.check(target, draft, n)
    else:
        p, q, correction = check_pair(target, draft)
        draft_laws.get(drafts).check_rows(n, q)
    share = None if weight is None else _weights(weight, p)
    return couple(p, q, n, drafts, weight=share, correction=correction)


def couple(
    target: Array, draft: Array, n: int, drafts: str, *, weight: Array | None = None, correction: float | None = None
) -> Coupling:
    """`coupling` of laws that are known to be laws, float64 and of one shape; looks at no value for closed forms."""
    xp = namespace(target)
    if weight is None:
        none, goal = xp.zeros_like(target[..., 0]), target
    else:
        none, goal = 1 - weight, weight[..., None] * target
    built = _METHODS[drafts](goal, draft, n, drafts)
    reached = xp.sum(xp.minimum(goal, built.marginal), axis=-1)
    gap = built.acceptance - reached
    # Where the search for the cut gave up, the plan may prove it right nevertheless.
    none_open = xp.zeros_like(gap)
    open_ = none_open if built.open is None else xp.minimum(built.open, xp.maximum(gap, none_open))
    best = as_pytree(Optimum(built.acceptance, built.cut, n, drafts, correction, goal, draft, open_), arrays=ARRAYS)
    rest = leftover(goal, built.marginal, none)
    found = Coupling(target, built.marginal, reached, gap, best, built.selector, rest, n, drafts)
    return as_pytree(found, arrays=("target", "marginal", "acceptance", "gap", "optimum", "selector", "leftover"))


def _weights(weight: Array, p: Array) -> Array:
    xp = namespace(p)
    share = as_array("weight", weight)
    if isinstance(share, np.ndarray):
        share = like(share, p)
    if is_concrete(share) and not bool(((to_numpy(share) >= 0) & (to_numpy(share) <= 1)).all()):
        raise ValueError("weight: a value lies outside [0, 1]")
    share = xp.astype(share, p.dtype)
    try:
        return xp.broadcast_to(share, p.shape[:-1])
    except (ValueError, RuntimeError):
        raise ValueError(
            f"weight: shape {tuple(share.shape)}; it must broadcast to the laws' leading axes {tuple(p.shape[:-1])}"
        ) from None


def _iid(goal: Array, q: Array, n: int, drafts: str) -> Built:
    xp = namespace(goal)
    marginal, selector, cut = swap.build(goal, q, n)
    inside = xp.astype(cut, goal.dtype)
    bound = 1 + inner(inside, goal) - inner(inside, q) ** n
    return Built(marginal, selector, bound, cut)


def inner(left: Array, right: Array) -> Array:
    """Sums of products along the last axis, (...); numpy needs no new array for it."""
    if isinstance(left, np.ndarray):
        return np.einsum("...i,...i", left, right)
    return namespace(left).sum(left * right, axis=-1)


def _fixed(goal: Array, q: Array, n: int, drafts: str) -> Built:
    return Built(*fixed.build(goal, q, n, drafts))


def _priority(goal: Array, q: Array, n: int, drafts: str) -> Built:
    return Built(*priority.build(goal, q, n, drafts))


_METHODS: dict[str, Callable[[Array, Array, int, str], Built]] = {
    "iid": _iid,
    "without_replacement": _priority,
    "greedy": _fixed,
    "hub": _fixed,
    "top_k": _fixed,
    "independent": _priority,
}
