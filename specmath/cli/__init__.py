"""The command line: ``specmath <command>`` or ``python -m specmath <command>``."""

from specmath.cli.entry import main

__all__ = ["main"]
