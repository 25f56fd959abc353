"""This package's models against published measurements: ``python -m specmath.speed.published``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from specmath.speed.tables import SETS, Validation, load
from specmath.speed.validation import MODELS


def validate(only: Sequence[str] = ()) -> tuple[Validation, ...]:
    """All comparisons, or those of some data sets.

    Raises ValueError for a name that is not in `SETS`.
    """
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
