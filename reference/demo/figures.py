"""The report's figures, drawn with `specmath.plot`."""

from __future__ import annotations

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reference.demo.decoders import limits
from reference.demo.evidence import Estimate
from reference.demo.settings import COMPARED
from reference.demo.story import TESTED, Story
from reference.demo.svg import inline
from specmath import plot
from specmath.comparison import OPTIMUM
from specmath.plot.style import INK, color_of

PANELS = {
    "iid": "independent drafts",
    "without_replacement": "without replacement",
    "greedy": "greedy: n − 1 fixed, 1 drawn",
    "top_k": "top k: n fixed",
}
"""Draft laws with more than one n, and the title of their panel."""

WIDTH = 10.4
"""Inches."""


def decoders(story: Story) -> str:
    """Block efficiency with intervals, and speed, of every decoder."""
    figure = Figure(figsize=(WIDTH, 1.4 + 0.36 * len(story.decoders)), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)  # type: ignore[union-attr]
    left, right = figure.subplots(1, 2)
    names = {one.decoder: one.decoder if one.rows == 1 else f"{one.decoder}  ×{one.rows}" for one in story.decoders}
    plot.efficiency(
        left,
        {names[one.decoder]: _interval(one.block_efficiency) for one in story.decoders},
        {names[name]: most for name, most in limits(story.settings.draft_length).items()},
    )
    plot.speed(right, {names[one.decoder]: one.tokens_per_second for one in story.decoders})
    right.set_yticks([])
    left.set_title("Tokens per round of a text")
    right.set_title("Measured speed, relative to autoregressive")
    return inline(figure, "decoders", "Block efficiency and speed of each decoder")


def chain(story: Story) -> str:
    """Acceptance by place, measured against computed, and the lengths that rounds kept."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot.by_place(left, [_interval(one.measured) for one in story.places], [one.computed for one in story.places])
    left.set_title(f"Acceptance by place ({TESTED})")
    lengths = {
        one.decoder: one.accepted_lengths
        for one in story.decoders
        if one.decoder.startswith("chain/") and sum(one.accepted_lengths)
    }
    if lengths:
        plot.accepted_lengths(right, lengths)
    right.set_title("How much of a round is kept")
    return inline(figure, "chain", "Acceptance by place in the chain, and distribution of accepted lengths")


def attained(story: Story) -> str:
    """First place of several paths: accepted share of the rounds, the optimum, and what other rules would accept."""
    shown = [(one, one.places[0]) for one in story.attained]
    figure = Figure(figsize=(WIDTH, 1.3 + 0.36 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for line, (_, place) in enumerate(shown):
        color = color_of("optimal")
        if place.measured.low is not None and place.measured.high is not None:
            axes.plot([place.measured.low, place.measured.high], [line, line], color=color, linewidth=2)
        axes.plot(place.measured.value, line, "o", color=color, markersize=6)
        for name, value in place.others.items():
            axes.plot(value, line, "|", color=color_of(name), markersize=14, markeredgewidth=2)
        axes.plot(place.optimum, line, "|", color=INK, markersize=22, markeredgewidth=1.2)
    axes.set_yticks(range(len(shown)), [one.decoder for one, _ in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("share of rounds that emitted a candidate")
    handles = [
        Line2D([], [], color=color_of("optimal"), marker="o", lw=2, label="accepted rounds / rounds"),
        Line2D([], [], color=INK, marker="|", markersize=15, markeredgewidth=1.2, lw=0, label="optimum"),
        *(
            Line2D([], [], color=color_of(name), marker="|", markersize=12, markeredgewidth=2, lw=0, label=name)
            for name in COMPARED
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return inline(figure, "attained", "Accepted share of rounds with several candidates, and the computed optimum")


def counts(story: Story) -> str:
    """Acceptance over the number of drafts, one panel a draft law, the optimum on top."""
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (drafts, title) in zip(panels, PANELS.items(), strict=True):
        plot.acceptance_by_count(axes, story.rows, drafts)
        axes.set_title(title)
    panels[0].set_ylabel("acceptance (probability)")
    shown = list(dict.fromkeys(row.rule for row in story.rows if row.drafts in PANELS))
    handles = [
        Line2D([], [], color=color_of(rule), marker=plot.MARKERS.get(rule, "."), lw=2.2 if rule == OPTIMUM else 1.4)
        for rule in shown
    ]
    names = [f"{rule} (upper bound)" if rule == OPTIMUM else rule for rule in shown]
    figure.legend(handles, names, loc="outside lower center", ncols=4)
    return inline(figure, "counts", "Acceptance of each rule over the number of drafts, with the optimum")


def gaps(story: Story) -> str:
    """What each rule leaves to the optimum, at two and at four drafts."""
    keys = [(row.drafts, row.rule) for row in story.rows if row.n in (2, 4) and row.rule != OPTIMUM]
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    for axes, n in zip(figure.subplots(1, 2, sharey=True), (2, 4), strict=True):
        plot.gaps(axes, story.rows, n, keys)
        axes.set_title(f"n = {n} drafts")
    return inline(figure, "gaps", "Distance of each rule from the optimum, with intervals")


def draw(story: Story) -> dict[str, str]:
    """All figures by name, as inline SVG."""
    with rc_context(plot.RC):  # type: ignore[arg-type]
        return {make.__name__: make(story) for make in (decoders, chain, attained, counts, gaps)}


def _interval(estimate: Estimate) -> tuple[float, float | None, float | None]:
    return estimate.value, estimate.low, estimate.high
