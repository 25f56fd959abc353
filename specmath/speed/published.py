"""Published measurements as data, and this package's models against them: ``python -m specmath.speed.published``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
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


def validate(only: Sequence[str] = ()) -> tuple[Validation, ...]:
    """All comparisons, or those of some data sets.

    Raises ValueError for a name that is not in `SETS`.
    """
    from specmath.speed.validation import MODELS  # it imports this module

    for name in only:
        load(name)
    return tuple(found for name in (only or SETS) for found in MODELS[name](load(name)))


def report(found: Sequence[Validation]) -> str:
    """The comparisons as text."""
    lines: list[str] = []
    for one in found:
        fitted = ", ".join(f"{name} = {value:.4g}" for name, value in one.fitted.items()) or "nothing"
        lines += [
            "",
            f"{one.name}: {one.model}",
            f"  source: {one.source}",
            f"  numbers: {one.how}",
            f"  fitted: {fitted}",
        ]
        width = max(len(row.what) for row in one.rows)
        for row in one.rows:
            mark = "" if abs(row.error) <= one.band else "  outside"
            lines.append(
                f"  {row.what:<{width}}  published {row.published:7.3f}  model {row.model:7.3f}  "
                f"{100 * row.error:+6.1f} %{mark}"
            )
        inside = len(one.rows) - len(one.missed)
        lines.append(f"  within {100 * one.band:g} %: {inside} of {len(one.rows)}" + ("" if one.met else "  NOT MET"))
    return "\n".join(lines[1:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparisons of the data sets named on the command line (default all); 0 if all bands are met."""
    names = sys.argv[1:] if arguments is None else list(arguments)
    try:
        found = validate(names)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report(found))
    return 0 if all(one.met for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
