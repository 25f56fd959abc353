"""Decoding with coupled randomness: the sampled text is a function of prompt and seed, whatever drafts it.

The token at position t is argmax_v [log target(v | text) + G(t, v)] with Gumbel noise G that is keyed by seed, request
and t alone. That samples from the target's law, and no drafter can change it. A draft that takes the same noise
proposes the same token often: with probability at least (1 - TV) / (1 + TV). With an arithmetic whose bits do not
depend on the layout (`reference.numerics`) the text is equal, token for token, with and without a draft, for any draft
length.

Source: daliri2024coupling (drafter-invariant decoding).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from reference.decode.options import Options, check_count, check_request
from reference.decode.text import Text
from reference.decode.trace import Decoded, Round, collect
from reference.models.protocol import LanguageModel
from reference.random import Stream, Uniforms, keyed


def coupled(
    target: LanguageModel,
    prompt: Sequence[int],
    *,
    draft: LanguageModel | None = None,
    draft_length: int = 4,
    options: Options | None = None,
    uniforms: Uniforms | None = None,
) -> Decoded:
    """Continue ``prompt`` with coupled randomness; with a ``draft`` by rounds of ``draft_length`` drafted tokens.

    Tokens of a round are kept up to the first one that the target, with the same noise, does not choose; that one is
    replaced by the target's choice. Raises ValueError as `autoregressive` and `chain` do.

    >>> from reference.models.table import TableModel
    >>> coins = TableModel(lambda prefix: [0.5, 0.5], 2)
    >>> plain = coupled(coins, [0], options=Options(max_tokens=9, seed=4))
    >>> plain.tokens == coupled(coins, [0], draft=coins, options=Options(max_tokens=9, seed=4)).tokens
    True
    """
    return collect(
        coupled_rounds(target, prompt, draft=draft, draft_length=draft_length, options=options, uniforms=uniforms)
    )


def coupled_rounds(
    target: LanguageModel,
    prompt: Sequence[int],
    *,
    draft: LanguageModel | None = None,
    draft_length: int = 4,
    options: Options | None = None,
    uniforms: Uniforms | None = None,
) -> Iterator[Round]:
    """The same as a stream: each round as soon as it is committed; checks run before the first."""
    options = Options() if options is None else options
    check_count("draft_length", draft_length)
    check_request(target, draft, prompt, options)
    uniforms = uniforms or keyed(options.seed, options.request)
    return _decode(target, draft, Text(target, prompt, options), draft_length, options, uniforms)


def choice(law: NDArray[np.float64], uniforms: NDArray[np.float64]) -> int:
    """argmax_v [log law(v) + G_v], G = -log(-log u), as argmax law(v) / -log u(v); laws and uniforms (V,).

    It follows the law: the first arrival of exponential clocks with these rates. Tokens of probability zero are never
    chosen; a uniform of 0 counts as 2^-54; of equal maxima the first is taken.

    >>> choice(np.array([0.0, 1.0]), np.array([0.999, 0.001]))
    1
    """
    return int(np.argmax(law / -np.log(np.maximum(uniforms, 2.0**-54))))


def _decode(
    target: LanguageModel,
    draft: LanguageModel | None,
    text: Text,
    draft_length: int,
    options: Options,
    source: Uniforms,
) -> Iterator[Round]:
    target_state = target.start()
    draft_state = None if draft is None else draft.start()
    size = target.vocabulary_size
    while True:
        position = text.begin()
        length = 0 if draft is None else text.drafts(draft_length, draft)  # L
        noise = [source(position + i, Stream.COUPLED, size) for i in range(length + 1)]  # L + 1 times (V,)

        # 1. draft x_1..x_L: what the draft would choose with the target's noise
        drafted: list[int] = []
        draft_laws = np.zeros((length, size))  # (L, V)
        for i in range(length):
            assert draft_state is not None, "there is a draft where there is a length"
            logits = draft_state.extend((text.tokens + drafted)[draft_state.length :])  # (new tokens, V)
            draft_laws[i] = options.laws("draft", logits[-1:])[0]
            drafted.append(choice(draft_laws[i], noise[i]))

        # 2. one target call, and the target's own choices y_1..y_{L+1} along the drafts
        logits = target_state.extend((text.tokens + drafted)[target_state.length :])  # (new tokens, V)
        target_laws = options.laws("target", logits[-length - 1 :])  # (L + 1, V)
        chosen = [choice(law, own) for law, own in zip(target_laws, noise, strict=True)]

        # 3. drafts that the target chooses too are kept, then one choice of the target more
        accepted = next((i for i in range(length) if drafted[i] != chosen[i]), length)
        committed = text.commit(
            chosen[: accepted + 1],
            accepted=accepted,
            drafted=drafted,
            target_laws=target_laws[:length],
            draft_laws=draft_laws,
            draft_calls=length,
        )
        yield committed
        if committed.stop_reason:
            return
        target_state.rewind(text.length - 1)
        if draft_state is not None:
            draft_state.rewind(min(draft_state.length, text.length - 1))
