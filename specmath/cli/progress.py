"""A small progress bar on stderr, for work that lasts."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TextIO, TypeVar

Item = TypeVar("Item")

DELAY = 2.0
"""Seconds of work before the bar appears."""

INTERVAL = 0.25
"""Seconds between two drawings."""

LINES = 60.0
"""Seconds between two plain lines where the stream is no terminal, as in the log of a batch job."""

WIDTH = 30


class Bar:
    """A bar on ``stream`` (stderr) that appears once the work has lasted over `DELAY` seconds, and is wiped in the end.

    Where the stream is not a terminal, a plain line is written every `LINES` seconds instead, and stays. ``total`` is
    the number of steps; without it only a count is shown.

    >>> with Bar(total=3, label="contexts") as bar:
    ...     bar.advance()
    ...     bar.advance(2)
    >>> bar.done
    3
    """

    def __init__(self, *, total: int | None = None, label: str = "", stream: TextIO | None = None) -> None:
        self.done = 0
        self._total, self._label = total, label
        self._out = sys.stderr if stream is None else stream  # None where there is no console at all
        self._begun = self._told = time.monotonic()
        self._finished = threading.Event()
        self._painter: threading.Thread | None = None
        self._length = 0

    def advance(self, count: int = 1) -> None:
        """``count`` more steps are done."""
        self.done += count
        if self._painter is None and self._out is not None and time.monotonic() - self._told >= LINES:
            self._told = time.monotonic()
            self._out.write(self._line() + "\n")
            self._out.flush()

    def reach(self, done: int, total: int) -> None:
        """``done`` of ``total`` steps are done."""
        self._total = total
        self.advance(done - self.done)

    def __enter__(self) -> Bar:
        self._begun = self._told = time.monotonic()
        if self._out is not None and self._out.isatty():
            # A thread draws, so that the bar also appears and its clock also moves during one long step.
            self._painter = threading.Thread(target=self._draw, args=(self._out,), daemon=True)
            self._painter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._painter is None or self._out is None:
            return
        self._finished.set()
        self._painter.join()
        if self._length:
            self._out.write("\r" + " " * self._length + "\r")
            self._out.flush()

    def _draw(self, out: TextIO) -> None:
        wait = DELAY
        while not self._finished.wait(wait):
            text = self._line()
            out.write("\r" + text.ljust(self._length))
            out.flush()
            self._length = max(self._length, len(text))
            wait = INTERVAL

    def _line(self) -> str:
        return line(self.done, self._total, self._label, time.monotonic() - self._begun)


def progress(
    iterable: Iterable[Item], *, total: int | None = None, label: str = "", stream: TextIO | None = None
) -> Iterator[Item]:
    """The items of ``iterable``, with a `Bar` that counts them.

    ``total`` is the number of items (``len(iterable)`` when left out and known).

    >>> list(progress([1, 2, 3], label="contexts"))
    [1, 2, 3]
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    with Bar(total=total, label=label, stream=stream) as bar:
        for item in iterable:
            yield item
            bar.advance()


def line(done: int, total: int | None, label: str, seconds: float) -> str:
    """One state of the bar: label, bar, count, seconds so far, and seconds left once they can be told.

    >>> line(5, 10, "contexts", 4.0)
    'contexts [###############---------------] 5/10  4 s, about 4 s left'
    """
    start = f"{label} " if label else ""
    if not total:
        return f"{start}{done}  {seconds:.0f} s"
    share = min(done / total, 1.0)
    filled = round(share * WIDTH)
    left = f", about {seconds * (1 - share) / share:.0f} s left" if done else ""
    return f"{start}[{'#' * filled}{'-' * (WIDTH - filled)}] {done}/{total}  {seconds:.0f} s{left}"
