"""The law of a decoder as it runs, its real `verify` included, over the uniforms that it is handed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise

import numpy as np

from proofs_tests.decode.coins import Key, by_round
from reference import decode
from reference.drafters import Drafter
from reference.models.table import TableModel
from specmath.exact import Law


class Scripted:
    """A source whose k-th new uniform is ``values[k]``, and ``fill`` beyond them."""

    def __init__(self, values: Sequence[float], fill: float, key: Key) -> None:
        self._values, self._fill, self._key = values, fill, key
        self._order: dict[Hashable, int] = {}

    def __call__(self, position: int, stream: int, count: int) -> np.ndarray:
        places = [self._order.setdefault(self._key(position, stream, i), len(self._order)) for i in range(count)]
        return np.array([self._values[k] if k < len(self._values) else self._fill for k in places])

    @property
    def asked(self) -> int:
        return len(self._order)


def bisected_law(run: Callable[[Scripted], Hashable], *, key: Key = by_round, grid: int = 16) -> Law:
    """Law of a decoder's record over its uniforms, by bisecting for breakpoints, one uniform after the other.

    ``run`` decodes with the source and returns what it did: the more it tells (drafts, accepted count), the surer a
    breakpoint is seen. Two breakpoints inside one cell of the grid can be missed, which shows as a difference of laws.
    """
    fills = (0.0, 0.5, float(np.nextafter(1, 0)))
    found: dict[Hashable, float] = {}

    def call(values: list[float], fill: float) -> tuple[Hashable, int]:
        source = Scripted(values, fill, key)
        return run(source), source.asked

    def explore(fixed: list[float], volume: float) -> None:
        outcome, asked = call(fixed, fills[0])
        if asked <= len(fixed):
            found[outcome] = found.get(outcome, 0.0) + volume
            return

        def view(value: float) -> tuple[Hashable, ...]:
            return tuple(call([*fixed, value], fill)[0] for fill in fills)

        points = [*(i / grid for i in range(grid)), fills[-1]]
        views = [view(point) for point in points]
        start, first = 0.0, points[0]
        for (low, seen), (high, other) in pairwise(zip(points, views, strict=True)):
            if seen == other:
                continue
            while high - low > 2.0**-34:
                middle = (low + high) / 2
                low, high = (middle, high) if view(middle) == seen else (low, middle)
            edge = (low + high) / 2
            explore([*fixed, (first + low) / 2], volume * (edge - start))
            start, first = edge, high
        explore([*fixed, (first + points[-1]) / 2], volume * (1.0 - start))

    explore([], 1.0)
    return Law(found)


def first_round(
    target: TableModel,
    drafter: Drafter,
    rule: str,
    prompt: Sequence[int],
    length: int,
    *,
    key: Key = by_round,
    grid: int = 16,
) -> Law:
    """Law of what the first round of the real decoder emits, from its uniforms; everything it shows is looked at."""

    def run(source: Scripted) -> Hashable:
        options = decode.Options(max_tokens=length)
        one = next(decode.stream(target, prompt, drafter=drafter, rule=rule, options=options, uniforms=source))
        return one.drafted, one.accepted, one.emitted

    return bisected_law(run, key=key, grid=grid).map(lambda record: record[2])
