"""What one run of the demo is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reference.decode.options import check_count
from reference.random import Keyed

CHAIN_RULES = ("token_wise", "block")
TREE_RULES = ("recursive",)
PATHS = (("optimal", 2, 1), ("optimal", 4, 1), ("optimal_paths", 2, None))
"""(rule, n, length of a path) of the decoders that draft n paths; None is the draft length of the chains."""

COMPARED = ("recursive", "k_seq")
"""Rules whose acceptance is computed on the contexts of those decoders."""

ROWS = 8
"""Texts in work at a time where a decoder is batched."""

CONTRAST = "native"
"""Arithmetic without a promise, shown beside the pair's own."""

PLANTED = 8
"""Most prompts that are decoded for each defect planted in the target."""


def shape(depth: int) -> tuple[int, ...]:
    """Children of a node at each level of the demo's trees.

    >>> shape(4), shape(1)
    ((3, 2, 1, 1), (3,))
    """
    return ((3, 2) + (1,) * depth)[:depth]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Numbers that decide what is decoded and computed; the same for every decoder.

    Attributes
    ----------
    prompts : how many of the shipped prompts are decoded, kinds in turn.
    max_tokens : most tokens (bytes) emitted for each prompt by the chains that a rule judges.
    path_tokens : the same for the decoders that draft several paths, whose rounds cost more.
    equality_tokens : the same for the decoders whose texts are compared.
    draft_length : drafted tokens in one round of a chain, and depth of the trees.
    seed : 64-bit key of the random counter, and of the Monte Carlo rows of the table.
    contexts : contexts of each text, evenly spaced, that enter the table of rules.
    replicates : draws of the drafts per context where a rule has no acceptance formula.
    pair : folder of the models, None for the shipped pair.

    Raises ValueError naming the number that is out of range.
    """

    prompts: int = 30
    max_tokens: int = 48
    path_tokens: int = 24
    equality_tokens: int = 20
    draft_length: int = 4
    seed: int = 0
    contexts: int = 16
    replicates: int = 64
    pair: Path | None = None

    def __post_init__(self) -> None:
        for name in ("prompts", "max_tokens", "path_tokens", "equality_tokens", "draft_length", "contexts"):
            check_count(name, getattr(self, name))
        Keyed(self.seed, 0)
