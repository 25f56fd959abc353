"""Figures: every function draws on the matplotlib Axes it is given and returns them.

>>> from matplotlib.figure import Figure
>>> from specmath import plot
>>> axes = plot.accepted_lengths(Figure().add_subplot(), {"token-wise": [4, 3, 3]})
>>> axes.get_xlabel()
'drafted tokens kept in a round'
"""

from specmath.plot.acceptance import acceptance_by_count, gaps
from specmath.plot.rounds import accepted_lengths, by_place, efficiency, speed
from specmath.plot.style import COLORS, MARKERS, RC, SERIES

__all__ = [
    "COLORS",
    "MARKERS",
    "RC",
    "SERIES",
    "acceptance_by_count",
    "accepted_lengths",
    "by_place",
    "efficiency",
    "gaps",
    "speed",
]
