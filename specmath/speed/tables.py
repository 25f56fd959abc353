"""Published measurements as data, and what a comparison with them is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

SETS = ("leviathan", "specdecpp", "spec_bench", "batch_ladder", "sequoia", "magicdec", "specdecode_bench")
"""Data sets below ``specmath/data/published``."""


@dataclass(frozen=True)
class Row:
    """One published number and the model's.

    Attributes
    ----------
    what : the row, in words.
    published, model : the numbers.
    """

    what: str
    published: float
    model: float

    @property
    def error(self) -> float:
        """model / published - 1."""
        return self.model / self.published - 1


@dataclass(frozen=True)
class Validation:
    """A model against a table.

    Attributes
    ----------
    name, source : of the data set; the source is a bibliography key with locator.
    how : how the numbers were obtained from the source.
    model : what was computed, in words.
    fitted : the parameters that were fitted to this table, with their values; none where it is a prediction.
    rows : the comparison.
    band : relative error up to which a row counts as met.
    outside : how many rows may lie outside of the band; named in docs/theory/speed.md.
    """

    name: str
    source: str
    how: str
    model: str
    fitted: dict[str, float]
    rows: tuple[Row, ...]
    band: float
    outside: int = 0

    @property
    def missed(self) -> tuple[Row, ...]:
        """Rows outside of the band."""
        return tuple(row for row in self.rows if not abs(row.error) <= self.band)

    @property
    def met(self) -> bool:
        """Whether no more rows than declared lie outside."""
        return len(self.missed) <= self.outside


def load(name: str) -> dict[str, Any]:
    """A data set of `SETS` with its source and how it was obtained; ValueError lists the sets there are.

    >>> load("leviathan")["rows"][0]["speedup"]
    3.4
    """
    if name not in SETS:
        raise ValueError(f"name is {name!r}; allowed are {', '.join(map(repr, SETS))}")
    place = files("specmath") / "data" / "published" / f"{name}.json"
    return json.loads(place.read_text(encoding="utf-8"))
