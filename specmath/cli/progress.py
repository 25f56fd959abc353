"""A small progress bar on stderr, for work that lasts."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

Item = TypeVar("Item")

DELAY = 2.0
"""Seconds of work before the bar appears."""

INTERVAL = 0.25
"""Seconds between two drawings."""

WIDTH = 30


def progress(
    iterable: Iterable[Item], *, total: int | None = None, label: str = "", stream: TextIO | None = None
) -> Iterator[Item]:
    """The items of ``iterable``, with a bar on ``stream`` (stderr) once the work has lasted over `DELAY` seconds.

    ``total`` is the number of items (``len(iterable)`` when left out and known; without it only a count is shown).
    Nothing is written when the stream is not a terminal. The bar is wiped when the work ends, also by an error.

    >>> list(progress([1, 2, 3], label="contexts"))
    [1, 2, 3]
    """
    out = sys.stderr if stream is None else stream
    if out is None or not out.isatty():  # stderr is None where there is no console at all
        yield from iterable
        return
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    done = 0
    length = 0
    begun = time.monotonic()
    finished = threading.Event()

    def draw() -> None:
        nonlocal length
        wait = DELAY
        while not finished.wait(wait):
            text = line(done, total, label, time.monotonic() - begun)
            out.write("\r" + text.ljust(length))
            out.flush()
            length = max(length, len(text))
            wait = INTERVAL

    # A thread draws, so that the bar also appears and its clock also moves during one long item.
    painter = threading.Thread(target=draw, daemon=True)
    painter.start()
    try:
        for item in iterable:
            yield item
            done += 1
    finally:
        finished.set()
        painter.join()
        if length:
            out.write("\r" + " " * length + "\r")
            out.flush()


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
