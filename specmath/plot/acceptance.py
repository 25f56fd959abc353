"""Acceptance of rules against the optimum, from the rows of `specmath.comparison`."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from specmath.comparison import OPTIMAL, Row
from specmath.plot.style import INK, MARKERS, color_of


def acceptance_by_count(axes: Axes, rows: Sequence[Row], drafts: str) -> Axes:
    """Mean acceptance of every rule over the number of drafts n, one line a rule; the optimum is the upper line.

    The band is the optimum's 95 % interval. ValueError when no row has these drafts.
    """
    here = [row for row in rows if row.drafts == drafts]
    if not here:
        raise ValueError(f"drafts is {drafts!r}; the rows hold {', '.join(sorted({row.drafts for row in rows}))}")
    for rule in dict.fromkeys(row.rule for row in here):
        line = sorted((row for row in here if row.rule == rule), key=lambda row: row.n)
        counts, means = [row.n for row in line], [row.acceptance for row in line]
        best = rule == OPTIMAL
        axes.plot(
            counts,
            means,
            color=color_of(rule),
            marker=MARKERS.get(rule, "."),
            markersize=4 if best else 5.5,
            linewidth=2.2 if best else 1.4,
            zorder=2 if best else 3,
            label=rule,
        )
        if best and all(row.low is not None for row in line):
            axes.fill_between(
                counts, [row.low or 0.0 for row in line], [row.high or 0.0 for row in line], color=INK, alpha=0.09, lw=0
            )
    counts = sorted({row.n for row in here})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_xticks([], minor=True)
    axes.set_xlim(counts[0] / 1.2, counts[-1] * 1.2)
    axes.grid(axis="y")
    axes.set_xlabel("drafts n")
    return axes


def gaps(axes: Axes, rows: Sequence[Row], n: int) -> Axes:
    """What each rule leaves on the table with n drafts: the optimum's acceptance minus the rule's, in points of percent.

    One bar a rule and draft law, with the 95 % interval of the paired difference. ValueError when no row has this n.
    """
    here = [row for row in rows if row.n == n and row.rule != OPTIMAL]
    if not here:
        raise ValueError(f"n is {n}; the rows hold {sorted({row.n for row in rows})}")
    places = range(len(here))
    axes.barh(places, [100 * row.gap for row in here], color=[color_of(row.rule) for row in here], height=0.62)
    for place, row in zip(places, here, strict=True):
        end = 100 * row.gap
        if row.gap_low is not None and row.gap_high is not None:
            axes.plot([100 * row.gap_low, 100 * row.gap_high], [place, place], color=INK, linewidth=1.3)
            end = max(end, 100 * row.gap_high)
        axes.annotate(
            f"{100 * row.gap:.1f}",
            (end, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    axes.set_yticks(list(places), [f"{row.rule}  ·  {row.drafts}" for row in here])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(axis="x")
    axes.margins(x=0.12)
    axes.set_xlabel("optimum minus rule (percentage points)")
    return axes
