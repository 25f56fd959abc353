"""What a decoder asks of a drafter, and what it offers it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from reference.models.protocol import LanguageModel, Read, State
from reference.random import Uniforms
from specmath.arrays import Array

Shape = Literal["chain", "paths", "tree"]


@dataclass(frozen=True)
class Proposal:
    """A tree of N tokens below the text.

    Attributes
    ----------
    tokens, parents : the nodes; ``parents[i] < i`` is the number of node i's parent, -1 for the text.
    laws : of each node the draft's law (V,) at its place, shared by siblings; None for a drafter without laws, whose
        tokens count as certain.
    calls : forward passes that drafting took.
    """

    tokens: Sequence[int] = ()
    parents: Sequence[int] = ()
    laws: Sequence[NDArray[np.float64]] | None = None
    calls: int = 0

    def check(self, most: int) -> None:
        """ValueError unless this is a tree of at most ``most`` levels with a law for each node, or none.

        Tokens are checked by the target's cache, which reads them.
        """
        if len(self.parents) != len(self.tokens):
            raise ValueError(f"drafter: {len(self.parents)} parents for {len(self.tokens)} tokens; allowed is one each")
        if self.laws is not None and len(self.laws) != len(self.tokens):
            raise ValueError(
                f"drafter: {len(self.laws)} laws for {len(self.tokens)} tokens; allowed are None or one each"
            )
        depths: list[int] = []
        for node, parent in enumerate(self.parents):
            if not -1 <= parent < node:
                raise ValueError(f"drafter: parents[{node}] is {parent}; allowed are -1 (the text) and earlier nodes")
            depths.append(1 + (depths[parent] if parent >= 0 else 0))
        if max(depths, default=0) > most:
            raise ValueError(f"drafter: a tree {max(depths)} deep; allowed is {most}, so that the text ends in time")


@dataclass(frozen=True)
class Task:
    """What a drafter may use for one text.

    Attributes
    ----------
    open : a state of a model for this text; in a batch the texts share the model's cache.
    laws : ``laws(name, logits (R, V)) -> (R, V)``, the laws that are sampled (temperature, top-k, top-p).
    scores : ``scores(logits (R, V), laws (R, V), positions (R,)) -> (R, V)``, logits with the noise that the target
        adds at these positions of the text; None in rejection mode.
    uniforms : the source of randomness; drafters take their numbers from `Stream.DRAFT`, at the round's position.
    drafts : the law by which the candidates of one node must be drawn, a name of `specmath.draft_laws`, or "coupled":
        the tokens of highest score.
    at_least : fewest candidates of a node that the rule takes; a node that cannot have so many gets none.
    vocabulary_size : of the target.
    """

    open: Callable[[LanguageModel], State]
    laws: Callable[[str, NDArray[np.float64]], NDArray[np.float64]]
    scores: Callable[[NDArray[np.float64], NDArray[np.float64], Sequence[int]], NDArray[np.float64]] | None
    uniforms: Uniforms
    drafts: str
    at_least: int
    vocabulary_size: int


class Drafting(Protocol):
    """A drafter at work on one text."""

    def propose(self, tokens: Sequence[int], most: int) -> Generator[Read, Array, Proposal]:
        """A tree below the text, at most ``most`` tokens deep (possibly 0); yields the reads that it needs.

        Whether a node gets children, and how many, may depend on the nodes above and beside it, never on their own
        values: else the rules of rejection mode are no longer lossless.
        """
        ...

    def keep(self, path: Sequence[int]) -> None:
        """The nodes of the last proposal that became text; the token behind them is seen in the next `propose`."""
        ...

    def memory(self) -> Any:
        """What a resumed text must be given beside its tokens, as JSON values; None if nothing."""
        ...

    def close(self) -> None:
        """Give back what was opened."""
        ...


class Drafter(Protocol):
    """Where candidates come from; made once, at work on many texts.

    Attributes
    ----------
    laws : the laws by which it can draw the candidates of one node: names of `specmath.draft_laws` and "coupled"; None
        for a drafter that draws by whichever is asked for.
    branches : the numbers of candidates that a node of its trees can have, where it has any.
    shape : what it proposes: "chain" (one path), "paths" (paths of one length that part at the text), or any "tree".
    """

    @property
    def laws(self) -> tuple[str, ...] | None: ...

    @property
    def branches(self) -> tuple[int, ...]: ...

    @property
    def shape(self) -> Shape: ...

    def check(self, target: LanguageModel) -> None:
        """ValueError if this drafter cannot draft for that target (another vocabulary)."""
        ...

    def begin(self, task: Task, memory: Any = None) -> Drafting:
        """Start on a text, or go on with one whose `Drafting.memory` was saved."""
        ...


def check_vocabulary(target: LanguageModel, draft: LanguageModel) -> None:
    """ValueError unless both models have as many tokens."""
    if draft.vocabulary_size != target.vocabulary_size:
        raise ValueError(
            f"target has {target.vocabulary_size} tokens and draft {draft.vocabulary_size}; both must share one "
            "vocabulary, or the draft must be wrapped: reference.models.mapped"
        )
