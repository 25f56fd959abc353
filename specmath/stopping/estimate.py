"""What a policy brings, by simulation, for policies and processes that cannot be enumerated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from specmath.arrays import check_count, check_number
from specmath.stopping.compiled import FRESH, Compiled, Move, Starts, compiled
from specmath.stopping.costs import Costs, check_costs
from specmath.stopping.evaluate import HORIZON, Evaluation
from specmath.stopping.policies.hindsight import Hindsight
from specmath.stopping.policies.policy import check_length
from specmath.stopping.process import Process
from specmath.stopping.view import Policy, View, check_policy


def estimate(
    policy: Policy,
    process: Process,
    costs: Costs,
    *,
    texts: int = 100,
    tokens: int = 1_000,
    seed: int = 0,
    horizon: int = HORIZON,
    lag: int = 0,
    confidence: float = 0.95,
) -> Evaluation:
    """Averages over simulated texts, with an interval of the speed-up; the same for the same seed.

    Each text begins with the policy's memory empty and ends with the round in which it reaches ``tokens``. The
    interval is that of a ratio of means over texts (delta method, Student's t; cochran1977sampling, Section 6.3):
    approximate, good from some dozens of texts on. What a policy learns during the first rounds counts.

    Raises ValueError for numbers out of range; fewer than two texts have no interval.
    """
    check_count("texts", texts)
    check_count("tokens", tokens)
    check_costs(costs)
    check_policy(policy)
    check_length("horizon", horizon)
    check_length("lag", lag)
    check_length("seed", seed)
    check_number("confidence", confidence, 0.5, 1 - 1e-12, "levels from 0.5 to below 1")
    if texts < 2:
        raise ValueError(f"texts is {texts}; allowed are 2 or more, so that there is an interval")
    numbered = floated(compiled(process))
    sums = np.zeros((texts, 5))  # emitted, passes, drafted, accepted, capped
    for number, stream in enumerate(np.random.SeedSequence(seed).spawn(texts)):
        rng, own, start = np.random.default_rng(stream), policy.restore(None), FRESH
        while sums[number, 0] < tokens:
            drafted, accepted, start = one_round(own, numbered, start, costs, horizon, lag, rng)
            if drafted:
                own.observe(drafted, accepted)
            sums[number] += (accepted + 1, 1, drafted, accepted, drafted == horizon)
    emitted, passes, drafted, accepted, capped = (float(one) for one in sums.sum(axis=0))
    spent = float(costs.target) * sums[:, 1] + float(costs.token) * sums[:, 2]
    rate = emitted / float(spent.sum())
    speedup = rate * float(costs.target)
    from scipy.stats import t

    spread = float(np.std(sums[:, 0] - rate * spent, ddof=1)) / math.sqrt(texts) / float(spent.mean())
    half = float(t.isf((1 - confidence) / 2, texts - 1)) * spread * float(costs.target)
    return Evaluation(
        rate,
        speedup,
        passes / emitted,
        drafted / emitted,
        (drafted - accepted) / emitted,
        capped / passes,
        (speedup - half, speedup + half),
    )


def floated(process: Compiled) -> Compiled:
    """The same process with all numbers in float, which are drawn faster than fractions."""

    def law(pairs: Starts) -> Starts:
        return None if pairs is None else tuple((float(weight), state) for weight, state in pairs)

    moves = tuple(
        tuple(
            m._replace(probability=float(m.probability), acceptance=float(m.acceptance), rejected=law(m.rejected))
            for m in row
        )
        for row in process.moves
    )
    start = tuple((float(weight), state) for weight, state in process.start)
    return Compiled(process.states, start, moves, tuple(map(law, process.bonus)))


def one_round(
    policy: Policy,
    process: Compiled,
    start: int,
    costs: Costs,
    horizon: int,
    lag: int,
    rng: np.random.Generator,
) -> tuple[int, int, int]:
    """A simulated round of a `floated` process: drafted and kept tokens, and the start of the next round."""
    root = _drawn([(weight, state) for weight, state in process.roots(start)], rng)
    path: list[Move] = []
    accepted: int | None = None  # place of the first rejected token, once there is one
    survival, latent = 1.0, root
    foresees = isinstance(policy, Hindsight)
    most = policy.most(costs, horizon) if isinstance(policy, Hindsight) else horizon
    while len(path) < most:
        row = process.moves[path[-1].state if path else root]
        if not row:
            break
        last = (path[-1].confidence, path[-1].entropy) if path else (None, None)
        view = View(len(path), survival, min(len(path), lag), process.states[latent], *last)
        if not foresees and not policy.decide(view):
            break
        move = _drawn([(m.probability, m) for m in row], rng)
        kept = rng.random() < move.acceptance
        if foresees and not kept:
            return len(path), len(path), _next(move.rejected, rng)
        if accepted is None and not kept:
            accepted = len(path)
        path.append(move)
        if len(path) > lag:
            seen = path[len(path) - lag - 1]
            survival, latent = survival * seen.acceptance, seen.state
    if accepted is None:
        return len(path), len(path), _next(process.bonus[path[-1].state if path else root], rng)
    return len(path), accepted, _next(path[accepted].rejected, rng)


def _drawn(pairs: Sequence[tuple], rng: np.random.Generator) -> Any:
    """One of the (probability, value) pairs' values."""
    if len(pairs) == 1:
        return pairs[0][1]
    left = rng.random()
    for weight, value in pairs:
        left -= weight
        if left < 0:
            return value
    return pairs[-1][1]  # the weights sum to one up to rounding


def _next(law: Starts, rng: np.random.Generator) -> int:
    return FRESH if law is None else _drawn(law, rng)
