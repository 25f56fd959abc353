"""What a relaxed target is: another law, with its exact distance from the target; and what a relaxation is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from specmath.arrays import Array, as_pytree, check_law, check_pair, namespace
from specmath.draws import ratio


@dataclass(frozen=True)
class Relaxed:
    """A law to verify against instead of the target, and its certificate per context.

    Any lossless rule run with ``law`` in the target's place emits exactly ``law``, so that these distances are those of
    the emitted tokens.

    Attributes
    ----------
    law : relaxed target, shape (..., V), float64 (float32 for jax without x64).
    total_variation : 1/2 sum |target - law|, shape (...).
    kl : KL(target || law) in nats, shape (...); inf where the law cannot emit a token of the target.
    reverse_kl : KL(law || target) in nats, shape (...); inf where the law emits what the target never would.
    method, parameters : the relaxation's name and its parameters as (name, value) pairs.
    correction : largest |sum - 1| of the laws that were handed in, before they were scaled (None under a tracer).
    """

    law: Array = field(repr=False)
    total_variation: Array
    kl: Array
    reverse_kl: Array
    method: str
    parameters: tuple[tuple[str, Any], ...]
    correction: float | None


@dataclass(frozen=True)
class Relaxation:
    """A map from the target, and mostly the draft, to a relaxed target.

    Attributes
    ----------
    name, purpose, source : registry name, one line, bibliography key with locator.
    parameters : names of its parameters and their defaults (None: must be given).
    check : ``check(parameters) -> parameters`` as plain numbers; ValueError for a value out of range.
    law : ``law(target, draft, **parameters) -> law`` (..., V), on checked float64 laws.
    uses_draft : whether ``law`` looks at the draft; if not, ``draft`` may be None.
    """

    name: str
    purpose: str
    source: str
    parameters: dict[str, Any]
    check: Callable[[dict[str, Any]], dict[str, Any]]
    law: Callable[..., Array]
    uses_draft: bool = True

    def relax(self, target: Array, draft: Array | None = None, **parameters: Any) -> Relaxed:
        """The relaxed target with its certificate, for laws (..., V) of numpy, torch or jax.

        Parameters are given by name; those without a default must be given. Raises ValueError for arrays that are no
        laws, a missing draft, unknown or missing parameters, and values out of range.

        >>> from specmath import relax
        >>> found = relax.get("total_variation").relax([0.5, 0.5], [0.1, 0.9], budget=0.1)
        >>> found.law, round(float(found.total_variation), 12)
        (array([0.4, 0.6]), 0.1)
        """
        unknown = [name for name in parameters if name not in self.parameters]
        if unknown:
            names = ", ".join(map(repr, self.parameters))
            raise ValueError(f"relaxation {self.name!r} has no parameter {unknown[0]!r}; allowed are {names}")
        values = {**self.parameters, **parameters}
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise ValueError(f"relaxation {self.name!r} needs the parameter {missing[0]!r}")
        values = self.check(values)
        if draft is None and self.uses_draft:
            raise ValueError(f"relaxation {self.name!r} needs the draft")
        if draft is None:
            p, correction = (checked := check_law("target", target)).values, checked.correction
            q = None
        else:
            p, q, correction = check_pair(target, draft)
        law = self.law(p, q, **values)
        found = Relaxed(
            law,
            total_variation(p, law),
            divergence(p, law),
            divergence(law, p),
            self.name,
            tuple(values.items()),
            correction,
        )
        return as_pytree(found, arrays=("law", "total_variation", "kl", "reverse_kl"))


def total_variation(target: Array, law: Array) -> Array:
    """1/2 sum_x |target(x) - law(x)|, shape (...), for float64 laws (..., V).

    >>> import numpy as np
    >>> float(total_variation(np.array([0.5, 0.5]), np.array([0.25, 0.75])))
    0.25
    """
    xp = namespace(target)
    return xp.sum(xp.abs(target - law), axis=-1) / 2


def divergence(first: Array, second: Array) -> Array:
    """KL(first || second) = sum_x first(x) log(first(x) / second(x)) in nats, shape (...); inf off second's support.

    Summed as first log(first / second) - first + second, term by term non-negative, so that close laws keep their
    digits.

    >>> import numpy as np
    >>> round(float(divergence(np.array([0.5, 0.5]), np.array([0.25, 0.75]))), 6)
    0.143841
    """
    xp = namespace(first)
    one = xp.ones_like(first)
    both = (first > 0) & (second > 0)
    logs = xp.log(xp.where(both, first, one)) - xp.log(xp.where(both, second, one))
    terms = xp.where(both, first * logs - first, xp.zeros_like(first)) + second
    terms = xp.where(terms > 0, terms, xp.zeros_like(terms))
    return xp.sum(xp.where((first > 0) & (second <= 0), xp.full_like(first, math.inf), terms), axis=-1)


def towards(target: Array, goal: Array, budget: Array | float) -> Array:
    """The point of the segment from target to goal at total variation ``budget`` from the target, or the goal.

    The budget is kept after rounding too. An entry of the mixture is rounded by up to 2 eps times itself, however small
    the budget, which moves the total variation by up to eps; the rest of the margin is for the share.
    """
    xp = namespace(target)
    eps = float(xp.finfo(target.dtype).eps)
    apart = total_variation(target, goal)
    spent = xp.ones_like(apart) * (budget * (1 - 8 * eps) - 2 * eps)
    share = ratio(xp.where(spent > 0, spent, xp.zeros_like(spent)), apart)
    share = xp.where((share < 1) & (apart > budget), share, xp.ones_like(share))[..., None]
    return (1 - share) * target + share * goal
