"""The recorded rows: laws of the right models before the right tokens, in chunks of any size."""

from __future__ import annotations

import numpy as np
import pytest

from reference.decode import Options
from reference.models.table import TableModel
from reference.record import laws, laws_along, spaced

TEXT = [0, 2, 1, 1, 0, 2, 2, 1, 0, 1]


def table(shift: float) -> TableModel:
    """A law that tells the whole prefix."""

    def law(prefix):
        weights = np.exp(np.sin(np.arange(3) * 2.0 + shift + sum((i + 1) * t for i, t in enumerate(prefix))))
        return (weights / weights.sum()).tolist()

    return TableModel(law, 3)


def judge(shift, positions, options):
    """The law of each prefix by itself."""
    return np.stack([options.laws("target", table(shift).start().extend(TEXT[:p]))[-1] for p in positions])


@pytest.mark.parametrize("chunk", [1, 2, 3, 64])
@pytest.mark.parametrize("positions", [[1], [10], [1, 2, 3], [2, 5, 9, 10], list(range(1, 11))])
def test_rows_are_the_laws_of_the_prefixes(monkeypatch, chunk, positions):
    monkeypatch.setattr(laws, "CHUNK", chunk)
    options = Options(temperature=0.7, top_k=2)
    found = list(laws_along(table(0.0), table(1.0), TEXT, positions, options))
    assert all(len(rows.target) <= chunk for rows in found)
    target, draft = (np.concatenate([getattr(rows, name) for rows in found]) for name in ("target", "draft"))
    np.testing.assert_array_equal(target, judge(0.0, positions, options))
    np.testing.assert_array_equal(draft, judge(1.0, positions, options))
    assert not np.array_equal(target, judge(0.0, positions, Options()))  # the filters show in the rows
    if positions[0] > 1:
        assert not np.array_equal(target, judge(0.0, [p - 1 for p in positions], options))  # and so does the place


@pytest.mark.parametrize("positions", [[0], [11], [3, 3], [4, 2]])
def test_wrong_positions_are_refused(positions):
    with pytest.raises(ValueError, match=r"positions are \[.*allowed are rising numbers from 1 to 10"):
        list(laws_along(table(0.0), table(1.0), TEXT, positions, Options()))


def test_nothing_to_record():
    assert list(laws_along(table(0.0), table(1.0), TEXT, [], Options())) == []


@pytest.mark.parametrize("total", [1, 2, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 50, None])
def test_places_are_evenly_spaced(total, count):
    found = spaced(total, count)
    assert len(found) == (total if count is None else min(total, count))
    assert found == sorted(set(found))
    assert found[0] == 0
    if len(found) > 1:
        assert found[-1] == total - 1
        gaps = np.diff(found)
        assert gaps.max() - gaps.min() <= 1
