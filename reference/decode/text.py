"""The text while it is decoded: its tokens, how many more may follow, and the cut at stop tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reference.decode.options import Options
from reference.decode.trace import Round, StopReason
from reference.models.protocol import LanguageModel


class Text:
    """Tokens of one request, prompt included. `commit` closes a round and returns its record."""

    def __init__(self, target: LanguageModel, prompt: Sequence[int], options: Options) -> None:
        self.tokens = [int(token) for token in prompt]
        self._options = options
        full = len(prompt) + options.max_tokens
        self._end = min(full, target.context_length)
        self._end_reason: StopReason = "length" if full <= target.context_length else "context"
        self._rounds = 0
        self._begun = 0.0

    def begin(self) -> int:
        """Start the clock of a round; the position at which it starts."""
        self._begun = time.perf_counter()
        return len(self.tokens)

    @property
    def length(self) -> int:
        return len(self.tokens)

    @property
    def room(self) -> int:
        """How many tokens may still be emitted."""
        return self._end - len(self.tokens)

    def drafts(self, most: int, draft: LanguageModel) -> int:
        """How many tokens deep the next round may draft, at most ``most``: it emits up to one token more than that, and
        the draft reads the text and all drafts but the last."""
        return max(0, min(most, self.room - 1, draft.context_length - self.length + 1))

    def commit(
        self,
        emitted: Sequence[int],
        *,
        accepted: int = 0,
        drafted: Sequence[int] = (),
        parents: Sequence[int] | None = None,
        target_laws: NDArray[np.float64] | None = None,
        draft_laws: NDArray[np.float64] | None = None,
        draft_calls: int = 0,
    ) -> Round:
        """Append the emitted tokens up to the first stop token; both laws, (N, V), are those at the drafted tokens'
        places. Without ``parents`` the drafts are a chain."""
        position, reason = len(self.tokens), None
        for place, token in enumerate(emitted):
            if token in self._options.stop:
                emitted, reason = emitted[: place + 1], "stop"
                break
        self.tokens += emitted
        if reason is None and self.room <= 0:
            reason = self._end_reason
        self._rounds += 1
        return Round(
            request=self._options.request,
            round=self._rounds - 1,
            position=position,
            drafted=tuple(drafted),
            parents=tuple(range(-1, len(drafted) - 1)) if parents is None else tuple(parents),
            draft_logprobs=_log_of(draft_laws, drafted),
            target_logprobs=_log_of(target_laws, drafted),
            accepted=min(accepted, len(emitted)),
            emitted=tuple(emitted),
            stop_reason=reason,
            target_calls=1,
            draft_calls=draft_calls,
            seconds=time.perf_counter() - self._begun,
        )


def _log_of(laws: NDArray[np.float64] | None, tokens: Sequence[int]) -> tuple[float, ...]:
    if laws is None or not len(tokens):
        return ()
    with np.errstate(divide="ignore"):
        return tuple(np.log(laws[np.arange(len(tokens)), list(tokens)]).tolist())
