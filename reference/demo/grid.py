"""A picture of the equality check: one cell for each token, one line for each prompt, one panel for each decoder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from html import escape
from typing import Literal

from reference.demo.equality import Compared, Equality, Likeness
from reference.demo.marks import accepted

Cell = Literal["drafted", "own", "moved", "other"]
KEY: dict[Cell, str] = {
    "drafted": "same token, same bits of the logits; it was drafted and kept",
    "own": "same token, same bits; the target’s own",
    "moved": "same token, other bits",
    "other": "another token, or behind one",
}

ACROSS = 4
"""Panels side by side."""

WIDE, HIGH, HEAD, GAP = 244.0, 152.0, 40.0, 18.0
"""Of a panel, of the lines above it, and between panels, in units of the drawing."""


def cells(one: Likeness) -> list[Cell]:
    """What became of each token of a text beside the autoregressive one."""
    found: list[Cell] = []
    for place, drafted in enumerate(accepted(one.text)):
        if place >= one.leading:
            found.append("other")
        elif not one.same_logits[place]:
            found.append("moved")
        else:
            found.append("drafted" if drafted else "own")
    return found


def drawing(equality: Equality) -> str:
    """All comparisons as one ``<svg>`` element; colours are the page's."""
    panels: list[tuple[float, float, Compared]] = []
    top = 0.0
    for _, group in itertools.groupby(equality.compared, key=lambda one: (one.arithmetic, bool(one.defect))):
        own = list(group)
        for start in range(0, len(own), ACROSS):
            row = own[start : start + ACROSS]
            panels += [(place * (WIDE + GAP), top, one) for place, one in enumerate(row)]
            top += HEAD + HIGH + GAP
    height = top - GAP
    longest = max((len(text.same_logits) for one in equality.compared for text in one.likenesses), default=1)
    longest = max(longest, *(len(text.text.decoded.tokens) for one in equality.compared for text in one.likenesses))
    lines = max(one.texts for one in equality.compared)
    width = ACROSS * (WIDE + GAP) - GAP
    body = "".join(_panel(left, high, one, longest, lines) for left, high, one in panels)
    said = "Every token of every text: whether it and its logits are those of autoregressive decoding"
    return f'<svg role="img" aria-label="{said}" viewBox="0 0 {width:g} {height:g}" class="cells">{body}</svg>'


def _panel(left: float, top: float, one: Compared, longest: int, lines: int) -> str:
    title = f"planted: {one.defect}" if one.defect else f"{one.decoder}, {one.arithmetic}"
    said = f"{one.equal_texts} of {one.texts} texts, {one.equal_logit_rows} of {one.logit_rows} logit rows equal"
    return (
        f'<text x="{left:g}" y="{top + 14:g}" class="title">{escape(title)}</text>'
        f'<text x="{left:g}" y="{top + 31:g}" class="count">{said}</text>'
        + "".join(
            f'<path class="{kind}" d="{"".join(_boxes(one.likenesses, kind, left, top + HEAD, longest, lines))}"/>'
            for kind in KEY
        )
    )


def _boxes(texts: Sequence[Likeness], kind: Cell, left: float, top: float, longest: int, lines: int) -> Iterator[str]:
    """Path commands for the cells of one kind."""
    wide, high = WIDE / longest, min(HIGH / lines, 8.0)
    for line, text in enumerate(texts):
        for place, found in enumerate(cells(text)):
            if found == kind:
                x, y = left + place * wide, top + line * high
                yield f"M{x:.2f} {y:.2f}h{wide - 1:.2f}v{high - 0.8:.2f}h{1 - wide:.2f}z"
