"""The equality check: the same prompt and the same random numbers must give the same text, whatever the decoder.

A text is compared token for token with that of autoregressive decoding, and below the tokens bit for bit: the logits
that decided each token, and the log-probabilities that are reported. Texts that part have other contexts behind the
first token that differs, so logits are compared up to that token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.demo.decoders import coupled
from reference.demo.decoding import Made, Text, run
from reference.demo.planted import DEFECTS
from reference.demo.settings import CONTRAST, PLANTED, ROWS, Settings
from reference.models.protocol import LanguageModel
from reference.models.tiny import TinyModel
from reference.numerics.registry import arithmetic
from reference.pair import Pair
from reference.pair.prompts import Prompt


@dataclass(frozen=True)
class Likeness:
    """One text beside the autoregressive one.

    ``leading`` tokens are the same before the first that differs; ``same_logits`` tells for these and for that one
    whether the logits have the same bits.
    """

    text: Text
    same_text: bool
    same_logprobs: bool
    leading: int
    same_logits: NDArray[np.bool_]


@dataclass(frozen=True)
class Compared:
    """All texts of one decoder beside the autoregressive ones of the same arithmetic.

    ``promised``: the arithmetic's bits do not depend on how tokens are batched, so everything must be equal;
    ``defect`` is what was broken on purpose, and then something must differ.
    """

    decoder: str
    arithmetic: str
    promised: bool
    likenesses: tuple[Likeness, ...]
    defect: str = ""

    @property
    def texts(self) -> int:
        return len(self.likenesses)

    @property
    def equal_texts(self) -> int:
        """Texts whose tokens, and whose reason to end, are the same."""
        return sum(one.same_text for one in self.likenesses)

    @property
    def equal_logprobs(self) -> int:
        """Texts whose log-probabilities all have the same bits."""
        return sum(one.same_logprobs for one in self.likenesses)

    @property
    def logit_rows(self) -> int:
        """Compared rows of logits, one a token."""
        return sum(len(one.same_logits) for one in self.likenesses)

    @property
    def equal_logit_rows(self) -> int:
        """Those with the same bits."""
        return sum(int(one.same_logits.sum()) for one in self.likenesses)

    @property
    def equal(self) -> bool:
        """Whether every token, every log-probability and every bit of the logits is the same."""
        whole = self.texts, self.texts, self.logit_rows
        return whole == (self.equal_texts, self.equal_logprobs, self.equal_logit_rows)

    @property
    def passed(self) -> bool | None:
        """Whether a promise was kept or a defect seen; None where nothing is promised."""
        if self.defect:
            return not self.equal
        return self.equal if self.promised else None

    def as_json(self) -> dict[str, Any]:
        """An entry of ``equality`` in ``demo.schema.json``."""
        names = ("decoder", "arithmetic", "texts", "equal_texts", "equal_logprobs", "logit_rows", "equal_logit_rows")
        return {name: getattr(self, name) for name in names} | {"defect": self.defect or None, "passed": self.passed}


@dataclass(frozen=True)
class Equality:
    """Every comparison of a run: the pair's own arithmetic, the contrast, the planted defects."""

    compared: tuple[Compared, ...]

    def shares(self) -> dict[str, tuple[int, int]]:
        """For each arithmetic: texts that are the same with all decoders, and all texts; without the defects."""
        found = {}
        for name in dict.fromkeys(one.arithmetic for one in self.compared):
            own = [one.likenesses for one in self.compared if one.arithmetic == name and not one.defect]
            found[name] = sum(all(one.same_text for one in text) for text in zip(*own, strict=True)), len(own[0])
        return found

    def as_json(self) -> dict[str, Any]:
        """The object ``equality`` of ``demo.schema.json``."""
        return {
            "identical": [
                {"arithmetic": name, "texts": texts, "identical": same, "share": same / texts}
                for name, (same, texts) in self.shares().items()
            ],
            "compared": [one.as_json() for one in self.compared],
        }

    @property
    def failures(self) -> list[str]:
        """Broken promises and defects that were not seen, one line each."""
        found = []
        for one in self.compared:
            if one.passed is False and one.defect:
                found.append(f"defect not seen by the equality check: {one.defect}")
            elif one.passed is False:
                texts, logs = one.texts - one.equal_texts, one.texts - one.equal_logprobs
                rows = one.logit_rows - one.equal_logit_rows
                found.append(
                    f"{one.decoder}, {one.arithmetic}: of {one.texts} texts {texts} differ from autoregressive ones, "
                    f"{logs} in log-probabilities; {rows} of {one.logit_rows} rows of logits"
                )
        return found


def bits(rows: NDArray[np.floating]) -> NDArray[np.unsignedinteger]:
    """Floating numbers as whole ones of the same bits: 0 and -0 differ, NaN is equal to itself."""
    return np.ascontiguousarray(rows).view(f"u{rows.dtype.itemsize}")


def likeness(text: Text, judge: Text) -> Likeness:
    """One text beside the autoregressive one of the same prompt."""
    mine, due = text.decoded, judge.decoded
    shorter = min(len(mine.tokens), len(due.tokens))
    leading = next((t for t in range(shorter) if mine.tokens[t] != due.tokens[t]), shorter)
    compared = min(leading + 1, shorter)
    same_bits = bits(text.logits[:compared]) == bits(judge.logits[:compared])  # (T, V)
    return Likeness(
        text,
        (mine.tokens, mine.stop_reason) == (due.tokens, due.stop_reason),
        np.array_equal(bits(np.array(mine.logprobs)), bits(np.array(due.logprobs))),
        leading,
        same_bits.all(axis=-1),
    )


def compare(made: Made, judge: Sequence[Text], name: str, defect: str = "") -> Compared:
    """The texts of a decoder beside the autoregressive ones, ``name`` being the arithmetic of both."""
    found = tuple(likeness(text, due) for text, due in zip(made.texts, judge, strict=True))
    return Compared(made.decoder.name, name, arithmetic(name).exact, found, defect)


def check(
    made: Sequence[Made],
    pair: Pair,
    prompts: Sequence[Prompt],
    settings: Settings,
    *,
    watch: Callable[..., Iterable[Any]] | None = None,
) -> Equality:
    """Compare the decoders that were ``made`` (the first autoregressive) and, decoded here, the same decoders in the
    contrasting arithmetic and trees with every planted defect.

    ``watch(work, label=...)`` is told what is being decoded.
    """
    own = pair.target.arithmetic
    judge = made[0].texts
    found = [compare(one, judge, own) for one in made[1:]]

    def shown(label: str) -> Callable[[Sequence[Any]], Iterable[Any]]:
        return iter if watch is None else partial(watch, label=label)

    other = Pair(*(TinyModel(model.network, CONTRAST) for model in (pair.target, pair.draft)))
    first, *others = run(
        other.target, coupled(other, settings), prompts, settings, watch=shown(f"decode, {CONTRAST} arithmetic")
    )
    found += [compare(one, first.texts, CONTRAST) for one in others]
    tree = next(one.decoder for one in made if one.decoder.name == "tree")
    tree = replace(tree, rows=ROWS)
    few = min(len(prompts), PLANTED)
    for defect, plant in DEFECTS.items():
        broken: LanguageModel = plant(pair.target)
        (one,) = run(broken, [tree], prompts[:few], settings)
        found.append(compare(one, judge[:few], own, defect))
    return Equality(tuple(found))
