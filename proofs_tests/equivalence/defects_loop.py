"""Planted defects of the loop: what is kept, emitted, drawn, remembered, and with whose options."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from reference.decode import judge, loop
from reference.decode.judge import Coupled, Kept, children
from reference.decode.loop import Saved, Stream
from reference.decode.options import Options
from reference.decode.text import Text
from reference.drafters.model import ModelDrafting
from reference.gumbel import Noise
from reference.random import Keyed

Planted = AbstractContextManager[Any]


def _decided(change: Any) -> Planted:
    real = Coupled.decide

    def decide(self: Coupled, position: int, logits: Any, laws: Any, proposal: Any) -> Kept:
        return change(real(self, position, logits, laws, proposal), proposal)

    return patch.object(Coupled, "decide", decide)


def bonus_missing() -> Planted:
    """The token after the last accepted draft is not emitted."""
    return _decided(lambda kept, proposal: Kept(kept.path, kept.emitted[:-1]) if kept.path else kept)


def bonus_doubled() -> Planted:
    """It is emitted twice when drafts were accepted."""
    real = Text.commit

    def commit(self: Text, path: Any, emitted: list[int], laws: Any, proposal: Any) -> Any:
        made = real(self, path, emitted, laws, proposal)
        if not made.accepted or made.stop_reason:
            return made
        self.tokens.append(made.emitted[-1])
        twice = {name: (*getattr(made, name), getattr(made, name)[-1]) for name in ("emitted", "logprobs")}
        return replace(made, **twice)

    return patch.object(Text, "commit", commit)


def correction_is_kept_as_draft() -> Planted:
    """After a rejection the rejected draft is kept and emitted all the same."""

    def change(kept: Kept, proposal: Any) -> Kept:
        below = children(proposal).get(kept.path[-1] if kept.path else -1)
        if not below:
            return kept
        return Kept((*kept.path, below[0]), [*kept.emitted[:-1], proposal.tokens[below[0]], kept.emitted[-1]])

    return _decided(change)


def other_child_is_kept() -> Planted:
    """The last kept node is replaced by its sibling: another token's keys and values."""

    def change(kept: Kept, proposal: Any) -> Kept:
        if not kept.path:
            return kept
        *above, last = kept.path
        own = children(proposal)[above[-1] if above else -1]
        return Kept((*above, own[(own.index(last) + 1) % len(own)]), kept.emitted)

    return _decided(change)


def logits_off_by_one() -> Planted:
    """A node is judged with the logits of the row before its own."""
    real = Coupled.decide

    def decide(self: Coupled, position: int, logits: Any, laws: Any, proposal: Any) -> Kept:
        order = [0, *range(len(laws) - 1)]
        return real(self, position, logits[order], laws[order], proposal)

    return patch.object(Coupled, "decide", decide)


def _positions(place: Any) -> Planted:
    """The noise of a node: ``place(judge, position, path, node, proposal)`` instead of position + len(path)."""

    def decide(self: Any, position: int, logits: Any, laws: Any, proposal: Any) -> Kept:
        below, node, path, emitted = children(proposal), -1, [], []
        while True:
            row = slice(node + 1, node + 2)
            at = place(self, position, path, node)
            chosen = judge.best(self.scores(logits[row], laws[row], [at])[0], 1)[0]
            emitted.append(chosen)
            node = next((child for child in below.get(node, ()) if proposal.tokens[child] == chosen), -1)
            if node < 0:
                self.wasted = getattr(self, "wasted", 0) + len(proposal.tokens) - len(path)
                return Kept(tuple(path), emitted)
            path.append(node)

    return patch.object(Coupled, "decide", decide)


def noise_by_slot() -> Planted:
    """Noise is keyed by the slot of a node, not by its position."""
    return _positions(lambda self, position, path, node: position + node + 1)


def noise_by_round() -> Planted:
    """Every token of a round is drawn with the noise of the round's first position."""
    return _positions(lambda self, position, path, node: position)


def noise_consumed() -> Planted:
    """Rejected drafts use up noise: the next token's comes later in the sequence."""
    return _positions(lambda self, position, path, node: position + len(path) + getattr(self, "wasted", 0))


def noise_of_first_text() -> Planted:
    """All texts draw with the seed of the first of them."""
    first: list[Any] = []
    real = Noise.__init__

    def init(self: Noise, source: Any, size: int) -> None:
        first.append(source)
        real(self, first[0] if isinstance(source, Keyed) else source, size)

    return patch.object(Noise, "__init__", init)


def temperature_of_first_text() -> Planted:
    """All texts are drawn at the temperature of the first of them."""
    first: list[float] = []
    real = Coupled.__init__

    def init(self: Coupled, options: Options, *rest: Any) -> None:
        first.append(options.temperature)
        real(self, replace(options, temperature=first[0]), *rest)

    return patch.object(Coupled, "__init__", init)


