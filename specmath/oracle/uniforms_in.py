"""Exact law of code that takes its uniforms as arguments: the breakpoints in each of them, on the generator's grid.

A verification kernel is a function of m uniforms and constant on finitely many boxes. Each uniform is k / 2**bits with
k uniform on 0 .. 2**bits - 1, as generators make them, so a breakpoint is found exactly, by bisection in k, and the law
is a sum of products of whole numbers over powers of two: over Fractions, the atom at 0.0 included. The search is a
program of `specmath.exact`: it chooses an interval of the first uniform, then of the second, and so on.

What an opaque function does between the points that were looked at is unknown. Fresh random points are therefore held
against the boxes; one that disagrees is a counterexample from which the search learns a breakpoint or a point to look
at, and begins again, until all agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from specmath import exact
from specmath.exact import Chance, Law, UnresolvedError
from specmath.oracle.grid import NUMPY, TORCH, Grid

Point = tuple[int, ...]
"""Uniforms, as numbers k of grid points."""

Rows = Callable[[list[Point]], Sequence[Hashable]]

SECTIONS = 16  # of the whole range, before breakpoints are looked for
MOST = 24  # uniforms
COUNTEREXAMPLES = 32  # after which the search is given up


class _Search:
    """Intervals of each uniform on which the outcome, as a function of the later ones, does not change."""

    def __init__(self, rows: Rows, count: int, grid: Grid, probes: int) -> None:
        self._rows, self._count, self._grid = rows, count, grid
        self._known: dict[Point, Hashable] = {}
        last = grid.size - 1
        steps = np.sqrt([p for p in range(2, 100) if all(p % d for d in range(2, p))])[:count]
        spread = (np.arange(1, probes + 1)[:, None] * steps) % 1.0
        corners = [(0,) * count, (last,) * count]
        for place in range(count):  # rare boxes lie in corners: all tests fail, or one does
            corners += [tuple(last if i == place else 0 for i in range(count))]
            corners += [tuple(0 if i == place else last for i in range(count))]
        self.design: list[Point] = list(dict.fromkeys([*corners, *(self._snap(row) for row in spread)]))
        regular = range(0, grid.size, max(1, grid.size // SECTIONS))
        edges = [k for k in (1, 2, last - 1, last) if 0 <= k <= last]
        self.starts: list[set[int]] = [{*regular, *edges} for _ in range(count)]
        self._pieces: dict[Point, list[tuple[int, int]]] = {}
        self.calls = 0

    def _snap(self, row: Sequence[float]) -> Point:
        return tuple(min(int(value * self._grid.size), self._grid.size - 1) for value in row)

    def outcomes(self, points: Sequence[Point]) -> list[Hashable]:
        """Outcome at each point; every point is evaluated once."""
        fresh = [point for point in dict.fromkeys(points) if point not in self._known]
        if fresh:
            found = self._rows(fresh)
            if len(found) != len(fresh):
                raise ValueError(f"function returned {len(found)} outcomes for {len(fresh)} rows; allowed is one each")
            self._known.update(zip(fresh, found, strict=True))
            self.calls += len(fresh)
        return [self._known[point] for point in points]

    def _tails(self, place: int) -> list[Point]:
        """The design of the uniforms after ``place``."""
        return list(dict.fromkeys(point[place + 1 :] for point in self.design))

    def _signatures(self, fixed: Point, values: Sequence[int]) -> list[tuple[Hashable, ...]]:
        """For each value of the next uniform: the outcomes over the design of the later ones."""
        tails = self._tails(len(fixed))
        found = self.outcomes([(*fixed, value, *tail) for value in values for tail in tails])
        return [tuple(found[i : i + len(tails)]) for i in range(0, len(found), len(tails))]

    def pieces(self, fixed: Point) -> list[tuple[int, int]]:
        """Intervals of the next uniform after ``fixed``: (a value inside, number of values)."""
        if fixed not in self._pieces:
            self._pieces[fixed] = list(self._split(fixed))
        return self._pieces[fixed]

    def _split(self, fixed: Point) -> Iterator[tuple[int, int]]:
        points = sorted(self.starts[len(fixed)])
        known = dict(zip(points, self._signatures(fixed, points), strict=True))
        while True:
            apart = [(a, b) for a, b in pairwise(sorted(known)) if b - a > 1 and known[a] != known[b]]
            if not apart:
                break
            edges = self._bisected(fixed, [(a, b, known[a], known[b]) for a, b in apart])
            known.update(zip(edges, self._signatures(fixed, edges), strict=True))
        members: list[list[int]] = [[]]  # looked-at values of each interval
        for value in sorted(known):
            if members[-1] and known[members[-1][-1]] != known[value]:
                members.append([])
            members[-1].append(value)
        ends = [*(later[0] for later in members[1:]), self._grid.size]
        for first, inside, end in zip([0, *ends], members, ends, strict=False):
            yield min(inside, key=lambda value: abs(2 * value - first - end)), end - first

    def _bisected(self, fixed: Point, apart: list[tuple[int, int, Any, Any]]) -> list[int]:
        """Neighbouring values between which the outcome changes, one pair for each interval; all intervals in step."""
        tails = self._tails(len(fixed))
        found = []
        for low, high, before, after in apart:
            differ = next(i for i in range(len(tails)) if before[i] != after[i])  # one later point tells them apart
            found.append([low, high, tails[differ], before[differ]])
        while any(high - low > 1 for low, high, _, _ in found):
            middles = [(low + high) // 2 for low, high, _, _ in found]
            seen = self.outcomes([(*fixed, k, *row[2]) for k, row in zip(middles, found, strict=True)])
            for row, middle, outcome in zip(found, middles, seen, strict=True):
                if row[1] - row[0] > 1:
                    row[0 if outcome == row[3] else 1] = middle
        return sorted({end for low, high, _, _ in found for end in (low, high)})

    def box(self, point: Point) -> Point:
        """A point of the box in which ``point`` lies, at which the outcome was looked at."""
        fixed: Point = ()
        for value in point:
            end = 0
            for inside, width in self.pieces(fixed):
                end += width
                if value < end:
                    fixed = (*fixed, inside)
                    break
        return fixed

    def learn(self, point: Point) -> bool:
        """Whether ``point`` contradicts the boxes; if it does, the search begins again with what it shows."""
        at = self.box(point)
        wanted, found = self.outcomes([point, at])
        if wanted == found:
            return False
        # Between the two points, changed one uniform at a time, the outcome changes somewhere.
        path = [(*point[:i], *at[i:]) for i in range(self._count + 1)]
        outcomes = self.outcomes(path)
        for place in range(self._count):
            if outcomes[place] != outcomes[place + 1]:
                self.starts[place].update((point[place], at[place]))
        self.design += [mixed for mixed in path if mixed not in self.design]
        self._pieces.clear()
        return True


def law_of_arguments(
    function: Callable[..., Any],
    *,
    uniforms: Mapping[str, tuple[int, ...]],
    arrays: str = "numpy",
    dtype: str = "float64",
    grid: Grid | None = None,
    rows: bool = False,
    device: str = "cpu",
    probes: int = 8,
    checks: int = 512,
    budget: int = exact.DEFAULT_BUDGET,
) -> Law:
    """Exact law of ``function(**uniforms)``, each uniform on its generator's grid.

    Parameters
    ----------
    function : takes the uniforms by keyword and returns an outcome: a number, a tuple or list, an array or a tensor; it
        becomes nested tuples. Laws and drafts are bound beforehand, in fresh copies if the function writes to them.
    uniforms : name -> shape; together at most 24 numbers. () is a scalar array.
    arrays, dtype, device : what is handed over: "numpy" or "torch", "float64", "float32", "float16", "bfloat16".
    grid : values of a uniform; by default those of the library's own generator for ``dtype``.
    rows : the function takes a leading axis of rows, and returns one outcome for each: far fewer calls. Outcomes of a
        row must not depend on its mates; some are computed alone, too, and compared.
    probes : how many spread points, beside the corners, tell two conditional maps apart.
    checks : random points held against the boxes at the end; a wrong region of volume d escapes with probability
        (1 - d)^checks: for 512, d = 0.04 with 1e-9, d = 0.01 with 0.006.
    budget : most boxes.

    Returns
    -------
    Law
        Over Fractions; ``paths`` is the number of boxes.

    Raises
    ------
    ValueError
        For unknown libraries and dtypes, too many uniforms, and outcomes that are not hashable.
    UnresolvedError
        If the outcome of a point changes from call to call, or depends on the other rows, or if the boxes still do not
        describe the function after 32 counterexamples: it compares uniforms with each other, or adds them.
    BudgetError
        For more than ``budget`` boxes.

    >>> found = law_of_arguments(lambda coins: int(coins[0] <= 0.25), uniforms={"coins": (1,)}, dtype="float32")
    >>> found[1] - Fraction(1, 4)  # one grid point too much: <= where < is meant
    Fraction(1, 16777216)
    """
    shapes = {name: _shape(name, shape) for name, shape in uniforms.items()}
    count = sum(math.prod(shape) for shape in shapes.values())
    if not 1 <= count <= MOST:
        raise ValueError(f"uniforms: {count} numbers; allowed are 1 to {MOST}")
    grid = _grid(arrays, dtype) if grid is None else grid
    make = _maker(arrays, dtype, device, grid)

    def evaluate(points: list[Point]) -> list[Hashable]:
        if not rows:
            return [outcome_of(function(**_arguments(shapes, make([point]), row=0))) for point in points]
        found = function(**_arguments(shapes, make(points), row=None))
        return [outcome_of(one) for one in found]

    search = _Search(evaluate, count, grid, probes)
    _check_function(search, evaluate, rows)
    random = np.random.default_rng(0)  # the points that are looked at, not the randomness of the function
    learned = 0
    while True:
        found = exact.law(lambda chance: _walk(chance, search, count), budget=budget)
        fresh = [tuple(int(k) for k in row) for row in random.integers(grid.size, size=(checks, count))]
        search.outcomes(fresh)  # at once, where the function takes rows
        before = learned
        for point in fresh:
            learned += search.learn(point)
            if learned > COUNTEREXAMPLES:
                raise UnresolvedError(
                    f"{learned} random uniforms contradicted the boxes, the last {[k / grid.size for k in point]}: the "
                    "function is not constant on boxes (it compares or adds uniforms), or has very many of them"
                )
        if learned == before:
            return found


def _walk(chance: Chance, search: _Search, count: int) -> Hashable:
    """A box, chosen uniform by uniform, and the outcome in it."""
    fixed: Point = ()
    for _ in range(count):
        pieces = search.pieces(fixed)
        fixed = (*fixed, pieces[chance.draw([Fraction(width) for _, width in pieces])][0])
    return search.outcomes([fixed])[0]


def _check_function(search: _Search, evaluate: Rows, rows: bool) -> None:
    """Equal uniforms give equal outcomes, beside whatever other rows."""
    points = search.design[-8:]
    before = search.outcomes(points)
    for point, outcome in zip(points, before, strict=True):
        again = evaluate([point])[0]
        if again != outcome:
            why = "or depends on the other rows" if rows else "it has other randomness, or remembers something"
            raise UnresolvedError(
                f"the function is not a function of its uniforms: {outcome!r}, and {again!r} when called again; {why}"
            )


def outcome_of(value: Any) -> Hashable:
    """What a function returned, as nested tuples of numbers.

    >>> outcome_of([np.int64(3), np.array([1, -1])])
    (3, (1, -1))
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(outcome_of(one) for one in value)
    try:
        hash(value)
    except TypeError:
        raise ValueError(
            f"function returned a {type(value).__name__}; allowed are numbers, arrays, tensors, and tuples of them"
        ) from None
    return value


