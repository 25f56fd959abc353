"""Certificates in floating point: an upper bound from a cut, a lower bound from a marginal, both with their rounding.

They hold for the target's float masses exactly as they are and for the draft law exactly proportional to the draft's
floats (divided by their exact sum), so that a test can hold them against Fractions of the same floats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import array_api_compat
import numpy as np

from specmath import draft_laws
from specmath.arrays import TOLERANCE, Array, as_array, as_pytree, check_count, dtype_name, namespace, one_library
from specmath.draft_laws import race
from specmath.draft_laws.greedy import rest


@dataclass(frozen=True)
class Bound:
    """A certified bound of the optimal acceptance.

    Attributes
    ----------
    value : the bound (...), rounding already added (upper) or taken off (lower).
    rounding : bound of the floating-point error that went into it, (...).
    shortfall : lower bounds only: max_S [Q(S) - r(S)], how far the marginal is from being reachable, (...); else zero.
    """

    value: Array
    rounding: Array
    shortfall: Array


def blocked_sum(values: Array) -> Array:
    """Sum over the last axis in about sqrt(V) blocks; the error is at most `additions` units of rounding."""
    xp = namespace(values)
    size = values.shape[-1]
    if size <= 1024:
        return xp.sum(values, axis=-1)
    width = math.isqrt(size - 1) + 1
    filled = -(-size // width) * width
    padding = xp.zeros_like(values[..., : filled - size])
    blocks = xp.reshape(xp.concat([values, padding], axis=-1), (*values.shape[:-1], filled // width, width))
    return xp.sum(xp.sum(blocks, axis=-1), axis=-1)


def additions(values: Array) -> int:
    """How often a term of `blocked_sum` is rounded, whatever the order of summation inside a block.

    XLA may fuse the two sums to one, therefore V for jax.
    """
    size = values.shape[-1]
    if size <= 1024 or array_api_compat.is_jax_array(values):
        return size
    return 2 * (math.isqrt(size - 1) + 1)


def held_mass(draft: Array, n: int, members: Array, drafts: str) -> Array:
    """Q(H) = P(all n drafts in H) for members (..., V); draft (..., V), for "independent" (..., n, V)."""
    xp = namespace(draft)
    zero = xp.zeros_like(draft)

    def share(law: Array, inside: Array) -> Array:
        return blocked_sum(xp.where(inside, law, xp.zeros_like(law))) / blocked_sum(law)

    if drafts == "iid":
        return share(draft, members) ** n
    if drafts == "independent":
        return xp.prod(share(draft, members[..., None, :]), axis=-1)
    if drafts in ("greedy", "hub"):
        _, fixed, _ = rest(draft, n)
        left = share(xp.where(fixed, zero, draft), members)
        return xp.where(xp.all(members | ~fixed, axis=-1), left, xp.zeros_like(left))
    return draft_laws.get(drafts).inside(draft, n, members)


def upper_bound(target: Array, draft: Array, n: int, cut: Array, drafts: str = "iid") -> Bound:
    """p(H) + 1 - Q(H) + rounding of a cut H: no lossless rule accepts more, whichever H it is.

    Laws (..., V) as in `Optimum` (checked, float64), cut boolean (..., V). With k roundings per sum (`additions`) and
    eps the distance of 1 to the next float, rounding = ((n + 1) (k + 2) + 4) eps bounds the error of the sum p(H) and
    of q(H)^n, a power of a quotient of two sums. For "without_replacement" V eps + 1e-12 (`race.ERROR`, tested, not
    proved) is added for the integral.

    Raises
    ------
    ValueError
        For n < 1, an unknown draft law, laws that are no float64 or float32 arrays over one vocabulary (..., V), for
        "independent" a draft other than (..., n, V), and a cut that is not boolean or whose axes do not broadcast with
        the laws'. The laws' values are taken as they are.

    >>> import numpy as np
    >>> found = upper_bound(np.array([0.5, 0.5]), np.array([0.25, 0.75]), 2, np.array([False, True]))
    >>> round(float(found.value), 12), float(found.rounding) < 1e-14
    (0.9375, True)
    """
    n = check_count("n", n)
    target, draft, cut = as_array("target", target), as_array("draft", draft), as_array("cut", cut)
    _check_cut(target, draft, n, cut, drafts)
    xp = namespace(target)
    missed = blocked_sum(xp.where(cut, target, xp.zeros_like(target)))
    error = rounding(target, n, additions(target), drafts)
    value = missed + (1 - held_mass(draft, n, cut, drafts)) + error
    flat = xp.zeros_like(value)
    return as_pytree(Bound(value, flat + error, flat), arrays=("value", "rounding", "shortfall"))


def _check_cut(target: Array, draft: Array, n: int, cut: Array, drafts: str) -> None:
    if drafts != "independent":
        draft_laws.get(drafts).check(n, 2**62)  # what is not defined for n, whatever the draft
    one_library(target=target, draft=draft, cut=cut)
    for name, array in (("target", target), ("draft", draft)):
        if dtype_name(array) not in TOLERANCE:
            raise ValueError(f"{name}: dtype {dtype_name(array)}; allowed are float64 and float32")
    if not dtype_name(cut).startswith("bool"):
        raise ValueError(f"cut: dtype {dtype_name(cut)}; allowed are booleans, true for the tokens of the cut")
    axes = 2 if drafts == "independent" else 1
    if target.ndim < 1 or draft.ndim < axes or (axes == 2 and draft.shape[-2] != n):
        wanted = f"(..., {n}, V)" if axes == 2 else "(..., V)"
        raise ValueError(
            f"draft: shape {tuple(draft.shape)} for a target of shape {tuple(target.shape)}; allowed are (..., V) for "
            f"the target and {wanted} for the draft"
        )
    sizes = {"target": target.shape[-1], "draft": draft.shape[-1]}
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"target has {sizes['target']} tokens and draft {sizes['draft']}; both laws must be over one vocabulary"
        )
    size, leading = target.shape[-1], (tuple(target.shape[:-1]), tuple(draft.shape[:-axes]))
    if cut.ndim < 1 or cut.shape[-1] != size:
        raise ValueError(f"cut: shape {tuple(cut.shape)}; its last axis must hold the laws' {size} tokens")
    try:
        np.broadcast_shapes(*leading, tuple(cut.shape[:-1]))
    except ValueError:
        raise ValueError(
            f"cut has leading axes {tuple(cut.shape[:-1])}, target {leading[0]} and draft {leading[1]}; they must "
            "broadcast"
        ) from None


def rounding(law: Array, n: int, count: int, drafts: str) -> float:
    """Error of p(H) or Q(H) computed from sums of ``count`` roundings, and of the race integral where there is one."""
    eps = float(namespace(law).finfo(law.dtype).eps)
    integral = race.ERROR + law.shape[-1] * eps if drafts == "without_replacement" else 0.0
    return ((n + 1) * (count + 2) + 4) * eps + integral
