"""Whole generate calls, judged by their exact law: the checks that a text alone allows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from proofs_tests.oracle.corpus.toys import Text
from specmath import oracle

ATOM = 64 * 2.0**-53  # as rare as single points of numpy's uniforms
CLOSE = 1e-12  # float64 sums of a few hundred terms


def findings(
    generate: Callable[[Sequence[int], int], Any],
    expected: dict[Text, float],
    *,
    prompt: Text,
    length: int,
    stop: int | None,
) -> dict[str, float]:
    """Failed checks and their numbers. ``expected`` is the law of texts of ``length`` tokens, padded with ``stop``."""
    law = oracle.law_of(lambda: tuple(generate(prompt, length)), arrays="numpy")
    texts: dict[Text, float] = defaultdict(float)
    failed: dict[str, float] = defaultdict(float)
    for text, exact in law.items():
        probability = float(exact)
        ended = stop is not None and stop in text
        if ended and text.index(stop) + 1 < len(text):
            failed["nothing_after_stop"] += probability
        if len(text) > length or (len(text) < length and not ended):
            failed["count_range"] += probability
        texts[text if stop is None else (*text, *[stop] * (length - len(text)))] += probability
    impossible = sum(probability for text, probability in texts.items() if text not in expected)
    if impossible:
        failed["unsafe_zero" if impossible <= ATOM else "zero_probability"] = impossible
    variation = sum(abs(texts[t] - expected.get(t, 0.0)) for t in {*texts, *expected}) / 2
    if variation > CLOSE:
        failed["exact_law"] = variation
    return dict(failed)
