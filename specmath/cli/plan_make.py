"""The plan itself: draft length, threshold, tree, predicted speed-up and its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from specmath.cli.command import UsageError
from specmath.cli.plan_fit import Floats, Known
from specmath.metrics.interval import Interval, cluster_bootstrap
from specmath.speed import ChainPlan, best_draft_length, limit_length, plan_chain
from specmath.speed.chain import LONGEST
from specmath.stopping import Costs, renewal_threshold
from specmath.trees.choose import TreeChoice, choose_size
from specmath.trees.ranked import by_rank
from specmath.trees.tree import DraftTree

MOST_ROWS = 20
RANKS = 4
MOST_DEPTH = 16


@dataclass(frozen=True)
class Row:
    """A draft length, its tokens per round and speed-up, and the interval of the speed-up."""

    draft_length: int
    tokens: float
    speedup: float
    interval: Interval | None


@dataclass(frozen=True)
class Plan:
    """What `specmath plan` prints; ``tree`` is None where drafting does not pay."""

    best: Row
    threshold: float
    tree: DraftTree | None
    choice: TreeChoice
    rows: tuple[Row, ...]
    longest: int | None
    notes: tuple[str, ...]


def make(known: Known, costs: Costs, *, longest: int | None, nodes: int, replicates: int, seed: int) -> Plan:
    """The plan for a known acceptance; UsageError where the best draft length is unbounded and no bound is given."""
    step, notes = float(costs.token), []
    if known.conditional is None:
        chain = _bounded(known.acceptance, step, longest)
        deepest = longest
    else:
        curve = known.curve(LONGEST if longest is None else longest)
        chain = plan_chain(curve, draft_step=step)
        deepest = len(curve)
        if chain.draft_length == deepest and (longest is None or deepest < longest):
            notes.append(f"the trace says nothing of drafts beyond {deepest}: longer ones may be better")
    lengths = _shown(chain.draft_length, deepest)
    tokens = 1 + np.concatenate([[0.0], np.cumsum(known.curve(max(lengths[-1], 1)))])
    rows = {
        length: Row(
            length,
            float(tokens[length]),
            float(tokens[length] / (1 + length * step)),
            interval_of(known, step, length, replicates, seed),
        )
        for length in lengths
    }
    mean, best = known.acceptance, rows[chain.draft_length]
    choice, tree = _tree(known, costs, nodes, deepest)
    return Plan(
        best,
        float(renewal_threshold(mean, costs, max(best.speedup, 1.0))) if mean > 0 else 0.0,
        tree,
        choice,
        tuple(rows.values()),
        deepest,
        (*known.notes, *notes),
    )


def _bounded(acceptance: float, step: float, longest: int | None) -> ChainPlan:
    """Leviathan's best draft length; the limit of the speed-up is said where there is none."""
    best = limit_length(acceptance, step)
    if longest is None and best > LONGEST:
        # 1 / (1 - a) tokens a round at most, and L + 1 tokens in a round of cost 1 + L c.
        reached = min(1 / (1 - acceptance) if acceptance < 1 else np.inf, 1 / step if step > 0 else np.inf)
        limit = "grows without bound" if np.isinf(reached) else f"stays below {reached:.6g}"
        what = (
            "a longer draft is always better" if np.isinf(best) else f"the best draft is longer than {LONGEST} tokens"
        )
        raise UsageError(
            f"with acceptance {acceptance:g} and cost {step:g} {what}, and the speed-up {limit}; give --longest"
        )
    return best_draft_length(acceptance, step, longest=longest)


def interval_of(known: Known, step: float, length: int, replicates: int, seed: int) -> Interval | None:
    """Interval of the speed-up of one draft length; None without counts or a second request, and for length 0."""
    if length == 0:
        return None
    if known.bounds is not None:  # the speed-up of a fixed length rises with the acceptance
        low, high = (
            float((1 + sum(end**k for k in range(1, length + 1))) / (1 + length * step)) for end in known.bounds
        )
        return Interval(low, high, 0.95, "wilson")
    if known.sums is None:
        return None

    def speedups(sums: Floats) -> Floats:
        tested, accepted = np.split(sums, 2, axis=1)
        # A draw in which a position was never tested knows nothing good of it.
        rates = np.divide(accepted, tested, out=np.zeros_like(tested), where=tested > 0)[:, :length]
        return (1 + np.cumprod(rates, axis=1).sum(axis=1)) / (1 + length * step)

    return cluster_bootstrap(known.sums, speedups, replicates=replicates, seed=seed)


def _tree(known: Known, costs: Costs, nodes: int, deepest: int | None) -> tuple[TreeChoice, DraftTree | None]:
    """The best tree if a node's further candidates, the one before rejected, are as good as the first."""
    depth = min(nodes, MOST_DEPTH, MOST_DEPTH if deepest is None else deepest)
    firsts = [known.acceptance] if known.conditional is None else known.conditional[:depth].tolist()
    table = by_rank([[first * (1 - first) ** rank for rank in range(RANKS)] for first in firsts], nodes, depth=depth)
    slot, draft = float(costs.slot), float(costs.draft)
    choice = choose_size(table.values, verify=lambda tokens: 1 + slot * (tokens - 1), draft=lambda d: draft * d)
    return choice, table.tree(choice.nodes, choice.depth) if choice.nodes else None


def _shown(best: int, deepest: int | None) -> list[int]:
    """Draft lengths of the table: all of a few, else powers of two and those around the best."""
    last = max(8, best + 4)
    last = last if deepest is None else min(last, deepest)
    if last <= MOST_ROWS:
        return list(range(last + 1))
    powers = {2**k for k in range(last.bit_length()) if 2**k <= last}
    return sorted({0, *powers, *(one for one in (best - 1, best, best + 1) if one <= last)})
