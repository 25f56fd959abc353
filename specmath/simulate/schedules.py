"""Who works when: drafting before the target's pass, or beside it; one round of the server at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from specmath.simulate.result import Span
from specmath.simulate.text import Proposal, Text
from specmath.simulate.timing import Timing
from specmath.simulate.trace import Round


class Done(NamedTuple):
    """A round of the server: its end, who worked, the records, and when each record's tokens were there."""

    end: float
    spans: tuple[Span, ...]
    records: tuple[Round, ...]
    times: tuple[float, ...]


class Schedule(Protocol):
    """One round of all texts of the batch; ``begun`` is when its prompts began to be read, ``clock`` when it begins."""

    def step(self, texts: Sequence[Text], begun: float, clock: float) -> Done: ...


def pass_over(timing: Timing, texts: Sequence[Text], proposals: Sequence[Proposal], start: float) -> Span:
    """The target's pass over the last token and all drafts of every text."""
    tokens = len(texts) + sum(len(one.drafts) for one in proposals)
    return Span("target", start, start + timing.reading(tokens, sum(text.context for text in texts)), tokens)


def chain_of(timing: Timing, steps: int, start: float) -> tuple[Span, ...]:
    """The draft's steps; nothing for none."""
    return (Span("draft", start, start + timing.drafting(steps), steps),) if steps else ()


class Serial:
    """Draft, verify, commit: the decoder's loop. Texts of a batch draft together, those that draft less wait."""

    def __init__(self, timing: Timing, horizon: int, lag: int) -> None:
        self.timing, self.horizon, self.lag = timing, horizon, lag

    def step(self, texts: Sequence[Text], begun: float, clock: float) -> Done:
        proposals = [text.propose(self.horizon, self.lag) for text in texts]
        spans = self.spans(texts, proposals, clock)
        end = spans[-1].end + self.timing.overhead
        share = (end - begun) / len(texts)  # so that a batch's seconds add up, as in the decoder
        records = tuple(
            text.commit(one.drafts, one.path, seconds=share, draft_calls=one.depth)
            for text, one in zip(texts, proposals, strict=True)
        )
        return Done(end, spans, records, (end,) * len(records))

    def spans(self, texts: Sequence[Text], proposals: Sequence[Proposal], clock: float) -> tuple[Span, ...]:
        """The target begins when the longest chain is drafted."""
        drafting = chain_of(self.timing, max(one.depth for one in proposals), clock)
        return (*drafting, pass_over(self.timing, texts, proposals, drafting[-1].end if drafting else clock))


class Beside:
    """See `specmath.simulate.Overlapped`."""

    def __init__(self, timing: Timing, length: int, early: float, hit: float, transfer: float) -> None:
        self.timing, self.length, self.early, self.hit, self.transfer = timing, length, early, hit, transfer
        self.ready: set[int] = set()  # texts whose next drafts were written in time

    def step(self, texts: Sequence[Text], begun: float, clock: float) -> Done:
        (text,) = texts
        one = text.propose(self.length, 0)
        again = () if text.number in self.ready else chain_of(self.timing, one.depth, clock)
        reading = pass_over(self.timing, texts, [one], again[-1].end if again else clock)
        guess = reading.start + self.early * (reading.end - reading.start)
        ahead = chain_of(self.timing, self.length, guess)
        end = max(reading.end, ahead[-1].end) + self.transfer + self.timing.overhead
        self.ready.discard(text.number)
        if text.side.random() < self.hit:
            self.ready.add(text.number)
        calls = self.length + (one.depth if again else 0)
        record = text.commit(one.drafts, one.path, seconds=end - begun, draft_calls=calls)
        return Done(end, (*again, reading, *ahead), (record,), (end,))
