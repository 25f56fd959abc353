"""A limit on the time of foreign code in the same process, where the system has a clock that interrupts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TimeUp(BaseException):
    """The block took longer than allowed. No `Exception`: code under audit that catches errors must not catch it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[bool]:
    """Raise `TimeUp` in the block after ``seconds``; gives whether the limit holds.

    It holds on POSIX, in the main thread, where nobody else has set the alarm. A single call that never comes back to
    the interpreter is not interrupted. 0 is no limit.
    """
    able = (
        seconds > 0
        and hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getitimer(signal.ITIMER_REAL)[0] == 0
    )
    if not able:
        yield False
        return

    def stop(*_: Any) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGALRM, stop)
    # Again each second: a bare `except:` may have swallowed the first one.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