def filters_ignored() -> Planted:
    """top_k and top_p do not keep a token from being drawn."""
    real = judge.scores

    def scores(logits: Any, laws: Any, *rest: Any) -> Any:
        return real(logits, np.ones_like(laws), *rest)

    return patch.object(judge, "scores", scores)


def last_of_ties() -> Planted:
    """Of equal scores the highest token wins."""
    return patch.object(judge, "best", lambda row, count: [len(row) - 1 - int(np.argmax(row[::-1]))])


def stop_ignored_inside() -> Planted:
    """Only a round's last token is compared with the stop tokens."""
    real = Text.commit

    def commit(self: Text, path: Any, emitted: list[int], laws: Any, proposal: Any) -> Any:
        options = self.options
        self.options = replace(options, stop=options.stop - set(emitted[:-1]))
        made = real(self, path, emitted, laws, proposal)
        self.options = options
        return made

    return patch.object(Text, "commit", commit)


def drafts_beyond_the_end() -> Planted:
    """A round drafts as deep as it likes, whatever may still be emitted."""
    real = ModelDrafting.room

    def room(self: ModelDrafting, tokens: Sequence[int], most: int, depth: int) -> int:
        return real(self, tokens, most + 1, depth)

    return patch.object(ModelDrafting, "room", room)


def logprobs_of_first_row() -> Planted:
    """Every token of a round is reported with the law after the text."""
    real = Text.commit

    def commit(self: Text, path: Any, emitted: list[int], laws: Any, proposal: Any) -> Any:
        made = real(self, path, emitted, laws, proposal)
        with np.errstate(divide="ignore"):
            return replace(made, logprobs=tuple(np.log(laws[0, list(made.emitted)]).tolist()))

    return patch.object(Text, "commit", commit)


def resume_forgets_rounds() -> Planted:
    """A resumed text counts its rounds from 0 again."""
    real = Stream.save
    return patch.object(Stream, "save", lambda self: replace(real(self), rounds=0))


def resume_forgets_memory() -> Planted:
    """What the drafter remembers is lost."""
    real = Stream.save
    return patch.object(Stream, "save", lambda self: replace(real(self), memory=None))


def resume_forgets_last_token() -> Planted:
    """The last emitted token is not saved."""
    real = Stream.save

    def save(self: Stream) -> Saved:
        made = real(self)
        return replace(made, emitted=made.emitted[:-1])

    return patch.object(Stream, "save", save)


def draft_keeps_rejected() -> Planted:
    """The draft's state keeps the sibling of a node that was accepted."""
    real = ModelDrafting.keep

    def keep(self: ModelDrafting, path: Sequence[int]) -> None:
        grown, kept = self._grown, list(path)
        for place in range(len(kept) - 1, -1, -1):
            own = [n for n, parent in enumerate(grown.parents) if parent == grown.parents[kept[place]]]
            others = [n for n in own if n in grown.number and n != kept[place]]
            if others:
                kept[place:] = others[:1]
                break
        real(self, kept)

    return patch.object(ModelDrafting, "keep", keep)


def rejected_moves_on() -> Planted:
    """The target keeps one drafted node too many, and the text does not."""
    real = loop.one_round

    def one_round(text: Text, target: Any, drafting: Any, own: Any) -> Any:
        before = target.keep

        def keep(path: Sequence[int]) -> None:
            parents = target.growth.parents
            above = path[-1] if path else -1
            more = next((node for node, parent in enumerate(parents) if parent == above), None)
            before(path if more is None else [*path, more])
            target.keep = before

        target.keep = keep
        return (yield from real(text, target, drafting, own))

    return patch.object(loop, "one_round", one_round)


DEFECTS = {
    "bonus token missing": bonus_missing,
    "bonus token doubled": bonus_doubled,
    "rejected draft emitted": correction_is_kept_as_draft,
    "sibling of the accepted node kept": other_child_is_kept,
    "target keeps a rejected node": rejected_moves_on,
    "draft keeps a rejected sibling": draft_keeps_rejected,
    "logits row off by one": logits_off_by_one,
    "noise keyed by slot": noise_by_slot,
    "noise keyed by round": noise_by_round,
    "noise consumed by rejected drafts": noise_consumed,
    "seed of a batch mate": noise_of_first_text,
    "temperature of a batch mate": temperature_of_first_text,
    "top_k and top_p ignored": filters_ignored,
    "highest index among ties": last_of_ties,
    "stop token ignored inside a path": stop_ignored_inside,
    "draft goes beyond max_tokens": drafts_beyond_the_end,
    "log-probabilities of the wrong row": logprobs_of_first_row,
    "resume forgets the round's number": resume_forgets_rounds,
    "resume forgets the drafter's memory": resume_forgets_memory,
    "resume forgets a token": resume_forgets_last_token,
}
