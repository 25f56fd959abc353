"""How a round decides what to keep of a drafted tree, in either kind of randomness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reference.decode.options import Options
from reference.drafters.protocol import Drafter, Proposal
from reference.drafters.shapes import Tree
from reference.gumbel import Noise, best, scores
from reference.random import Stream, Uniforms
from specmath import rules
from specmath.draws import categorical
from specmath.rules import Rule


@dataclass(frozen=True)
class Kept:
    """What a round keeps: the nodes of one path from the text, their tokens and one token more."""

    path: tuple[int, ...]
    emitted: list[int]


Scores = Callable[[NDArray[np.float64], NDArray[np.float64], Sequence[int]], NDArray[np.float64]]


class Judge(Protocol):
    """Decides about the tree of one round, and says how its nodes must be drawn.

    Attributes
    ----------
    rule : name of the rule of `specmath.rules`, None for coupled choices.
    drafts, at_least, scores : see `reference.drafters.protocol.Task`.
    """

    @property
    def rule(self) -> str | None: ...

    @property
    def drafts(self) -> str: ...

    @property
    def at_least(self) -> int: ...

    @property
    def scores(self) -> Scores | None: ...

    def laws(self, name: str, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """The laws that are sampled, (R, V), from logits (R, V) of the model of that name."""
        ...

    def decide(self, position: int, logits: NDArray[np.float64], laws: NDArray[np.float64], proposal: Proposal) -> Kept:
        """Target logits and laws (N + 1, V): after the text, and after each of the N nodes."""
        ...


def children(proposal: Proposal) -> dict[int, list[int]]:
    """Nodes below the text (-1) and below each node, in order; nodes without any are left out."""
    found: dict[int, list[int]] = {}
    for node, parent in enumerate(proposal.parents):
        found.setdefault(parent, []).append(node)
    return found


class Coupled:
    """The target chooses at each place with the noise of that place; the path goes on while its choice was drafted.

    Nothing but the path is looked at. So logits from which no law follows (NaN) matter only where plain decoding meets
    them, and in a draft they propose nothing.
    """

    rule, at_least = None, 1

    def __init__(self, options: Options, source: Uniforms, size: int, drafts: str = "coupled") -> None:
        self.drafts, self._options, self._noise = drafts, options, Noise(source, size)

    def laws(self, name: str, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """`Options.laws`, but zero where no law follows."""
        return self._options.laws(name, logits, partly=True)

    def scores(
        self, logits: NDArray[np.float64], laws: NDArray[np.float64], positions: Sequence[int]
    ) -> NDArray[np.float64]:
        """See `reference.gumbel.scores`."""
        return scores(logits, laws, self._options.temperature, self._noise, positions)

    def decide(self, position: int, logits: NDArray[np.float64], laws: NDArray[np.float64], proposal: Proposal) -> Kept:
        below, node, path, emitted = children(proposal), -1, [], []
        while True:
            row = slice(node + 1, node + 2)
            found = best(self.scores(logits[row], laws[row], [position + len(path)])[0], 1)
            if not found:
                self._options.laws("target", logits[row])  # says what is wrong with them
            chosen = found[0]
            emitted.append(chosen)
            node = next((child for child in below.get(node, ()) if proposal.tokens[child] == chosen), -1)
            if node < 0:
                return Kept(tuple(path), emitted)
            path.append(node)


class Rejection:
    """A rule of `specmath.rules` decides: chains and trees at once, rules for nodes at each node of the path.

    Its accept tests come from one stream, the draws after a rejection from another, and the token after the last
    accepted draft from a third.
    """

    scores = None

    def __init__(self, rule: Rule, drafts: str, options: Options, source: Uniforms, size: int) -> None:
        """``drafts`` is the draft law that the rule is told; ``size`` the number of tokens V."""
        self.rule, self.at_least, self.drafts = rule.name, rule.at_least, drafts
        self._rule, self._options, self._source, self._size = rule, options, source, size

    def laws(self, name: str, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """`Options.laws`: the rule looks at the laws of all nodes."""
        return self._options.laws(name, logits)

    def decide(self, position: int, logits: NDArray[np.float64], laws: NDArray[np.float64], proposal: Proposal) -> Kept:
        if not len(proposal.tokens):
            return Kept((), [self._drawn(laws[0], position)])
        self._check(proposal)
        if self._rule.layout == "node":
            return self._walk(position, laws, proposal)
        extra = (np.array(proposal.parents),) if self._rule.layout == "tree" else ()
        coins = self._coins(position, self._rule.uniforms(len(proposal.tokens)) - 1, 1)
        drafted = np.stack(self._drafted(proposal))
        verdict = self._rule.verify(laws, drafted, np.array(proposal.tokens), coins, *extra, check=False)
        emitted = [token for token in verdict.tokens.tolist() if token >= 0]
        node, path = int(verdict.accepted), []
        while node >= 0:
            path.append(node)
            node = proposal.parents[node]
        return Kept(tuple(reversed(path)), emitted)

    def _walk(self, position: int, laws: NDArray[np.float64], proposal: Proposal) -> Kept:
        below, node, path, emitted, used = children(proposal), -1, [], [], 0
        drafted = self._drafted(proposal)
        while node in below:
            own = below[node]
            tests = self._rule.uniforms(len(own)) - 1
            coins = self._coins(position, used + tests, len(path) + 1)
            coins = np.append(coins[used : used + tests], coins[-1])
            tokens = np.array([proposal.tokens[child] for child in own])
            verdict = self._rule.verify(laws[node + 1], drafted[own[0]], tokens, coins, check=False)
            emitted.append(int(verdict.tokens))
            if int(verdict.accepted) < 0:
                return Kept(tuple(path), emitted)
            node, used = own[int(verdict.accepted)], used + tests
            path.append(node)
        return Kept(tuple(path), [*emitted, self._drawn(laws[node + 1], position)])

    def _check(self, proposal: Proposal) -> None:
        """ValueError unless this is a tree that the rule judges, with laws: else the text would have another law."""
        rule, shape = self._rule, Tree(tuple(proposal.parents)).shape
        if (rule.layout == "chain" and shape != "chain") or (rule.shape == "paths" and shape == "tree"):
            wanted = "a chain" if rule.layout == "chain" else "paths of one length"
            raise ValueError(f"drafter: it proposed a {shape} (parents {list(proposal.parents)}); allowed is {wanted}")
        for node, own in children(proposal).items():
            if not rule.at_least <= len(own) <= (rule.at_most or len(own)):
                raise ValueError(
                    f"drafter: {len(own)} candidates below node {node}; rule {rule.name!r} does not take so many"
                )
            if proposal.laws is None:
                continue
            law = proposal.laws[own[0]]
            if any(proposal.laws[child] is not law and not np.array_equal(proposal.laws[child], law) for child in own):
                raise ValueError(f"drafter: candidates below node {node} have different laws; allowed is one for all")
            if np.shape(law) != (self._size,) or not (np.min(law) >= 0 and abs(np.sum(law) - 1) <= TOLERANCE):
                raise ValueError(
                    f"drafter: the law below node {node} is none; allowed are {self._size} numbers >= 0 that sum to 1"
                )

    def _drawn(self, law: NDArray[np.float64], position: int) -> int:
        return int(categorical(law, self._source(position, Stream.TARGET, 1)[0]))

    def _coins(self, position: int, tests: int, draws: int) -> NDArray[np.float64]:
        parts = [self._source(position, Stream.ACCEPT, tests), self._source(position, Stream.RESIDUAL, draws)]
        return np.concatenate(parts)

    def _drafted(self, proposal: Proposal) -> Sequence[NDArray[np.float64]]:
        """The law (V,) at the place of each node; certain tokens share the mass with their siblings."""
        if proposal.laws is not None:
            return proposal.laws
        rows: dict[int, NDArray[np.float64]] = {}
        for parent, own in children(proposal).items():
            if len(own) > 1 and self.drafts != "top_k":  # nobody drew them: a rule for drawn candidates is biased
                raise ValueError(
                    f"laws: None for {len(own)} candidates of one node, drafts={self.drafts!r}; allowed for certain "
                    "candidates is drafts='top_k', or one a node"
                )
            rows[parent] = np.zeros(self._size)
            rows[parent][[proposal.tokens[child] for child in own]] = 1 / len(own)
        return [rows[parent] for parent in proposal.parents]


TOLERANCE = 1e-9
"""On the sum of a draft's law."""

