"""Colours, markers and matplotlib settings of all figures.

The colours follow Okabe and Ito's palette, which readers with colour-blindness can tell apart; markers differ as well.
"""

from __future__ import annotations

from typing import Any

INK, MUTED, GRID = "#1f2428", "#5f6a72", "#d5dadf"
"""Text and axes; secondary marks; grid lines."""

COLORS = {
    "optimum": INK,
    "optimal": "#c9a400",
    "single": "#767f87",
    "sampler_match": "#0072b2",
    "naive_list": "#dd9200",
    "recursive": "#009e73",
    "recursive_without_replacement": "#b5508c",
    "k_seq": "#d55e00",
    "greedy": "#4aa8de",
    "spechub": "#7a68c8",
}
"""Rule -> colour."""

MARKERS = {
    "optimum": "o",
    "optimal": "*",
    "single": "P",
    "sampler_match": "s",
    "naive_list": "^",
    "recursive": "D",
    "recursive_without_replacement": "v",
    "k_seq": "X",
    "greedy": "p",
    "spechub": "h",
}
"""Rule -> marker."""

SERIES = ("#767f87", "#0072b2", "#d55e00", "#009e73", "#b5508c", "#7a68c8")
"""Colours of decoders, in their order; the first is the baseline."""

RC: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "specmath",
}
"""For ``matplotlib.rc_context``. The background is transparent, so that a page's own shows through."""


def color_of(rule: str) -> str:
    """A rule's colour; rules without one share a grey.

    >>> color_of("k_seq")
    '#d55e00'
    """
    return COLORS.get(rule, MUTED)
