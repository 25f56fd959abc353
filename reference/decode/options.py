"""What a decoder is told, and the checks that run before any work starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reference.models.protocol import LanguageModel, check_tokens
from reference.random import Keyed
from specmath.logits import check_options, law_from_logits

Randomness = Literal["coupled", "rejection"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a text is continued; the same for every decoder.

    Attributes
    ----------
    max_tokens : most tokens to emit, >= 1.
    temperature, top_k, top_p : see `specmath.logits.law_from_logits`; applied alike to target and draft.
    seed : 64-bit key of the random counter.
    request : 32-bit number of this text; texts of one seed with different numbers are independent.
    stop : token ids that end the text; the one that was met is the last token emitted.
    randomness : "coupled": the text is a function of prompt, seed and target (`reference.gumbel`); "rejection": a rule
        judges the drafts, and the text has the target's law. None: rejection where a rule is given, else coupled.

    Raises ValueError naming the option that is out of range.
    """

    max_tokens: int = 200
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    request: int = 0
    stop: frozenset[int] = field(default_factory=frozenset)
    randomness: Randomness | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "stop", frozenset(self.stop))  # any iterable of ids is taken
        except TypeError:
            raise ValueError(f"stop is {self.stop!r}; allowed are token ids in a list, set or tuple") from None
        for name in ("max_tokens", "top_k"):
            check_count(name, getattr(self, name), optional=name == "top_k")
        check_options(self.temperature, self.top_k, self.top_p)
        Keyed(self.seed, self.request)
        if self.randomness not in (None, "coupled", "rejection"):
            raise ValueError(f"randomness is {self.randomness!r}; allowed are 'coupled' and 'rejection'")

    def laws(self, name: str, logits: NDArray[np.float64], *, partly: bool = False) -> NDArray[np.float64]:
        """The laws that are sampled, (T, V) float64, from a model's logits (T, V).

        With ``partly`` the rows from which none follows are zero, without an error.
        ValueError, naming the model, for logits from which no law follows (NaN, +inf, a row masked completely).
        """
        if partly:
            lawful = np.abs(logits.max(axis=-1)) < np.inf  # NaN fails this, too
            if not lawful.all():
                laws = np.zeros(logits.shape)
                laws[lawful] = self.laws(name, logits[lawful])
                return laws
        try:
            return law_from_logits(logits, temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def check_count(name: str, value: int | None, *, optional: bool = False) -> None:
    """ValueError unless the value is a whole number >= 1 (or None where that is allowed)."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:  # type: ignore[operator]
        raise ValueError(f"{name} is {value!r}; allowed are whole numbers >= 1")


def check_request(target: LanguageModel, prompt: Sequence[int], options: Options) -> None:
    """Everything about a prompt that can be wrong before the first model call; raises ValueError."""
    for name in ("vocabulary_size", "context_length", "cache", "start"):
        if not hasattr(target, name):
            raise ValueError(
                f"target is a {type(target).__name__} without {name!r}; allowed is a LanguageModel, such as "
                "pair.load().target or reference.models.TransformersModel(network)"
            )
    if isinstance(prompt, str) or len(getattr(prompt, "shape", (0,))) != 1:
        raise ValueError("prompt: it is no list of token ids; allowed is one row of them, without a batch axis")
    if len(prompt) < 1:
        raise ValueError("prompt is empty; allowed is one token or more")
    if len(prompt) >= target.context_length:
        raise ValueError(
            f"prompt has {len(prompt)} tokens; allowed are up to {target.context_length - 1}, "
            f"so that the target's context of {target.context_length} has room for one more"
        )
    check_tokens("prompt", prompt, target.vocabulary_size)
    check_tokens("stop", sorted(options.stop), target.vocabulary_size)
