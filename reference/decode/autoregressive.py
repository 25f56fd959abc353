"""Plain decoding: one target call per token. The law that every other decoder must reproduce."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reference.decode.options import Options, check_request
from reference.decode.text import Text
from reference.decode.trace import Decoded, Round, collect
from reference.models.protocol import LanguageModel
from reference.random import Stream, Uniforms, keyed
from specmath.draws import categorical


def autoregressive(
    target: LanguageModel, prompt: Sequence[int], *, options: Options | None = None, uniforms: Uniforms | None = None
) -> Decoded:
    """Continue ``prompt`` token by token, x_t ~ target(. | x_<t).

    ``uniforms`` replaces the counter-based source of randomness (seed and request of the options are then not used).
    Raises ValueError before any work for an empty prompt, one that fills the context, or token ids out of range; and
    for logits that hold NaN.

    >>> from reference.models.table import TableModel
    >>> autoregressive(TableModel(lambda prefix: [0, 1], 2), [0], options=Options(max_tokens=3)).tokens
    (1, 1, 1)
    """
    return collect(autoregressive_rounds(target, prompt, options=options, uniforms=uniforms))


def autoregressive_rounds(
    target: LanguageModel, prompt: Sequence[int], *, options: Options | None = None, uniforms: Uniforms | None = None
) -> Iterator[Round]:
    """The same as a stream: each round (one token) as soon as it is committed; checks run before the first."""
    options = Options() if options is None else options
    check_request(target, None, prompt, options)
    return _decode(target, Text(target, prompt, options), options, uniforms or keyed(options.seed, options.request))


def _decode(target: LanguageModel, text: Text, options: Options, uniforms: Uniforms) -> Iterator[Round]:
    state = target.start()
    while True:
        position = text.begin()
        logits = state.extend(text.tokens[state.length :])  # (new tokens, V)
        law = options.laws("target", logits[-1:])[0]  # (V,)
        token = int(categorical(law, uniforms(position, Stream.TARGET, 1)[0]))
        committed = text.commit([token])
        yield committed
        if committed.stop_reason:
            return
