"""PEARL and DSI as events: the draft never waits for a verification that accepts."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from itertools import accumulate

from specmath.simulate.result import Span
from specmath.simulate.schedules import Done
from specmath.simulate.text import Drawn, Text, accepted, as_drafts
from specmath.simulate.timing import Timing


def grown(text: Text, state: int, count: int) -> list[Drawn]:
    """``count`` more drafted tokens below a state; ValueError if the process ends before."""
    found: list[Drawn] = []
    for _ in range(count):
        one = text.token(state)
        if one is None:
            raise ValueError("process ends before its drafts do; allowed beside overlap are those that always go on")
        found.append(one)
        state = one.move.state
    return found


class BlockByBlock:
    """See `specmath.simulate.Pearl`."""

    def __init__(self, timing: Timing, length: int) -> None:
        self.timing, self.length = timing, length
        self.unread: dict[int, list[Drawn]] = {}  # by text: drafted, and not verified yet
        self.state: dict[int, int] = {}  # by text: where drafting goes on

    def step(self, texts: Sequence[Text], begun: float, clock: float) -> Done:
        (text,) = texts
        line = self.unread.pop(text.number, [])
        state = self.state.pop(text.number, None)
        new = grown(text, text.root() if state is None else state, self.length)
        # The target reads what is there; its last logits judge the first token of the block that is being drafted.
        reading = Span("target", clock, clock + self.timing.reading(len(line) + 1, text.context), len(line) + 1)
        drafting = Span("draft", clock, clock + self.timing.drafting(self.length), self.length)
        judged = [*line, new[0]]
        kept = accepted(judged)
        if kept < len(judged):
            text.begin(judged[kept].move.rejected)
        else:
            self.unread[text.number], self.state[text.number] = new[1:], new[-1].move.state
        end = max(reading.end, drafting.end) + self.timing.overhead
        record = text.commit(
            as_drafts(judged),
            tuple(range(kept)),
            own=kept < len(judged),
            seconds=end - begun,
            draft_calls=self.length,
        )
        return Done(end, (drafting, reading), (record,), (end,))


class Servers:
    """See `specmath.simulate.Dsi`; a round of the server is a segment, from one rejection to the next."""

    def __init__(self, timing: Timing, length: int, targets: int | None) -> None:
        self.timing, self.length, self.targets = timing, length, targets

    def step(self, texts: Sequence[Text], begun: float, clock: float) -> Done:
        (text,) = texts
        chain, state = [], text.root()
        while len(chain) < text.left and (not chain or accepted(chain[-self.length :]) == self.length):
            chain += grown(text, state, self.length)
            state = chain[-1].move.state
        kept = accepted(chain)
        count = min(kept + 1, text.left)
        blocks = math.ceil(count / self.length)
        spans = self.spans(blocks, text.context, clock)
        alone, at = [], clock
        for place in range(count):  # the target decodes by itself at the same time
            alone.append(Span("target", at, at + self.timing.reading(1, text.context + place), 1))
            at = alone[-1].end
        if kept < len(chain):
            text.begin(chain[kept].move.rejected)
        ends = list(accumulate((one.end for one in spans if one.model == "target"), max))  # in the order of the text
        if at < ends[-1]:
            return self._alone(text, [*spans, *alone], alone, begun)
        return self._drafted(text, chain, ends, [*spans, *alone], begun, clock)

    def spans(self, blocks: int, context: int, clock: float) -> list[Span]:
        """Blocks, one after the other, and the verification of each by a server that is free."""
        free, found, at = [clock] * (self.targets or blocks), [], clock
        for number in range(blocks):
            found.append(Span("draft", at, at + self.timing.drafting(self.length), self.length))
            at = found[-1].end
            start = max(at, heapq.heappop(free))
            reading = self.timing.reading(self.length, context + number * self.length)
            heapq.heappush(free, start + reading)
            found.append(Span("target", start, start + reading, self.length))
        return found

    def _calls(self, spans: Sequence[Span], end: float, clock: float) -> tuple[int, int]:
        """Target passes that were begun before the end, and draft steps."""
        begun = sum(one.model == "target" and one.start < end for one in spans)
        step = self.timing.drafting(self.length) / self.length
        return begun, math.ceil((end - clock) / step - 1e-9) if step else self.length * (len(spans) // 2)

    def _alone(self, text: Text, spans: list[Span], alone: list[Span], begun: float) -> Done:
        """The target was faster: plain decoding, and drafts that nobody waited for."""
        end = alone[-1].end
        passes, drafts = self._calls(spans, end, alone[0].start)
        times, records = [begun, *(one.end for one in alone)], []
        for place in range(len(alone)):
            last = place == len(alone) - 1
            records.append(
                text.commit(
                    (),
                    (),
                    seconds=times[place + 1] - times[place],
                    target_calls=1 + (passes - len(alone)) * last,
                    draft_calls=drafts * last,
                )
            )
        shown = tuple(one for one in spans if one.start < end)
        return Done(end, shown, tuple(records), tuple(times[1:]))

    def _drafted(
        self, text: Text, chain: list[Drawn], ends: list[float], spans: list[Span], begun: float, clock: float
    ) -> Done:
        blocks = len(ends)
        passes, drafts = self._calls(spans, ends[-1], clock)
        records = []
        for number in range(blocks):
            last = number == blocks - 1
            part = chain[number * self.length : (number + 1) * self.length]
            here = accepted(part)
            records.append(
                text.commit(
                    as_drafts(part),
                    tuple(range(here)),
                    own=here < len(part),
                    seconds=ends[number] - (ends[number - 1] if number else begun),
                    target_calls=1 + (passes - blocks) * last,
                    draft_calls=self.length if not last else drafts - self.length * number,
                )
            )
        shown = tuple(one for one in spans if one.start < ends[-1])
        return Done(ends[-1], shown, tuple(records), tuple(ends))