def _shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or any(not isinstance(size, int) or size < 1 for size in shape):
        raise ValueError(f"uniforms[{name!r}] is {shape!r}; allowed are shapes, tuples of whole numbers >= 1")
    return shape


def _grid(arrays: str, dtype: str) -> Grid:
    grids = {"numpy": NUMPY, "torch": TORCH}
    if arrays not in grids:
        raise ValueError(f"arrays is {arrays!r}; allowed are 'numpy' and 'torch'")
    if dtype not in grids[arrays]:
        raise ValueError(f"dtype is {dtype!r}; allowed for {arrays} are {', '.join(map(repr, grids[arrays]))}")
    return grids[arrays][dtype]


def _maker(arrays: str, dtype: str, device: str, grid: Grid) -> Callable[[list[Point]], Any]:
    """points -> array (len(points), count) of the library; k / 2**bits is exact in float64 and in the dtype."""
    if arrays == "numpy":
        return lambda points: grid.values(np.array(points)).astype(dtype)
    if arrays != "torch":
        raise ValueError(f"arrays is {arrays!r}; allowed are 'numpy' and 'torch'")
    import torch

    kind = getattr(torch, dtype)
    return lambda points: torch.tensor(grid.values(np.array(points))).to(kind).to(device)


def _arguments(shapes: Mapping[str, tuple[int, ...]], values: Any, row: int | None) -> dict[str, Any]:
    """Cut values (rows, count) into arguments (rows, *shape), or (*shape) of one row."""
    found, start = {}, 0
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        part = values[:, start:end].reshape((values.shape[0], *shape))
        found[name], start = part if row is None else part[row], end
    return found
