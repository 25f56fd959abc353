"""The decoders of the demo: what they draft, which rule judges it, and how many texts they have in work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reference import drafters
from reference.decode import Options, Request
from reference.demo.settings import CHAIN_RULES, PATHS, ROWS, TREE_RULES, Settings, shape
from reference.drafters import Drafter
from reference.pair import Pair
from specmath.rules import Rule

AUTOREGRESSIVE = "autoregressive"


@dataclass(frozen=True)
class PathsDecoder:
    """A decoder that drafts n independent paths a round: its rule, n and the length of a path."""

    rule: str
    n: int
    draft_length: int

    @property
    def name(self) -> str:
        return f"paths/{self.rule} n={self.n}"


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """How the texts of one decoder are made.

    The texts take the ``drafters`` in turn (None: autoregressive). ``rule`` judges the drafts; without one randomness
    is coupled. ``rows`` texts are in work at a time, each of at most ``max_tokens``.
    """

    name: str
    drafters: tuple[Drafter | None, ...]
    rule: str | Rule | None = None
    rows: int = 1
    max_tokens: int

    def request(self, number: int, start: Sequence[int], options: Options) -> Request:
        """Text ``number`` of this decoder."""
        own = self.drafters[number % len(self.drafters)]
        return Request(prompt=start, options=options, drafter=own, rule=self.rule)


def coupled(pair: Pair, settings: Settings) -> list[Decoder]:
    """The decoders that must give the same text: one token at a time, chains, trees, and a batch of all of these."""
    length, most = settings.draft_length, settings.equality_tokens
    branches = shape(length)
    chain, tree = drafters.chain(pair.draft, length), drafters.tree(pair.draft, branches)
    grown = drafters.best_first(pair.draft, nodes=int(np.cumprod(branches).sum()), depth=length, width=branches[0])
    return [
        Decoder(name=AUTOREGRESSIVE, drafters=(None,), max_tokens=most),
        Decoder(name="chain", drafters=(chain,), max_tokens=most),
        Decoder(name="tree", drafters=(tree,), max_tokens=most),
        Decoder(name="best-first", drafters=(grown,), max_tokens=most),
        Decoder(name="batched", drafters=(chain, tree, grown, None), rows=ROWS, max_tokens=most),
    ]


def rejecting(pair: Pair, settings: Settings) -> list[Decoder]:
    """The decoders whose drafts a rule judges. They are decoded in batches, to the texts that each would have alone."""
    length, few = settings.draft_length, settings.path_tokens
    chain, tree = drafters.chain(pair.draft, length), drafters.tree(pair.draft, shape(length))

    def made(name: str, drafter: Drafter, rule: str, most: int) -> Decoder:
        return Decoder(name=name, drafters=(drafter,), rule=rule, rows=ROWS, max_tokens=min(most, settings.max_tokens))

    return [
        *(made(f"chain/{rule}", chain, rule, settings.max_tokens) for rule in CHAIN_RULES),
        *(made(f"tree/{rule}", tree, rule, few) for rule in TREE_RULES),
        *(
            made(one.name, drafters.paths(pair.draft, one.n, one.draft_length), one.rule, few)
            for one in paths_decoders(length)
        ),
    ]


def paths_decoders(draft_length: int) -> list[PathsDecoder]:
    """The decoders of the demo that draft several paths."""
    return [PathsDecoder(rule, n, length or draft_length) for rule, n, length in PATHS]


def limits(draft_length: int) -> dict[str, int]:
    """Most tokens that a round of each decoder emits: the depth of what it drafts, and one more.

    >>> limits(4)["chain/block"], limits(4)["paths/optimal n=2"]
    (5, 2)
    """
    deep = ["chain", "tree", "best-first", "batched"]
    deep += [*(f"chain/{rule}" for rule in CHAIN_RULES), *(f"tree/{rule}" for rule in TREE_RULES)]
    shallow = {one.name: one.draft_length + 1 for one in paths_decoders(draft_length)}
    return {AUTOREGRESSIVE: 1} | dict.fromkeys(deep, draft_length + 1) | shallow
