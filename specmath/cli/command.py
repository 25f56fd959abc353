"""What a sub-command is, and the error it raises when it was called wrongly."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


class UsageError(ValueError):
    """The command was called with arguments that do not go together; shown as one line, exit code 2."""


@dataclass(frozen=True)
class Command:
    """A sub-command of ``specmath``, registered in the entry-point group ``specmath.commands``.

    ``name`` is what is typed, ``purpose`` one line for the help, ``add_arguments(parser)`` declares the options, and
    ``run(arguments)`` does the work and returns the exit code. ``run`` may raise ValueError, `UsageError` or OSError:
    the message is shown as one line on stderr and the exit code is 2.

    >>> hello = Command("hello", "say hello", lambda parser: None, lambda arguments: 0)
    >>> hello.run(argparse.Namespace())
    0
    """

    name: str
    purpose: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
