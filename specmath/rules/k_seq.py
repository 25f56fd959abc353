"""SpecTr's K-SEQ: every draft is tested against the target divided by one factor rho, chosen as small as losslessness
allows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

from specmath.arrays import Array, namespace
from specmath.draws import normalise_or, positive_part, ratio, take
from specmath.exact import Chance, Number
from specmath.rules.rule import Rule, Verdict, conclude
from specmath.rules.single import accepts

STEPS = 30  # guarded Newton steps; quadratic after the first few, halving in the worst case


def taken(target: Array, draft: Array, factor: Array) -> Array:
    """min(p_x / rho, q_x), with the factor of shape (...): what the tests keep of each token; sums to beta(rho)."""
    xp = namespace(target)
    scaled = target / factor[..., None]
    return xp.where(scaled < draft, scaled, draft)


def division_factor(target: Array, draft: Array, n: int | Array) -> Array:
    """The smallest rho in [1, n] with 1 - (1 - beta(rho))^n <= rho beta(rho), rounded up; shape (...).

    The difference of the two sides falls in rho, and any rho above its root is lossless, so the root is approached by
    Newton steps inside a bracket whose upper end, which is returned, satisfies the inequality as computed (for beta
    below 1e-8 rounding hides the root; the law is then off by less than 1e-16). n may be an array (...), of the laws'
    dtype.
    """
    xp = namespace(target)
    low = xp.ones_like(target[..., 0])
    high = low * n

    def excess(factor: Array) -> Array:
        beta = xp.sum(taken(target, draft, factor), axis=-1)
        return 1 - (1 - beta) ** n - factor * beta

    def slope(factor: Array) -> Array:
        scaled = target / factor[..., None]
        beta = xp.sum(taken(target, draft, factor), axis=-1)
        change = -xp.sum(xp.where(scaled < draft, scaled, xp.zeros_like(draft)), axis=-1) / factor  # d beta / d rho
        return n * (1 - beta) ** (n - 1) * change - beta - factor * change

    guess = low
    for _ in range(STEPS):
        value = excess(guess)
        high = xp.where(value <= 0, guess, high)
        low = xp.where(value > 0, guess, low)
        newton = guess + ratio(value, -slope(guess))
        inside = (newton > low) & (newton < high)
        guess = xp.where(inside, newton, (low + high) / 2)
    # Newton may creep up from below; a step of a few units in the last place crosses the root.
    nudged = low * (1 + 64 * xp.finfo(target.dtype).eps)
    return xp.where((nudged < high) & (excess(nudged) <= 0), nudged, high)


@lru_cache(maxsize=256)  # an enumeration asks for the same factor on every path
def exact_factor(target: tuple[Number, ...], draft: tuple[Number, ...], n: int) -> Fraction:
    """A rational rho within about 1e-13 above the root, for which losslessness holds in exact arithmetic."""
    laws = [np.array([float(x) for x in law]) for law in (target, draft)]
    factor = Fraction(float(division_factor(laws[0], laws[1], n)))
    step = Fraction(1, 2**44)
    while factor < n:
        beta = sum(min(p / factor, q) for p, q in zip(target, draft, strict=True))
        if 1 - (1 - beta) ** n <= factor * beta:
            return factor
        factor *= 1 + step
        step *= 2  # the root may be far above a float factor that lost a tiny beta
    return Fraction(n)


def program(chance: Chance, target: Sequence[Number], draft: Sequence[Number], tokens: Sequence[int]) -> int:
    n = len(tokens)
    factor = exact_factor(tuple(target), tuple(draft), n)
    for token in tokens:
        if accepts(chance, target[token] / factor, draft[token]):
            return token
    kept = [min(p / factor, q) for p, q in zip(target, draft, strict=True)]
    beta = sum(kept)
    share = (1 - (1 - beta) ** n) / beta if beta else 0
    rest = [max(p - share * t, 0) for p, t in zip(target, kept, strict=True)]
    return chance.draw(rest if any(rest) else target)


def after_rejections(target: Array, draft: Array, factor: Array, n: int | Array) -> tuple[Array, Array, Array]:
    """beta and P(some draft passes its test), both (...), and the law after n rejections (..., V)."""
    xp = namespace(target)
    kept = taken(target, draft, factor)
    beta = xp.sum(kept, axis=-1)
    passed = 1 - (1 - beta) ** n
    return beta, passed, normalise_or(positive_part(target - ratio(passed, beta)[..., None] * kept), target)


def step(target: Array, draft: Array, tokens: Array, uniforms: Array) -> Verdict:
    xp = namespace(target)
    n = tokens.shape[-1]
    factor = division_factor(target, draft, n)
    emitted = xp.full_like(tokens[..., 0], -1)
    for j in range(n):
        token = tokens[..., j]
        accept = (emitted < 0) & (uniforms[..., j] * factor * take(draft, token) < take(target, token))
        emitted = xp.where(accept, token, emitted)
    return conclude(tokens, emitted, after_rejections(target, draft, factor, n)[2], uniforms[..., n])


def formula(target: Array, draft: Array, n: int, drafts: str) -> Array:
    """p_acc + (1 - p_acc) sum_x r_x (1 - (1 - u_x)^n): passed by a test, or drawn from the residual yet drafted.

    u = (q - p / rho)^+ / (1 - beta) is the law of a rejected draft, r the residual.
    """
    xp = namespace(target)
    factor = division_factor(target, draft, n)
    beta, passed, rest = after_rejections(target, draft, factor, n)
    missed = xp.broadcast_to((1 - beta)[..., None], draft.shape)
    rejected = ratio(positive_part(draft - target / factor[..., None]), missed)
    rejected = xp.where(rejected > 1, xp.ones_like(rejected), rejected)
    again = xp.sum(rest * (1 - (1 - rejected) ** n), axis=-1)
    return passed + (1 - passed) * again


RULE = Rule(
    name="k_seq",
    purpose="SpecTr: test each draft against p / rho; acceptance >= (1 - (1 - 1/n)^n) of the optimum",
    source="sun2023spectr",
    layout="node",
    drafts=("iid",),
    lossless=True,
    program=program,
    step=step,
    formula=formula,
)
