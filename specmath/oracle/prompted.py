"""What a whole generate call is judged on: a prompt, a number of new tokens, and the law of the target's own texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specmath.arrays import to_numpy

Text = tuple[int, ...]
Row = tuple[float, ...]
TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "float16": 1e-4, "bfloat16": 1e-4}
"""Allowed |sum - 1| of a law, by the dtype of the model; laws themselves are float32 or float64."""


class Model:
    """Next-token laws from somebody's callable, each asked for once, checked and scaled to sum to one in float64."""

    def __init__(self, name: str, law: Callable[[Text], Any], dtype: str) -> None:
        self._name, self._law, self._dtype = name, law, dtype
        self._rows: dict[Text, Row] = {}
        self.vocabulary = 0
        self.corrected = 0.0
        """The largest |sum - 1| that was scaled away."""

    def __call__(self, text: Text) -> Row:
        """The law after ``text``, the prompt included. ValueError for what is no law."""
        if text not in self._rows:
            self._rows[text] = self._checked(text)
        return self._rows[text]

    def _checked(self, text: Text) -> Row:
        where = f"{self._name}({text})"
        try:
            given = self._law(text)
        except Exception as error:
            raise ValueError(f"{where} raised {type(error).__name__}: {str(error).splitlines()[:1]}") from error
        if hasattr(given, "detach"):
            given = given.detach()
        kind = str(getattr(given, "dtype", "float64")).rpartition(".")[2]
        if kind in ("float16", "bfloat16"):
            raise ValueError(f"{where} is {kind}; allowed are laws in float32 or float64")
        try:
            row = np.asarray(to_numpy(given) if hasattr(given, "__array__") else given, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{where} is {given!r}; allowed are numbers, shape (V,)") from None
        if row.ndim != 1 or not row.size:
            raise ValueError(f"{where} has shape {row.shape}; allowed is (V,)")
        total = float(row.sum())
        allowed = TOLERANCE["float32" if kind == "float32" else self._dtype]
        if not (row >= 0).all() or not abs(total - 1) <= allowed:
            raise ValueError(f"{where} sums to {total:.9g}, from {row.min():.3g}; allowed are numbers >= 0 of sum 1")
        if self.vocabulary not in (0, len(row)):
            raise ValueError(f"{where} has {len(row)} tokens; allowed are {self.vocabulary}, as after other texts")
        self.vocabulary = len(row)
        self.corrected = max(self.corrected, abs(total - 1))
        return tuple((row / total).tolist())


def text_law(
    model: Callable[[Text], Sequence[float]], prompt: Text, length: int, stop: int | None
) -> dict[Text, float]:
    """Law of texts of ``length`` tokens after ``prompt``, P(y) = prod_i model(prompt, y_<i)(y_i); ``stop`` ends one.

    >>> text_law(lambda text: (0.5, 0.5), (0,), 2, 1)
    {(1,): 0.5, (0, 1): 0.25, (0, 0): 0.25}
    """
    done: dict[Text, float] = {}
    open_: dict[Text, float] = {(): 1.0}
    for _ in range(length):
        longer: dict[Text, float] = {}
        for text, weight in open_.items():
            for token, probability in enumerate(model((*prompt, *text))):
                if probability > 0:
                    (done if token == stop else longer)[(*text, token)] = weight * probability
        open_ = longer
    return {**done, **open_}


@dataclass(frozen=True)
class Prompted:
    """An instance of kind "generate".

    Attributes
    ----------
    name : what it is called in findings.
    prompts : the prompts of the call; several for a batch.
    length : new tokens that were asked for.
    stop : the token that ends a text, None if none does.
    vocabulary : number of tokens V.
    laws : (context after the prompt, target's law, draft's law or ()) of the texts that a call can pass through.
    """

    name: str
    prompts: tuple[Text, ...]
    length: int
    stop: int | None
    vocabulary: int
    laws: tuple[tuple[Text, Row, Row], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As ``audit.schema.json`` tells."""
        return {
            "name": self.name,
            "kind": "generate",
            "vocabulary": self.vocabulary,
            "prompts": [list(prompt) for prompt in self.prompts],
            "length": self.length,
            "stop": self.stop,
            "laws": [{"context": list(c), "target": list(t), "draft": list(d)} for c, t, d in self.laws],
        }

    def lines(self, most: int) -> list[tuple[str, str, str]]:
        """Rows of the table that is printed, at most ``most`` laws."""
        with_draft = any(draft for _, _, draft in self.laws)
        rows = [("after the prompt", "target", "draft" if with_draft else "")]
        rows += [(_words(c) or "(nothing)", _numbers(t), _numbers(d)) for c, t, d in self.laws[:most]]
        return rows if len(rows) > 1 else []

    @property
    def title(self) -> str:
        """One line that says what was called."""
        prompts = " | ".join(map(_words, self.prompts))
        ends = "" if self.stop is None else f", stop {self.stop}"
        return f"instance: prompt {prompts}; {self.length} new tokens{ends}, {self.vocabulary} in the vocabulary"


def contexts(
    target: Callable[[Text], Row], draft: Callable[[Text], Row] | None, prompt: Text, length: int, stop: int | None
) -> tuple[tuple[Text, Row, Row], ...]:
    """Laws after every text that the target can write in fewer than ``length`` tokens, shortest first."""
    found: list[tuple[Text, Row, Row]] = []
    level: list[Text] = [()]
    for _ in range(length):
        for text in level:
            row = target((*prompt, *text))
            found.append((text, row, () if draft is None else draft((*prompt, *text))))
        level = [
            (*text, token)
            for text in level
            for token, probability in enumerate(target((*prompt, *text)))
            if probability > 0 and token != stop
        ]
    return tuple(found)


def _words(tokens: Text) -> str:
    return " ".join(map(str, tokens))


def _numbers(row: Row) -> str:
    return " ".join(f"{p:.6g}" for p in row)
