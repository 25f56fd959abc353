"""A drafter on its own: what it proposes below a text, its reads being served by the model itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from reference.decode import Options
from reference.decode.judge import Coupled
from reference.drafters import Drafter, Drafting, Proposal, Task
from reference.models.protocol import LanguageModel
from reference.random import Keyed


def task(options: Options, size: int, *, drafts: str = "coupled", at_least: int = 1) -> Task:
    """What a decoder offers a drafter."""
    source = Keyed(options.seed, options.request)
    noise = Coupled(options, source, size).scores if drafts == "coupled" else None
    return Task(lambda model: model.start(), options.laws, noise, source, drafts, at_least, size)


def propose(drafting: Drafting, tokens: Sequence[int], most: int) -> tuple[Proposal, list[int]]:
    """The proposal, and how many tokens and nodes each pass read."""
    steps, passes = drafting.propose(tokens, most), []
    try:
        read = next(steps)
        while True:
            passes.append(len(read.tokens) + len(read.tree))
            read = steps.send(read.state.extend(read.tokens, read.tree, read.parents))
    except StopIteration as end:
        return end.value, passes


def proposed(drafter: Drafter, tokens: Sequence[int], most: int, given: Task) -> Proposal:
    """What a new text is drafted."""
    return propose(drafter.begin(given), tokens, most)[0]


def paths(proposal: Proposal) -> list[tuple[int, ...]]:
    """The tokens from the text down to each node."""
    found: list[tuple[int, ...]] = []
    for token, parent in zip(proposal.tokens, proposal.parents, strict=True):
        found.append((*(found[parent] if parent >= 0 else ()), int(token)))
    return found


def law_after(model: LanguageModel, options: Options) -> Callable[[Sequence[int]], np.ndarray]:
    """The law that is sampled, (V,), after a text."""
    return lambda text: options.laws("draft", model.start().extend(list(text)))[-1]
