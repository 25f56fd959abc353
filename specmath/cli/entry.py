"""`specmath <command>`: find the command, run it, and turn failures into one line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import specmath
from specmath.cli.command import Command, UsageError
from specmath.cli.discovery import entries, load, missing_library

BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
"""Exit codes: input that cannot be used; Ctrl-C and a closed pipe as the shell counts them (128 + signal)."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, raised as `UsageError` instead of printed with the usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``specmath`` with these arguments (default: those of the process) and return its exit code.

    0: done. 2: input that cannot be used, one line on stderr says what, where and what is allowed; ``--debug`` or
    SPECMATH_DEBUG=1 adds the traceback. 130: Ctrl-C. 141: the reader of the output went away.

    >>> main(["--version"])  # doctest: +ELLIPSIS
    specmath ...
    0
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get("SPECMATH_DEBUG", "") not in ("", "0")
    arguments = [word for word in arguments if word != "--debug"]
    try:
        if sys.stdout is None:  # closed before the start (`>&-`)
            raise UsageError("standard output is closed")
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"{_program(arguments)}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except ModuleNotFoundError as error:  # a library that a command imports only when it needs it
        return _fail(_program(arguments), missing_library(error), debug)
    except (ValueError, OSError) as error:
        return _fail(_program(arguments), _message(error), debug)


def _run(arguments: list[str]) -> int:
    if not arguments:
        raise UsageError(f"no command given; allowed are {_allowed()} (see specmath --help)")
    first, *rest = arguments
    if first in ("-h", "--help"):
        print(_help())
        return 0
    if first in ("-V", "--version"):
        print(f"specmath {specmath.__version__}")
        return 0
    if first.startswith("-"):
        raise UsageError(f"option {first} unknown; before the command allowed are --help, --version and --debug")
    found = entries()
    if first not in found:
        raise UsageError(f"the command {first!r} is unknown; allowed are {_allowed()}")
    command = load(found[first])
    parser = parser_for(command)
    try:
        options = parser.parse_args(rest)
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    return command.run(options)


def parser_for(command: Command) -> Parser:
    """The command's own parser; long options cannot be shortened, so that scripts survive new options."""
    parser = Parser(prog=f"specmath {command.name}", description=command.purpose, allow_abbrev=False)
    command.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _program(arguments: list[str]) -> str:
    return f"specmath {arguments[0]}" if arguments and arguments[0] in entries() else "specmath"


def _allowed() -> str:
    return ", ".join(entries())


def _help() -> str:
    found = entries()
    width = max(len(name) for name in found)
    lines = [f"  {name.ljust(width)}  {entry.purpose}" for name, entry in found.items()]
    return "\n".join(
        [
            "usage: specmath COMMAND [options]",
            "       specmath --help | --version",
            "",
            "Speculative decoding, computed.",
            "",
            "commands:",
            *lines,
            "",
            "specmath COMMAND --help tells more about one of them.",
        ]
    )


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return " ".join(str(error).split()) or type(error).__name__  # one line, whatever the error says


def _fail(program: str, message: str, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    print(f"{program}: error: {message}", file=sys.stderr)
    return BAD_INPUT


def _drop_output() -> None:
    # Python flushes stdout once more at exit; without a place to flush to it would complain.
    with contextlib.suppress(OSError, ValueError):  # stdout may be no file, as under a test's capture
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
