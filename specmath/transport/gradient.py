"""The optimal acceptance as something to differentiate, and the training loss made of it.

The cut H that attains alpha* = 1 + min_H [p(H) - Q(H)] is held fixed, and 1 + p(H) - Q(H) is written with operations
that torch and jax differentiate. Where the minimiser is unique, the envelope theorem makes that the gradient of alpha*;
at a tie it is one of the subgradients' extreme points.
"""

from __future__ import annotations

import math
import sys

import array_api_compat

from specmath import draft_laws
from specmath.arrays import Array, as_array, check_number, check_pair, namespace, one_library
from specmath.draft_laws import race
from specmath.draft_laws.greedy import rest
from specmath.draws import ratio
from specmath.logits import LARGEST, SMALLEST, law_from_logits
from specmath.transport.value import optimum

EARLIEST, LATEST = math.log(1e-14), math.log(42.0)  # what lies outside has mass below 1e-14


def fixed(array: Array) -> Array:
    """The array as a constant of differentiation: torch's detach, jax's stop_gradient, numpy's array itself."""
    if array_api_compat.is_torch_array(array):
        return array.detach()
    if array_api_compat.is_jax_array(array):
        return sys.modules["jax"].lax.stop_gradient(array)
    return array


def differentiable_optimum(target: Array, draft: Array, n: int, drafts: str = "iid", *, cut: Array = None) -> Array:
    """Optimal acceptance alpha*, shape (...), with a gradient in target and draft.

    With the minimising set H of `specmath.optimum`: d alpha*/d p_x = 1{x in H} and d alpha*/d q = -dQ(H)/dq; for "iid"
    that is -n q(H)^(n-1) 1{x in H}. "greedy" and "hub" hold their fixed tokens fixed too, so the gradient is that of
    the piece; "top_k" depends on the draft by its ranking alone, and its gradient in the draft is zero.
    "without_replacement" differentiates the race integral on 150 (n = 1) to 260 nodes (n = 16), with an error below
    1e-12: O(V n^2) operations and O(V n) memory each.

    Parameters
    ----------
    target, draft : laws (..., V), numpy, torch or jax; checked, then float64 (float32 for jax without x64).
    n, drafts : candidates at the node and their draft law.
    cut : boolean (..., V), used instead of the minimising set; the value is then the bound 1 + p(H) - Q(H).

    Raises
    ------
    ValueError
        As `specmath.optimum`, and for a cut that is not boolean or of another shape.

    Source: hu2025optimal (the cut); the envelope theorem; derivation in docs/how-to/train_for_acceptance.md.

    >>> value = differentiable_optimum([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], 2)
    >>> round(float(value), 12)
    0.86
    """
    law = draft_laws.get(drafts)
    p, q, _ = check_pair(target, draft)
    law.check_rows(n, q)
    xp = namespace(p, q)
    if cut is None:
        members = optimum(fixed(p), fixed(q), n, drafts).cut
    else:
        members = as_array("cut", cut)
        one_library(target=p, cut=members)
        if members.dtype != xp.bool or tuple(members.shape) != tuple(p.shape):
            raise ValueError(
                f"cut: {members.dtype} of shape {tuple(members.shape)}; allowed are booleans of shape {tuple(p.shape)}"
            )
    inside = _race(q, members, n) if drafts == "without_replacement" else _inside(q, members, n, drafts)
    return 1 + _mass(p, members) - inside


def acceptance_loss(
    target: Array, draft_logits: Array, n: int, drafts: str = "iid", *, temperature: float = 1.0
) -> Array:
    """Training loss 1 - alpha*, the optimal rejection probability of n drafts, averaged over contexts; a scalar.

    The draft is softmax(draft_logits / temperature). For n = 1 the loss is the total variation between target and
    draft. Gradients flow into ``draft_logits`` (and ``target``, where it asks for them).

    Parameters
    ----------
    target : laws (..., V), for example `specmath.law_from_logits` of the teacher, at the temperature of decoding.
    draft_logits : floating-point logits (..., V), any precision.
    n, drafts : candidates at the node and their draft law; "top_k" is refused, its gradient is zero.
    temperature : of the draft's softmax, above 0.

    Raises
    ------
    ValueError
        As `differentiable_optimum`, for drafts="top_k", temperature <= 0, logits that give no law, no contexts.

    Source: hu2025optimal (the optimum); leviathan2023fast, Corollary 3.6 (n = 1).

    >>> import numpy as np
    >>> round(float(acceptance_loss([[0.5, 0.3, 0.2]], np.log([[0.2, 0.3, 0.5]]), 2)), 12)
    0.14
    """
    if drafts == "top_k" or drafts not in draft_laws.names():
        allowed = ", ".join(repr(name) for name in draft_laws.names() if name != "top_k")
        why = ": its acceptance does not change with small changes of the logits" if drafts == "top_k" else ""
        raise ValueError(f"drafts is {drafts!r}{why}; allowed are {allowed}")
    check_number("temperature", temperature, SMALLEST, LARGEST, "finite numbers > 0")
    draft = law_from_logits(draft_logits, temperature=temperature)
    value = differentiable_optimum(target, draft, n, drafts)
    if 0 in value.shape:
        raise ValueError(f"target: shape {tuple(as_array('target', target).shape)}; allowed is at least one context")
    return 1 - namespace(value).mean(value)


