"""Several texts, decoded alone or side by side, told in the order of their prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from reference.commands.shared.prompts import Prompt
from reference.commands.shared.words import Words
from reference.decode import Event, Failure, Options, Request, Stream, batched_events
from reference.drafters import Drafter
from reference.models.protocol import LanguageModel
from specmath.cli.command import UsageError


def requests(
    given: Sequence[Prompt],
    target: LanguageModel,
    words: Words,
    options: Callable[[int], Options],
    drafter: Drafter | None,
    rule: str | None = None,
) -> list[Request]:
    """A request for each prompt, with the options for its number; UsageError names one that cannot be decoded."""
    found = []
    for number, prompt in enumerate(given):
        try:
            request = Request(prompt=words.encode(prompt), options=options(number), drafter=drafter, rule=rule)
            request.check(target)
        except ValueError as error:
            raise UsageError(f"{prompt.where}: {error}") from None
        found.append(request)
    return found


def rounds(target: LanguageModel, requests: Sequence[Request], rows: int | None) -> Iterator[Event]:
    """Every round, text by text: one text after the other, or ``rows`` of them in one pass.

    Requests are known to be valid (`Request.check`). A text that fails ends with a `Failure`; the others go on.
    """
    return in_order(alone(target, requests) if rows is None else batched_events(target, requests, rows=rows))


def alone(target: LanguageModel, requests: Sequence[Request]) -> Iterator[Event]:
    """The rounds of each request, one request after the other. Whatever a model or drafter raises ends that text only,
    as in a batch."""
    for ticket, request in enumerate(requests):
        text = None
        try:
            text = Stream(target, request)
            for one in text:
                yield Event(ticket, one)
        except Exception as error:
            said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            yield Event(ticket, Failure(request=request.options.request, error=said))
        finally:
            if text is not None:
                with suppress(Exception):  # a drafter's, and the text is done
                    text.close()


def in_order(events: Iterable[Event]) -> Iterator[Event]:
    """The events, by ticket: those of the first unfinished text at once, those of later ones when it is their turn.

    >>> failed = Failure(request=0, error="x")
    >>> [event.ticket for event in in_order([Event(1, failed), Event(0, failed), Event(2, failed)])]
    [0, 1, 2]
    """
    turn = 0
    kept: dict[int, list[Event]] = {}
    for event in events:
        kept.setdefault(event.ticket, []).append(event)
        while turn in kept:
            ready = kept.pop(turn)
            yield from ready
            turn += ends(ready[-1])


def ends(event: Event) -> bool:
    """Whether nothing more comes of this text."""
    return isinstance(event.outcome, Failure) or event.outcome.stop_reason is not None
