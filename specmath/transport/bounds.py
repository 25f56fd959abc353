"""Certificates in floating point: an upper bound from a cut, a lower bound from a marginal, both with their rounding.

They hold for the target's float masses exactly as they are and for the draft law exactly proportional to the draft's
floats (divided by their exact sum), so that a test can hold them against Fractions of the same floats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import array_api_compat

from specmath import draft_laws
from specmath.arrays import Array, as_pytree, check_law, namespace
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

    >>> import numpy as np
    >>> found = upper_bound(np.array([0.5, 0.5]), np.array([0.25, 0.75]), 2, np.array([False, True]))
    >>> round(float(found.value), 12), float(found.rounding) < 1e-14
    (0.9375, True)
    """
    xp = namespace(target)
    missed = blocked_sum(xp.where(cut, target, xp.zeros_like(target)))
    rounding = _rounding(target, n, additions(target), drafts)
    value = missed + (1 - held_mass(draft, n, cut, drafts)) + rounding
    flat = xp.zeros_like(value)
    return as_pytree(Bound(value, flat + rounding, flat), arrays=("value", "rounding", "shortfall"))


def lower_bound(target: Array, draft: Array, n: int, marginal: Array, drafts: str = "iid") -> Bound:
    """Certified lower bound of the optimum from the law r of the selected draft: sum min(p, r), if r is reachable.

    r is the marginal of some selection if and only if r(S) >= Q(S) for every set S. The largest violation is
    shortfall = 1 - alpha*(r), the same minimisation with r for the target; the flow behind alpha*(r) is a plan whose
    marginal a <= r misses just that much, so that sum min(p, r) - shortfall - rounding can be reached in any case.

    Parameters
    ----------
    target, draft : laws as for `optimum`.
    marginal : law (..., V), for example `Coupling.marginal`.

    Raises
    ------
    ValueError
        As `optimum`, and for a marginal that is no law over the target's vocabulary.

    >>> from specmath.transport import lower_bound
    >>> found = lower_bound([0.5, 0.5], [0.25, 0.75], 2, [0.4375, 0.5625])
    >>> round(float(found.value), 12), round(float(found.shortfall), 12)
    (0.9375, 0.0)
    """
    from specmath.transport.value import optimum

    checked = check_law("marginal", marginal).values
    first = optimum(target, draft, n, drafts)
    if first.target.shape[-1] != checked.shape[-1]:
        raise ValueError(f"marginal has {checked.shape[-1]} tokens and target {first.target.shape[-1]}")
    reach = optimum(checked, draft, n, drafts)
    xp = namespace(first.target, checked)
    shared = blocked_sum(xp.where(first.target < checked, first.target, checked))
    shortfall = 1 - reach.acceptance + reach.gap
    shortfall = xp.where(shortfall > 0, shortfall, xp.zeros_like(shortfall))
    # The scan behind alpha*(r) adds the tokens one by one.
    rounding = _rounding(checked, n, checked.shape[-1], drafts) + 3 * _rounding(checked, 0, additions(checked), "iid")
    flat = xp.zeros_like(shared + shortfall)
    found = Bound(shared - shortfall - rounding, flat + rounding, flat + shortfall)
    return as_pytree(found, arrays=("value", "rounding", "shortfall"))


def _rounding(law: Array, n: int, count: int, drafts: str) -> float:
    eps = float(namespace(law).finfo(law.dtype).eps)
    integral = race.ERROR + law.shape[-1] * eps if drafts == "without_replacement" else 0.0
    return ((n + 1) * (count + 2) + 4) * eps + integral
