"""A text on the terminal while it is decoded, with the drafted tokens that were kept in colour."""

from __future__ import annotations

import io
import os
import sys
from itertools import groupby
from typing import TYPE_CHECKING, TextIO

from reference.commands.shared.words import Reader, Words

if TYPE_CHECKING:
    from reference.decode import Round

ACCEPTED, PLAIN = "\033[32m", "\033[39m"
"""Green, and the terminal's own colour again."""

LEGEND = "green: drafted tokens that were kept; the others are the target's own"

_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {0x7F: 0x2421}
_PICTURES |= dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def in_colour(stream: TextIO) -> bool:
    """Whether colours may be written: a terminal that is not "dumb", and no NO_COLOR (see no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


class Shower:
    """Writes one text to stdout, round by round.

    On a terminal, control characters other than tab and newline are shown as pictures: a sampled escape sequence must
    not reach it. Elsewhere the text is written as it is.
    """

    def __init__(self, words: Words, *, colour: bool, stream: TextIO | None = None) -> None:
        self._out = sys.stdout if stream is None else stream
        self._reader: Reader = words.reader()
        self._colour, self._safe = colour, self._out.isatty()
        if isinstance(self._out, io.TextIOWrapper):
            self._out.reconfigure(errors="replace")  # sampled characters may not exist in a terminal's own encoding

    def show(self, one: Round) -> None:
        """The characters that a round completes. One that ends in it but began before takes its last token's colour."""
        kept = one.emitted[:-1] if one.stop_reason == "stop" else one.emitted
        pieces = [(place < one.accepted, self._reader.add([token])) for place, token in enumerate(kept)]
        for accepted, run in groupby(pieces, key=lambda piece: piece[0]):
            self._write("".join(text for _, text in run), accepted)
        self._out.flush()

    def end(self) -> None:
        """What was held back, and the end of the line."""
        self._write(self._reader.end(), False)
        self._out.write("\n")
        self._out.flush()

    def _write(self, text: str, accepted: bool) -> None:
        if self._safe:
            text = text.translate(_PICTURES)
        if text and accepted and self._colour:
            text = f"{ACCEPTED}{text}{PLAIN}"
        self._out.write(text)
