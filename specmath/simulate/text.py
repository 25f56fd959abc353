"""A text while it is simulated: its state in the acceptance process, its draws, and what it has emitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from specmath.simulate.requests import Request
from specmath.simulate.trace import DRAFT, Drafted, Round, StopReason, named
from specmath.stopping.compiled import FRESH, Compiled, Move, Starts
from specmath.stopping.view import Policy, View
from specmath.trees.tree import DraftTree, children_of


def drawn(pairs: Sequence[tuple], rng: np.random.Generator) -> Any:
    """One of the (probability, value) pairs' values."""
    if len(pairs) == 1:
        return pairs[0][1]
    left = rng.random()
    for weight, value in pairs:
        left -= weight
        if left < 0:
            return value
    return pairs[-1][1]  # the weights sum to one up to rounding


class Drawn(NamedTuple):
    """A drafted token of a chain, and whether it is kept if those before it are."""

    move: Move
    kept: bool


class Proposal(NamedTuple):
    """What a round drafted and what becomes of it: nodes, the path that is kept, and draft steps."""

    drafts: tuple[Drafted, ...]
    path: tuple[int, ...]
    depth: int


def as_drafts(chain: Sequence[Drawn]) -> tuple[Drafted, ...]:
    """The nodes of a chain."""
    found = []
    for place, one in enumerate(chain):
        sure = 1.0 if one.move.confidence is None else float(one.move.confidence)
        found.append(Drafted(place - 1, sure, sure * one.move.acceptance))
    return tuple(found)


def accepted(chain: Sequence[Drawn]) -> int:
    """Tokens before the first that is not kept."""
    return next((place for place, one in enumerate(chain) if not one.kept), len(chain))


class Text:
    """One text. Its draws are its own: they depend on the seed and its number, not on who else is in the batch."""

    def __init__(
        self,
        number: int,
        request: Request,
        process: Compiled | None,
        plan: Policy | DraftTree,
        seed: np.random.SeedSequence,
    ) -> None:
        draws, others = seed.spawn(2)
        self.number, self.request, self.process = number, request, process
        self.tree = plan if isinstance(plan, DraftTree) else None
        self.policy = None if isinstance(plan, DraftTree) else plan.restore(None)
        self.rng, self.side = np.random.default_rng(draws), np.random.default_rng(others)
        self.start, self.emitted, self.rounds = FRESH, 0, 0
        self.admitted: float | None = None
        self.first: float | None = None
        self.finished: float | None = None

    @property
    def room(self) -> int:
        """How many tokens may still be emitted; the stop token's place is not known in advance."""
        return self.request.max_tokens - self.emitted

    @property
    def left(self) -> int:
        """How many tokens will still be emitted."""
        return self.request.length - self.emitted

    @property
    def context(self) -> int:
        """Tokens of prompt and text."""
        return self.request.prompt + self.emitted

    @property
    def ended(self) -> StopReason | None:
        if self.left > 0:
            return None
        return "stop" if self.emitted == self.request.stop else "length"

    def root(self) -> int:
        """The state in which drafting begins."""
        assert self.process is not None
        return drawn(self.process.roots(self.start), self.rng)

    def token(self, state: int) -> Drawn | None:
        """A token drafted in a state; None if nothing can be."""
        assert self.process is not None
        row = self.process.moves[state]
        if not row:
            return None
        move = drawn([(one.probability, one) for one in row], self.rng)
        return Drawn(move, bool(self.rng.random() < move.acceptance))

    def propose(self, horizon: int, lag: int) -> Proposal:
        """Draft a round: a chain as long as the policy says, or the tree; at most what fits the text."""
        return self._tree() if self.tree is not None else self._chain(min(horizon, self.room - 1), lag)

    def _chain(self, most: int, lag: int) -> Proposal:
        assert self.policy is not None
        assert self.process is not None
        root = latent = self.root()
        survival, chain = 1.0, []
        while len(chain) < most:
            last = (chain[-1].move.confidence, chain[-1].move.entropy) if chain else (None, None)
            view = View(len(chain), survival, min(len(chain), lag), self.process.states[latent], *last)
            if not self.policy.decide(view):
                break
            one = self.token(chain[-1].move.state if chain else root)
            if one is None:
                break
            chain.append(one)
            if len(chain) > lag:
                seen = chain[len(chain) - lag - 1].move
                survival, latent = survival * seen.acceptance, seen.state
        kept = accepted(chain)
        if kept < len(chain):
            self.begin(chain[kept].move.rejected)
        else:
            self.begin(self.process.bonus[chain[-1].move.state if chain else root])
        if chain:
            self.policy.observe(len(chain), kept)
        return Proposal(as_drafts(chain), tuple(range(kept)), len(chain))

    def _tree(self) -> Proposal:
        assert self.tree is not None
        depths, below = self.tree.depths, children_of(self.tree.parents)
        fits = [node for node in range(self.tree.nodes) if depths[node] < self.room]  # as a decoder cuts it
        place = {node: number for number, node in enumerate(fits)}
        drafts = []
        for node in fits:
            parent = self.tree.parents[node]
            above = float(self.tree.weights[parent]) if parent >= 0 else 1.0
            share = float(self.tree.weights[node]) / above if above else 0.0
            drafts.append(Drafted(place.get(parent, -1), 1.0, share, DRAFT + below[parent].index(node)))
        path: list[int] = []
        while True:
            here, left = path[-1] if path else -1, self.rng.random()
            for number, one in enumerate(drafts):
                if one.parent == here:
                    left -= one.target
                    if left < 0:
                        path.append(number)
                        break
            else:
                return Proposal(tuple(drafts), tuple(path), max((depths[node] for node in fits), default=0))

    def begin(self, law: Starts) -> None:
        """Where the next round begins: drawn from the law; None: as the text did."""
        self.start = FRESH if law is None else drawn(law, self.rng)

    def commit(
        self,
        drafts: Sequence[Drafted],
        path: Sequence[int],
        *,
        own: bool = True,
        seconds: float,
        target_calls: int = 1,
        draft_calls: int,
    ) -> Round:
        """Emit the kept path and, with ``own``, one token of the target, up to the end of the text."""
        count = min(len(path) + own, self.left)
        position, number = self.context, self.rounds
        stops = self.emitted + count == self.request.stop
        self.emitted += count
        self.rounds += 1
        return Round(
            request=self.number,
            round=number,
            position=position,
            **named(drafts, path, own, count, stops),
            stop_reason=self.ended,
            target_calls=target_calls,
            draft_calls=draft_calls,
            seconds=seconds,
        )
