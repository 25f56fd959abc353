"""Instances of the oracle, sampled as the corpus samples its toys; and the exact law of completed texts on them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from proofs_tests.oracle.corpus.entry import Entry
from proofs_tests.oracle.corpus.sampling import Sampler
from proofs_tests.oracle.corpus.toys import PROMPT, Text, Toy
from specmath import oracle
from specmath.oracle.joint import joint
from specmath.oracle.kinds import Call, extras

Law = dict[Any, float]


class Given:
    """One row of an instance, with the laws of a `Toy`."""

    drafts, text_law = Toy.drafts, Toy.text_law

    def __init__(self, row: oracle.Instance) -> None:
        self._row, self._laws = row, dict[tuple[Text, bool], np.ndarray]()
        self.size = row.vocabulary

    def target(self, text: Text) -> np.ndarray:
        return self._law(text, True)

    def draft(self, text: Text) -> np.ndarray:
        return self._law(text, False)

    def _law(self, text: Text, of_target: bool) -> np.ndarray:
        key = (text, of_target)
        if key not in self._laws:
            model = self._row.target if of_target else self._row.draft
            self._laws[key] = np.array([float(p) for p in model[text]])
        return self._laws[key]


def dtype_of(entry: Entry) -> str:
    return entry.dtype or ("float64" if entry.arrays == "numpy" else "float32")


def sampler(entry: Entry, instance: oracle.Instance, seed: int) -> Sampler:
    """Rounds of the function on an instance, on real random numbers."""
    rows = tuple(Given(row) for row in instance.rows)
    return Sampler(entry, rows, seed, instance.parents)  # type: ignore[arg-type]


def found_law(entry: Entry, instance: oracle.Instance) -> Law:
    """The law that the oracle finds, of texts as `Sampler.rounds` yields them: None for calls that emit no text."""
    function, generator = entry.load(), None
    if entry.arrays == "torch":
        import torch

        generator = torch.Generator()
    call = Call(function, entry.arrays, dtype_of(entry), extras(function, entry.arrays))
    emitted = joint(call, instance, generator=generator)
    rows = [Given(row) for row in instance.rows]
    found: Law = {}
    lost = sum(emitted.raised.values()) + sum(emitted.outside.values())
    if lost:
        found[None] = lost
    for texts, probability in emitted.emitted.items():
        if texts in emitted.outside:
            continue
        parts = [list(_completed(row, text, instance.length)) for row, text in zip(rows, texts, strict=True)]
        for one in product(*parts):
            text = tuple(text for text, _ in one) if entry.kind == "batch" else one[0][0]
            found[text] = found.get(text, 0.0) + probability * math.prod(p for _, p in one)
    return found


def _completed(row: Given, text: Text, length: int) -> Iterator[tuple[Text, float]]:
    if len(text) >= length:
        yield text, 1.0
        return
    for token, probability in enumerate(row.target(text).tolist()):
        for longer, rest in _completed(row, (*text, token), length) if probability else ():
            yield longer, probability * rest


def whole_verdict(entry: Entry, toy: Toy, length: int, *, minimise: bool = False) -> oracle.Verdict:
    """The audit of a generate call on a toy."""
    options = {} if entry.stop is None else {"stop": entry.stop}
    generate = entry.load()(toy.target, toy.draft, **options)
    return oracle.audit_generate(
        generate, toy.target, prompts=(PROMPT,), length=length, stop=entry.stop, arrays="numpy", minimise=minimise
    )
