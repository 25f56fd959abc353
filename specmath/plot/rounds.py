"""What the rounds of a decoder did: block efficiency, speed, acceptance by place, accepted lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from specmath.plot.style import INK, MUTED, SERIES

TEXT = 0.13
"""Share of the width that a number takes."""

Interval = tuple[float, float | None, float | None]
"""A mean and the ends of its 95 % interval, None where there is none."""


def efficiency(axes: Axes, measured: Mapping[str, Interval], limits: Mapping[str, int] | None = None) -> Axes:
    """Block efficiency of each decoder, in tokens per target call, with its interval.

    ``limits`` are the most that decoders can reach, by name, each marked across its own bar.
    """
    limits = {} if limits is None else limits
    longest = max(value if high is None else high for value, _, high in measured.values())
    widest = max([(1 + TEXT) * longest, *(1.04 * limit for limit in limits.values())])
    for place, (name, (value, low, high)) in enumerate(measured.items()):
        axes.barh(place, value, color=SERIES[place % len(SERIES)], height=0.6)
        end = value
        if low is not None and high is not None and low < high:
            axes.plot([low, high], [place, place], color=INK, linewidth=1.5)
            end = max(end, high)
        if name in limits:
            axes.plot([limits[name]] * 2, [place - 0.42, place + 0.42], color=MUTED, linestyle=(0, (3, 2)), linewidth=1)
            if limits[name] - end < TEXT * widest:  # the number would be written across the mark
                end = max(end, limits[name])
        axes.annotate(f"{value:.2f}", (end, place), xytext=(5, 0), textcoords="offset points", va="center")
    _named_bars(axes, list(measured))
    axes.set_xlim(0, widest)
    axes.set_xlabel("block efficiency (tokens per target call)" + ("; dashed: its limit" if limits else ""))
    return axes


def speed(axes: Axes, measured: Mapping[str, float]) -> Axes:
    """Tokens per second of each decoder; each bar also says how many times the first one that is."""
    first = next(iter(measured.values()))
    for place, value in enumerate(measured.values()):
        axes.barh(place, value, color=SERIES[place % len(SERIES)], height=0.6)
        text = f"{value:.0f}" if place == 0 else f"{value:.0f}  (× {value / first:.2f})"
        axes.annotate(text, (value, place), xytext=(5, 0), textcoords="offset points", va="center")
    _named_bars(axes, list(measured))
    axes.set_xlim(0, 1.35 * max(measured.values()))
    axes.set_xlabel("speed on this machine (tokens per second)")
    return axes


def by_place(axes: Axes, measured: Sequence[Interval], computed: Sequence[float]) -> Axes:
    """Acceptance of drafted tokens by their place in the chain, among those that were tested.

    Measured shares with intervals against the computed mean of sum_x min(target(x), draft(x)) over the same contexts.
    """
    places = list(range(1, len(measured) + 1))
    for place, (_, low, high) in zip(places, measured, strict=True):
        if low is not None and high is not None:
            axes.plot([place, place], [low, high], color=SERIES[1], linewidth=1.6)
    axes.plot(places, [value for value, _, _ in measured], "o", color=SERIES[1], markersize=6, label="measured")
    axes.plot(places, computed, "_", color=INK, markersize=24, markeredgewidth=2, label="computed: mean Σ min(p, q)")
    axes.set_xticks(places)
    axes.set_xlim(0.5, len(places) + 0.5)
    axes.set_ylim(0, 1)
    axes.grid(axis="y")
    axes.set_xlabel("place of the drafted token in the chain")
    axes.set_ylabel("share accepted when tested")
    axes.legend(loc="lower left")
    return axes


def accepted_lengths(axes: Axes, counts: Mapping[str, Sequence[int]]) -> Axes:
    """How many drafted tokens a full round kept: share of rounds for 0, 1, ... tokens, one group of bars a length.

    ``counts[name][k]`` is the number of rounds that kept k.
    """
    width = 0.8 / len(counts)
    for number, (name, found) in enumerate(counts.items()):
        total = max(sum(found), 1)
        shift = (number - (len(counts) - 1) / 2) * width
        at = [length + shift for length in range(len(found))]
        color = SERIES[(number + 1) % len(SERIES)]
        axes.bar(at, [count / total for count in found], width=0.92 * width, color=color, label=name)
    axes.set_xticks(range(max(len(found) for found in counts.values())))
    axes.grid(axis="y")
    axes.set_xlabel("drafted tokens kept in a round")
    axes.set_ylabel("share of rounds")
    axes.legend(loc="best")
    return axes


def _named_bars(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