DEFAULTS = ("token_wise", "traversal", "sampler_match")
"""Rules for rejection where none is named: the first that fits."""


def choose(rule: str | Rule | None, drafter: Drafter | None, options: Options) -> tuple[Rule | None, str]:
    """The rule (None: coupled randomness) and the draft law that its drafts must follow ("coupled" without a rule).

    Raises ValueError for a rule together with coupled randomness, an unknown one, and one that does not judge the trees
    or the draft law of the drafter.
    """
    if rule is not None and options.randomness == "coupled":
        raise ValueError("rule: given with coupled randomness, where no rule judges; allowed is None, or rejection")
    if drafter is None:
        if rule is not None:
            raise ValueError("rule: given without a drafter; there is nothing to judge")
        return (rules.get("token_wise") if options.randomness == "rejection" else None), "coupled"
    if rule is None and options.randomness != "rejection":
        allowed = drafter.laws or ("coupled",)
        return None, "coupled" if "coupled" in allowed else allowed[0]
    fitting = [name for name in rules.names() if fits(rules.get(name), drafter)]
    if rule is None:
        rule = next((name for name in DEFAULTS if name in fitting), "none")
    found = rule if isinstance(rule, Rule) else rules.get(rule) if rule in rules.names() else None
    if found is None or not fits(found, drafter):
        name = rule if found is None else found.name
        by = "" if drafter.laws is None else f" drawn by {' or '.join(drafter.laws)}"
        raise ValueError(
            f"rule is {name!r}; allowed for a {drafter.shape} with {' or '.join(map(str, drafter.branches))} "
            f"candidates a node{by} are {', '.join(map(repr, fitting)) or 'none'}"
        )
    drafts = next(law for law in found.drafts if drafter.laws is None or law in drafter.laws)
    return found.under(drafts), drafts


def judge_of(rule: str | Rule | None, drafter: Drafter | None, options: Options, source: Uniforms, size: int) -> Judge:
    """The judge for texts over ``size`` tokens; raises as `choose` does."""
    found, drafts = choose(rule, drafter, options)
    if found is None:
        return Coupled(options, source, size, drafts)
    return Rejection(found, drafts, options, source, size)


def fits(rule: Rule, drafter: Drafter) -> bool:
    """Whether the rule judges such trees, drawn so."""
    if rule.layout == "chain" and drafter.shape != "chain":
        return False
    if rule.layout == "tree" and rule.shape == "paths" and drafter.shape == "tree":
        return False
    if drafter.laws is not None and not set(drafter.laws) & set(rule.drafts):
        return False
    return all(rule.at_least <= n and (rule.at_most is None or n <= rule.at_most) for n in drafter.branches)
