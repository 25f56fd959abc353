"""What one run of the demo is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reference.decode.options import check_count
from reference.random import keyed

CHAIN_RULES = ("token_wise", "block")
PATHS = (("optimal", 2, 1), ("optimal", 4, 1), ("optimal_paths", 2, None))
"""(rule, n, length of a path) of the decoders that draft n paths; None is the draft length of the chains."""

COMPARED = ("recursive", "k_seq")
"""Rules whose acceptance is computed on the contexts of those decoders."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Numbers that decide what is decoded and computed; the same for every decoder.

    Attributes
    ----------
    prompts : how many of the shipped prompts are decoded, kinds in turn.
    max_tokens : most tokens (bytes) emitted for each prompt.
    path_tokens : the same for the decoders that draft several paths, whose rounds cost more.
    draft_length : drafted tokens in one round of a chain.
    seed : 64-bit key of the random counter, and of the Monte Carlo rows of the table.
    contexts : contexts of each text, evenly spaced, that enter the table of rules.
    replicates : draws of the drafts per context where a rule has no acceptance formula.
    pair : folder of the models, None for the shipped pair.

    Raises ValueError naming the number that is out of range.
    """

    prompts: int = 36
    max_tokens: int = 96
    path_tokens: int = 32
    draft_length: int = 4
    seed: int = 0
    contexts: int = 16
    replicates: int = 64
    pair: Path | None = None

    def __post_init__(self) -> None:
        for name in ("prompts", "max_tokens", "path_tokens", "draft_length", "contexts"):
            check_count(name, getattr(self, name))
        keyed(self.seed, 0)
