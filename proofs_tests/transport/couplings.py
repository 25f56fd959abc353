"""Checks of the couplings, as functions of what builds them: proofs pass the real one, controls a broken one."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from specmath import draft_laws
from specmath.transport import coupling, max_flow, optimum
from specmath.transport.coupling import Coupling
from specmath.transport.swap import SwapSelector

CLOSE = 1e-12
FIXED = ("greedy", "hub", "top_k")
Weights = tuple[int, ...]
Problem = tuple[Weights, Weights, int]
Build = Callable[[np.ndarray, np.ndarray, int], Coupling]


@st.composite
def problems(draw: Any, *, most: int = 7, drafts: int = 5) -> Problem:
    """Whole-number weights of target and draft with ties, zeros and masses over fifteen decades, and n."""
    size = draw(st.integers(1, most))
    tame, wild = st.integers(0, 6), st.sampled_from([0, 1, 2, 3, 10**6, 10**9, 10**15])
    rows = [draw(st.lists(st.one_of(tame, wild), min_size=size, max_size=size).filter(any)) for _ in range(2)]
    if draw(st.integers(0, 5)) == 0:
        rows[0] = rows[1]
    return tuple(rows[0]), tuple(rows[1]), draw(st.integers(1, drafts))


def fractions(weights: Weights) -> list[Fraction]:
    return [Fraction(weight, sum(weights)) for weight in weights]


def floats(weights: Weights) -> np.ndarray:
    return np.array([float(x) for x in fractions(weights)])


def optimal(target: np.ndarray, draft: np.ndarray, n: int) -> Coupling:
    return coupling(target, draft, n)


def reaches_optimum(build: Build) -> Callable[[Problem], None]:
    """r is a law, sum min(p, r) is the optimum, and the cut proves it."""

    def check(problem: Problem) -> None:
        target, draft, n = floats(problem[0]), floats(problem[1]), problem[2]
        found = build(target, draft, n)
        assert abs(found.marginal.sum() - 1) < CLOSE
        assert (found.marginal >= 0).all()
        assert abs(np.minimum(target, found.marginal).sum() - optimum(target, draft, n).acceptance) < CLOSE
        assert abs(found.gap) < CLOSE

    return check


def is_reachable(build: Build) -> Callable[[Problem], None]:
    """By max-flow over Fractions, the law r (rounded) fits into the enumerated drafts."""

    def check(problem: Problem) -> None:
        draft, n = fractions(problem[1]), problem[2]
        marginal = build(floats(problem[0]), floats(problem[1]), n).marginal
        flow = max_flow([Fraction(float(r)) for r in marginal], draft_laws.get("iid").law(draft, n))
        assert flow.acceptance > 1 - Fraction(1, 10**12)

    return check


def grid(points: int = 37) -> np.ndarray:
    """Positions inside an interval, dense towards both ends."""
    inner = (np.arange(points) + 0.5) / points
    ends = 10.0 ** -np.arange(2, 13)
    return np.sort(np.concatenate([[0.0], ends, inner, 1 - ends]))


def swaps(selector: SwapSelector, draft: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Token, position, partner and probability of a swap, on the grid of every token that can be drafted."""
    tokens = np.flatnonzero(draft > 0).repeat(len(grid()))
    return tokens, *selector.swap(tokens, np.tile(grid(), (draft > 0).sum()))


def selects_with_marginal(build: Build) -> Callable[[Problem], None]:
    """E[Y(score) | position] = R, position by position: its integral over the token's interval is r exactly.

    Given uniform scores of the others, a draft at score x is selected with probability x^(n-1) = Y(x) / n. Where the
    needs before two positions differ by less than their rounding the partner may be wrong; the trapezoid rule over the
    grid, which is dense at the ends, weighs such stretches by their length.
    """

    def check(problem: Problem) -> None:
        target, draft, n = floats(problem[0]), floats(problem[1]), problem[2]
        if n == 1:
            return
        found = build(target, draft, n)
        tokens, position, partner, chance = swaps(found.selector, draft)  # type: ignore[arg-type]
        share = np.clip(chance, 0, 1)  # a coin in [0, 1) is below it with this probability
        mean = n * ((1 - share) * position ** (n - 1) + share * partner ** (n - 1))
        wrong = np.abs(mean - (found.marginal / np.where(draft > 0, draft, 1))[tokens]) * draft[tokens]
        lost = np.trapezoid(wrong.reshape(-1, len(grid())), grid(), axis=1)
        assert lost.max() < CLOSE, f"selection is {lost.max():.3g} off the stated marginal"

    return check


def keeps_scores_uniform(build: Build) -> Callable[[Problem], None]:
    """Partners have equal needs before them, computed from p, q and r alone, on opposite sides of Y.

    Then the density that leaves s arrives at T(s) and the reverse: scores have the law of positions.
    """

    def check(problem: Problem) -> None:
        target, draft, n = floats(problem[0]), floats(problem[1]), problem[2]
        if n == 1:
            return
        found = build(target, draft, n)
        possible = np.flatnonzero(draft > 0)
        level = found.marginal[possible] / draft[possible]
        order = np.argsort(level, kind="stable")
        level, right = level[order], np.cumsum(draft[possible][order])
        left = np.concatenate([[0.0], right[:-1]])

        def needs(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Integrals of (R - Y)^+ and (Y - R)^+ from 0 to each position."""
            at = at[:, None]
            end = np.clip(at, left, right)
            bend = np.clip((level / n) ** (1 / (n - 1)), left, end)
            lifts = level * (bend - left) - (bend**n - left**n)
            drops = (end**n - bend**n) - level * (end - bend)
            return lifts.sum(axis=1), drops.sum(axis=1)

        _, position, partner, chance = swaps(found.selector, draft)  # type: ignore[arg-type]
        moving = chance > 1e-6
        position, partner = position[moving], partner[moving]
        here, there = needs(position), needs(partner)
        rising = partner > position
        off = np.where(rising, here[0] - there[1], here[1] - there[0])
        assert np.abs(off).max(initial=0) < CLOSE, f"partners' needs differ by {np.abs(off).max():.3g}"

    return check


def scores_have_uniform_law(build: Build, problem: Problem, *, rounds: int) -> float:
    """Largest difference of the score's distribution function and x at interval ends, by the midpoint rule in s."""
    target, draft, n = floats(problem[0]), floats(problem[1]), problem[2]
    found = build(target, draft, n)
    places = (np.arange(rounds) + 0.5) / rounds
    at = np.linspace(0, 1, 41)
    below = np.zeros(len(at))
    for token in np.flatnonzero(draft > 0):
        position, partner, chance = found.selector.swap(np.full(rounds, token), places)  # type: ignore[attr-defined]
        share = np.clip(chance, 0, 1)
        for i, x in enumerate(at):
            below[i] += draft[token] * np.mean((1 - share) * (position <= x) + share * (partner <= x))
    return float(np.abs(below - at).max())