def _mass(law: Array, members: Array) -> Array:
    xp = namespace(law)
    return xp.sum(xp.where(members, law, xp.zeros_like(law)), axis=-1)


def _inside(q: Array, members: Array, n: int, drafts: str) -> Array:
    if drafts == "iid":
        return _mass(q, members) ** n
    if drafts == "top_k":
        return fixed(draft_laws.get(drafts).inside(fixed(q), n, members))
    # The ranking is held fixed, the mass of what it leaves over is not.
    xp = namespace(q)
    _, always, _ = rest(fixed(q), 2 if drafts == "hub" else n)
    share = ratio(_mass(q, members & ~always), _mass(q, ~always))
    return xp.where(xp.all(members | ~always, axis=-1), share, xp.zeros_like(share))


def _race(q: Array, members: Array, n: int) -> Array:
    """Q(H) = int e^-u P(at least n tokens of H arrive before u / lambda) du, lambda = q(outside H), in log u.

    Every token of H is a polynomial (late + early z); they are multiplied pairwise, all powers from z^n on in one
    coefficient, so that nothing is subtracted. The nodes are as far apart as in `race.Race`: for many small tokens the
    integrand's Fourier transform is Gamma(1 + i w) minus Gamma(k + 1 + i w) / k! for k < n with weights and phases, and
    none of these is above |Gamma(n + i w)| / Gamma(n), from which `race.step_of` is made.
    """
    xp = namespace(q)
    spacing = race.step_of(n)
    outside = _mass(q, ~members)
    one = xp.ones_like(q)
    log_outside = xp.log(xp.where(outside > 0, outside, one[..., 0]))
    count = int((LATEST - EARLIEST) / spacing) + 1
    steps = xp.cumulative_sum(xp.ones_like(xp.broadcast_to(log_outside[..., None], (*outside.shape, count))), axis=-1)
    log_moment = EARLIEST + spacing * (fixed(steps) - 1)  # log u, (..., M)
    racing = members & (q > 0)
    # In logarithms, so that masses near the smallest float have finite gradients; e^-1096 is zero, and so is its slope.
    log_power = (xp.log(xp.where(racing, q, one)) - log_outside[..., None])[..., None, :] + log_moment[..., None]
    power = xp.exp(xp.where(log_power < 7, log_power, xp.full_like(log_power, 7.0)))
    power = xp.where(racing[..., None, :], power, xp.zeros_like(power))  # (..., M, V)
    late, early = xp.exp(-power), -xp.expm1(-power)
    arrived = [late, early, *[xp.zeros_like(late)] * (n - 1)]  # P(0), ..., P(n - 1), P(n or more), each (..., M, V)
    while arrived[0].shape[-1] > 1:
        if arrived[0].shape[-1] % 2:
            never = [xp.ones_like(late[..., :1]), *[xp.zeros_like(late[..., :1])] * n]  # a token that cannot arrive
            arrived = [xp.concat([part, end], axis=-1) for part, end in zip(arrived, never, strict=True)]
        left, right = ([part[..., side::2] for part in arrived] for side in (0, 1))
        exact = [sum(left[i] * right[k - i] for i in range(1, k + 1)) + left[0] * right[k] for k in range(n)]
        arrived = [*exact, sum(left[i] * right[j] for i in range(n + 1) for j in range(n + 1) if i + j >= n)]
    enough = arrived[n][..., 0]
    moment = xp.exp(log_moment)
    found = xp.sum(spacing * moment * xp.exp(-moment) * enough, axis=-1)
    return xp.where(outside > 0, found, xp.ones_like(found))
