"""Figures as SVG that lies inside a page: no identifier shared with another figure, no address, colours by variable."""

from __future__ import annotations

import io
import re
from html import escape

from matplotlib.figure import Figure

from specmath.plot import COLORS, SERIES
from specmath.plot.style import GRID, INK, MUTED

VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    **{color: f"rule-{name}" for name, color in COLORS.items() if color not in (INK, MUTED, GRID)},
}
"""Colour of the drawing -> name of the page's variable, so that a dark page shows lighter colours."""

VARIABLES |= {color: f"series-{number}" for number, color in enumerate(SERIES) if color not in VARIABLES}


def inline(figure: Figure, name: str, description: str) -> str:
    """The figure as an ``<svg>`` element; ``name`` makes its identifiers unique, ``description`` is read aloud.

    >>> inline(Figure(figsize=(1, 1)), "empty", "nothing")[:34]
    '<svg role="img" aria-label="nothin'
    """
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # HTML knows SVG without namespaces; leaving their addresses out shows that the page asks for nothing outside.
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    # The page decides on the width; the drawing keeps its proportions through viewBox.
    text = re.sub(r'^<svg([^>]*?) (?:width|height)="[^"]*"', r"<svg\1", text)
    text = re.sub(r'^<svg([^>]*?) (?:width|height)="[^"]*"', r"<svg\1", text)
    for color, variable in VARIABLES.items():
        text = re.sub(re.escape(color), f"var(--{variable})", text, flags=re.IGNORECASE)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)
