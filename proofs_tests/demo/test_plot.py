"""The figures draw the numbers they are given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from specmath import plot, rules
from specmath.comparison import OPTIMUM, compare, plan

GENERATOR = np.random.default_rng(5)
TARGET, DRAFT = GENERATOR.dirichlet(np.ones(6), size=(2, 3))
ROWS = compare([(TARGET, DRAFT)], plan([1, 2, 4], ["iid"]))


def test_lines_are_the_rows() -> None:
    axes = plot.acceptance_by_count(Figure().add_subplot(), ROWS, "iid")
    drawn = {line.get_label(): dict(zip(*line.get_data(), strict=True)) for line in axes.get_lines()}
    assert drawn == {
        rule: {row.n: row.acceptance for row in ROWS if row.rule == rule} for rule in {row.rule for row in ROWS}
    }
    best = drawn[OPTIMUM]
    assert all(value <= best[n] + 1e-12 for line in drawn.values() for n, value in line.items())


def test_bars_are_the_gaps() -> None:
    axes = plot.gaps(Figure().add_subplot(), ROWS, 2)
    shown = [row for row in ROWS if row.n == 2 and row.rule != OPTIMUM]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([100 * row.gap for row in shown])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["iid drafts", *(row.rule for row in shown)]


def test_every_decoder_has_its_own_limit() -> None:
    measured = {"a": (1.0, None, None), "b": (1.9, 1.8, 1.95), "c": (2.5, 2.0, 3.0)}
    axes = plot.efficiency(Figure().add_subplot(), measured, {"b": 2, "c": 5})
    marks = [line.get_data() for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert [(list(x), float(np.mean(y))) for x, y in marks] == [([2, 2], 1.0), ([5, 5], 2.0)]
    assert axes.get_xlim()[1] > 5
    assert plot.efficiency(Figure().add_subplot(), measured).get_xlim()[1] > 3


def test_lengths_are_shares() -> None:
    axes = plot.accepted_lengths(Figure().add_subplot(), {"a": [1, 3], "b": [2, 2]})
    assert [bar.get_height() for bar in axes.patches] == [0.25, 0.75, 0.5, 0.5]


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="drafts is 'greedy'"):
        plot.acceptance_by_count(Figure().add_subplot(), ROWS, "greedy")
    with pytest.raises(ValueError, match="n is 3"):
        plot.gaps(Figure().add_subplot(), ROWS, 3)


def test_every_node_rule_has_its_own_look() -> None:
    names = (OPTIMUM, *rules.names("node"))
    assert set(names) <= set(plot.COLORS)
    assert len({plot.COLORS[name] for name in names}) == len(names)
    assert len({plot.MARKERS[name] for name in names}) == len(names)
