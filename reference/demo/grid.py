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

WIDE, HIGH, LINE = 244.0, 152.0, 9.0
"""Of a panel, and most of a line of cells, in units of the drawing."""

HEAD, GAP = 40.0, 20.0
"""Room for the lines above a panel, and between panels."""


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
    panels: list[str] = []
    top = 0.0
    longest = max(len(text.text.decoded.tokens) for one in equality.compared for text in one.likenesses)
    for _, group in itertools.groupby(equality.compared, key=lambda one: (one.arithmetic, bool(one.defect))):
        own = list(group)
        for row in (own[start : start + ACROSS] for start in range(0, len(own), ACROSS)):
            high = min(HIGH / row[0].texts, LINE)
            panels += [_panel(place * (WIDE + GAP), top, one, WIDE / longest, high) for place, one in enumerate(row)]
            top += HEAD + high * row[0].texts + GAP
    width = ACROSS * (WIDE + GAP) - GAP
    said = "Every token of every text: whether it and its logits are those of autoregressive decoding"
    size = f"0 0 {width:g} {top - GAP:g}"
    return f'<svg role="img" aria-label="{said}" viewBox="{size}" class="cells">{"".join(panels)}</svg>'


def _panel(left: float, top: float, one: Compared, wide: float, high: float) -> str:
    title = f"planted: {one.defect}" if one.defect else f"{one.decoder}, {one.arithmetic}"
    said = f"{one.equal_texts} of {one.texts} texts, {one.equal_logit_rows} of {one.logit_rows} logit rows equal"
    return (
        f'<text x="{left:g}" y="{top + 14:g}" class="title">{escape(title)}</text>'
        f'<text x="{left:g}" y="{top + 31:g}" class="count">{said}</text>'
        + "".join(
            f'<path class="{kind}" d="{"".join(_boxes(one.likenesses, kind, left, top + HEAD, wide, high))}"/>'
            for kind in KEY
        )
    )


def _boxes(texts: Sequence[Likeness], kind: Cell, left: float, top: float, wide: float, high: float) -> Iterator[str]:
    """Path commands for the cells of one kind, with a little air between them."""
    box = f"h{0.92 * wide:.2f}v{0.82 * high:.2f}h{-0.92 * wide:.2f}z"
    for line, text in enumerate(texts):
        for place, found in enumerate(cells(text)):
            if found == kind:
                x, y = left + place * wide, top + line * high
                yield f"M{x:.2f} {y:.2f}{box}"
