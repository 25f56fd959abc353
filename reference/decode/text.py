"""The text while it is decoded: its tokens, how many more may follow, and the cut at stop tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reference.decode.options import Options
from reference.decode.trace import Round, StopReason
from reference.drafters.protocol import Proposal
from reference.models.protocol import LanguageModel


class Text:
    """Tokens of one request, prompt included. `commit` closes a round and returns its record."""

    def __init__(
        self,
        target: LanguageModel,
        prompt: Sequence[int],
        options: Options,
        *,
        emitted: Sequence[int] = (),
        rounds: int = 0,
    ) -> None:
        self.prompt = tuple(int(token) for token in prompt)
        self.tokens = [*self.prompt, *emitted]
        self.options, self.rounds = options, rounds
        full = len(prompt) + options.max_tokens
        self._end = min(full, target.context_length)
        self._end_reason: StopReason = "length" if full <= target.context_length else "context"
        self._begun = 0.0

    def begin(self) -> int:
        """Start the clock of a round; the position at which it starts."""
        self._begun = time.perf_counter()
        return len(self.tokens)

    @property
    def emitted(self) -> tuple[int, ...]:
        return tuple(self.tokens[len(self.prompt) :])

    @property
    def room(self) -> int:
        """How many tokens may still be emitted."""
        return self._end - len(self.tokens)

    @property
    def ended(self) -> StopReason | None:
        """Why nothing more may be emitted; None if something may."""
        if len(self.tokens) > len(self.prompt) and self.tokens[-1] in self.options.stop:
            return "stop"
        return self._end_reason if self.room <= 0 else None

    def commit(self, path: Sequence[int], emitted: list[int], laws: NDArray[np.float64], proposal: Proposal) -> Round:
        """Append the emitted tokens up to the first stop token. ``laws`` (N + 1, V): the target's after the text and
        after each drafted node; ``path`` are the nodes that were kept."""
        position = len(self.tokens)
        for place, token in enumerate(emitted):
            if token in self.options.stop:
                emitted = emitted[: place + 1]
                break
        self.tokens += emitted
        self.rounds += 1
        above = [0, *(node + 1 for node in path)][: len(emitted)]
        drafts = [1.0] * len(proposal.tokens)
        if proposal.laws is not None:
            drafts = [law[token] for law, token in zip(proposal.laws, proposal.tokens, strict=True)]
        return Round(
            request=self.options.request,
            round=self.rounds - 1,
            position=position,
            drafted=tuple(proposal.tokens),
            parents=tuple(proposal.parents),
            draft_logprobs=_logs(drafts),
            target_logprobs=_logs(laws[np.array(proposal.parents, dtype=np.int64) + 1, list(proposal.tokens)]),
            accepted=min(len(path), len(emitted)),
            emitted=tuple(emitted),
            logprobs=_logs(laws[above, emitted]),
            stop_reason=self.ended,
            target_calls=1,
            draft_calls=proposal.calls,
            seconds=time.perf_counter() - self._begun,
        )


def _logs(probabilities: Sequence[float] | NDArray[np.float64]) -> tuple[float, ...]:
    with np.errstate(divide="ignore"):
        return tuple(np.log(np.asarray(probabilities, dtype=np.float64)).tolist())
