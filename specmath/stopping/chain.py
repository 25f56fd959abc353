"""Long-run averages of a finite chain of rounds: closed classes, stationary laws, gain and bias.

Everything works on plain numbers, so that fractions stay fractions.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Rational
from typing import TypeVar

import numpy as np

from specmath.exact.explorer import Number

APART = "process: its rounds fall into several parts under one of the policies on the way to the best; solve the parts"
NEAR, LARGE = 1e-14, 500

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Row:
    """What a round of one start brings on average.

    Attributes
    ----------
    tokens, drafted, accepted : emitted, drafted and kept tokens.
    capped : P(the horizon ended the drafting).
    after : start of the next round -> probability.
    """

    tokens: Number
    drafted: Number
    accepted: Number
    capped: Number
    after: Mapping


def solved(matrix: Sequence[Sequence[Number]], right: Sequence[Number]) -> list[Number]:
    """x with matrix x = right: by elimination for rationals, in float64 else; ValueError if the matrix is singular.

    >>> from fractions import Fraction
    >>> solved([[2, 1], [1, 1]], [3, 2])
    [Fraction(1, 1), Fraction(1, 1)]
    """
    from fractions import Fraction

    if not all(isinstance(one, Rational) for row in [*matrix, right] for one in row):
        try:
            left = np.array(matrix, float)
            found = np.linalg.solve(left, np.array(right, float))
            if len(left) > LARGE or np.linalg.cond(left, 1) < 1 / NEAR:  # nearly singular: rounding would decide
                return found.tolist()
        except np.linalg.LinAlgError:
            pass
        raise ValueError(APART)
    rows = [[Fraction(one) for one in (*row, end)] for row, end in zip(matrix, right, strict=True)]
    for place in range(len(rows)):
        pivot = next((i for i in range(place, len(rows)) if rows[i][place]), None)
        if pivot is None:
            raise ValueError(APART)
        rows[place], rows[pivot] = rows[pivot], rows[place]
        lead = rows[place] = [one / rows[place][place] for one in rows[place]]
        for i, row in enumerate(rows):
            if i != place and row[place]:
                rows[i] = [one - row[place] * head for one, head in zip(row, lead, strict=True)]
    return [row[-1] for row in rows]


def closed_classes(graph: Mapping[Key, set[Key]]) -> list[list[Key]]:
    """The sets of keys that, once entered, are never left and are connected within."""
    reach: dict[Key, set[Key]] = {}
    for key in graph:
        found, todo = {key}, [key]
        while todo:
            for after in graph[todo.pop()]:
                if after not in found:
                    found.add(after)
                    todo.append(after)
        reach[key] = found
    classes, seen = [], set()
    for key in graph:
        if key not in seen and all(key in reach[other] for other in reach[key]):
            seen |= reach[key]
            classes.append([other for other in graph if other in reach[key]])
    return classes


def stationary(rows: Mapping[Key, Row], members: Sequence[Key]) -> list[Number]:
    """Long-run share of rounds that begin in each member of a closed class."""
    place = {key: number for number, key in enumerate(members)}
    matrix: list[list[Number]] = [[0] * len(members) for _ in members]
    for key in members:
        for after, weight in rows[key].after.items():
            matrix[place[after]][place[key]] += weight
    for number in range(len(members)):
        matrix[number][number] -= 1
    matrix[-1] = [1] * len(members)
    return solved(matrix, [0] * (len(members) - 1) + [1])


def gain_and_bias(rows: Mapping[Key, Row], members: Sequence[Key], costs: Mapping[Key, Number]) -> tuple:
    """Tokens per unit of cost in a closed class, and by member the head start of beginning there, in tokens.

    The solution of tokens - gain cost + sum P bias = bias, with bias 0 for the first member.
    """
    place = {key: number for number, key in enumerate(members)}
    matrix: list[list[Number]] = []
    for key in members:  # unknowns: the gain in the place of the first bias, then the other biases
        row: list[Number] = [0] * len(members)
        row[place[key]] += 1
        for after, weight in rows[key].after.items():
            row[place[after]] -= weight
        row[0] = costs[key]
        matrix.append(row)
    found = solved(matrix, [rows[key].tokens for key in members])
    return found[0], {key: 0 if number == 0 else found[number] for key, number in place.items()}


def absorbed(rows: Mapping[Key, Row], start: Key, classes: Sequence[Sequence[Key]]) -> list[Number]:
    """P(a text that begins in ``start``, from where all rows are reached, ends up in each of the closed classes)."""
    if len(classes) == 1:
        return [1]
    inside = {key: number for number, members in enumerate(classes) for key in members}
    passing = [key for key in rows if key not in inside]
    place = {key: number for number, key in enumerate(passing)}
    matrix: list[list[Number]] = [[int(a == b) for b in passing] for a in passing]
    for key in passing:
        for after, weight in rows[key].after.items():
            if after in place:
                matrix[place[key]][place[after]] -= weight
    found = []
    for number in range(len(classes)):
        right = [sum(w for after, w in rows[key].after.items() if inside.get(after) == number) for key in passing]
        found.append(solved(matrix, right)[place[start]])
    return found
