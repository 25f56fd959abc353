"""Texts with what became of each token: kept from the draft, corrected, or a bonus of the target."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

from reference.decode import Round
from reference.demo.decoding import Text
from reference.pair import decode_tokens

Mark = Literal["accepted", "corrected", "bonus", "target"]
SIGNS: dict[Mark, str] = {"accepted": "=", "corrected": "x", "bonus": "+", "target": "."}


def marked(text: Text) -> list[tuple[int, Mark]]:
    """Every emitted token and its mark, the stop token left out.

    "accepted" was drafted and kept; "corrected" replaces the first rejected draft; "bonus" follows a round of which a
    whole path was kept; "target" was decoded without drafts.
    """
    found: list[tuple[int, Mark]] = []
    for one in text.decoded.rounds:
        last: Mark = "target" if not one.drafted else "bonus" if ends_below(one) else "corrected"
        marks: list[Mark] = ["accepted" if place < one.accepted else last for place in range(len(one.emitted))]
        found += zip(one.emitted, marks, strict=True)
    return found[:-1] if text.decoded.stop_reason == "stop" else found


def ends_below(one: Round) -> bool:
    """Whether nothing was drafted below the last kept token: what follows it replaces no draft."""
    agreeing = {-1}
    for token in one.emitted[: one.accepted]:
        agreeing = {node for node, up in enumerate(one.parents) if up in agreeing and one.drafted[node] == token}
    return not agreeing.intersection(one.parents)


def accepted(text: Text) -> list[bool]:
    """For every emitted token whether it was drafted."""
    return [place < one.accepted for one in text.decoded.rounds for place in range(len(one.emitted))]


def characters(tokens: Sequence[int]) -> str:
    """One character for each byte, so that texts stand below one another; what is not printable is a dot."""
    return "".join(chr(token) if 32 <= token < 127 else "·" for token in tokens)


def spans(text: Text) -> Iterator[tuple[str, Mark]]:
    """Neighbouring tokens of one mark as text."""
    for _, group in itertools.groupby(marked(text), key=lambda entry: entry[1]):
        run = list(group)
        yield decode_tokens([token for token, _ in run]), run[0][1]


def ruled(text: Text) -> list[str]:
    """Lines for a terminal: each line of the text, and below it one sign for each character.

    The prompt has no signs. Characters that cannot be shown are dots.
    """
    signs: list[tuple[str, str]] = [(character, " ") for character in text.prompt.prompt]
    for part, mark in spans(text):
        signs += [(character, SIGNS[mark]) for character in part]
    lines: list[str] = []
    for line in _lines(signs):
        shown = "".join(character if character.isprintable() else "·" for character, _ in line)
        below = "".join(sign for _, sign in line).rstrip()
        lines.append(f"    {shown}".rstrip())
        if below:
            lines.append(f"    {below}")
    return lines


def _lines(signs: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    line: list[tuple[str, str]] = []
    for character, sign in signs:
        if character == "\n":
            # The line break is a token too: its sign stands behind the line.
            yield [*line, (" ", sign)]
            line = []
        else:
            line.append((character, sign))
    yield line
