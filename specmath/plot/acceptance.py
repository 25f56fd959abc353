"""Acceptance of rules against the optimum, from the rows of `specmath.comparison`."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from specmath.comparison import OPTIMUM, Row
from specmath.plot.style import INK, MARKERS, color_of

SIZES = {OPTIMUM: 4.0, "single": 10.0}
"""Markers of other size: the single-draft rule is one point that several lines start from."""


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
        best = rule == OPTIMUM
        axes.plot(
            counts,
            means,
            color=color_of(rule),
            marker=MARKERS.get(rule, "."),
            markersize=SIZES.get(rule, 5.5),
            linewidth=3.4 if best else 1.4,  # wide enough to be seen below a rule that reaches it
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


def gaps(axes: Axes, rows: Sequence[Row], n: int, keys: Sequence[tuple[str, str]] | None = None) -> Axes:
    """What each rule leaves to the optimum with n drafts: the optimum's acceptance minus the rule's.

    One bar a rule in percentage points, grouped by draft law, with the 95 % interval of the paired difference.
    ``keys`` are the (drafts, rule) that have a place on the axis, so that axes of several n agree; default those with
    this n. ValueError when no row has this n.
    """
    here = {(row.drafts, row.rule): row for row in rows if row.n == n and row.rule != OPTIMUM}
    if not here:
        raise ValueError(f"n is {n}; allowed are those of the rows: {sorted({row.n for row in rows})}")
    shown = list(dict.fromkeys(here if keys is None else keys))
    ticks: list[tuple[float, str]] = []
    groups: list[float] = []
    place = 0.0
    for drafts in dict.fromkeys(drafts for drafts, _ in shown):
        ticks.append((place, f"{drafts} drafts"))
        groups.append(place)
        for rule in (rule for other, rule in shown if other == drafts):
            place += 1
            ticks.append((place, rule))
            if (drafts, rule) in here:
                _gap(axes, here[drafts, rule], place)
        place += 1.35
    axes.set_ylim(place - 0.6, -0.6)
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
    for (at, _), tick in zip(ticks, axes.yaxis.get_major_ticks(), strict=True):
        tick.label1.set_fontweight("bold" if at in groups else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(axis="x")
    axes.margins(x=0.12)
    axes.set_xlim(left=min(0.0, *(100 * (row.gap_low or 0.0) for row in here.values())))
    axes.set_xlabel("optimum minus rule (percentage points)")
    return axes


def _gap(axes: Axes, row: Row, place: float) -> None:
    axes.barh(place, 100 * row.gap, color=color_of(row.rule), height=0.66)
    end = 100 * row.gap
    if row.gap_low is not None and row.gap_high is not None and row.gap_high - row.gap_low > 1e-6:
        axes.plot([100 * row.gap_low, 100 * row.gap_high], [place, place], color=INK, linewidth=1.3)
        end = max(end, 100 * row.gap_high)
    text = f"{abs(100 * row.gap):.1f}" if abs(row.gap) < 5e-4 else f"{100 * row.gap:.1f}"  # no minus zero
    axes.annotate(text, (end, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5)
