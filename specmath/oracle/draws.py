"""What foreign code has drawn so far on one path: cells whose value is known only as far as the code has looked."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

from specmath.exact import Explorer, Number
from specmath.oracle.grid import Grid

MOST_CHOICES = 10_000
"""A run that asks for more choices than this is taken for one that does not end."""
MOST_BRANCHES = 4096
"""A single draw with more outcomes than this is refused."""


class UnsupportedRandomness(RuntimeError):
    """The function uses randomness in a way that cannot be followed exactly; the message names the call.

    The latest one is kept, so that code which catches every exception cannot hide it.
    """

    latest: ClassVar[UnsupportedRandomness | None] = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        UnsupportedRandomness.latest = self


@dataclass(eq=False, slots=True)
class Uniform:
    """A uniform on the grid points ``low .. high - 1`` that the code's comparisons have left."""

    grid: Grid
    low: int
    high: int


@dataclass(eq=False, slots=True)
class Exponential:
    """A standard exponential; ``spent`` once a race was decided by it."""

    spent: bool = False


@dataclass(eq=False, slots=True)
class Category:
    """An index with probabilities proportional to ``weights``; ``value`` once somebody looked.

    ``racers`` are the cells whose race it is the outcome of.
    """

    weights: tuple[Number, ...]
    value: int | None = None
    racers: tuple[Exponential | Uniform, ...] = ()


Cell = Uniform | Exponential | Category


class Cells:
    """The cells of one path by number. No number comes again, so that what code keeps from an earlier path is seen."""

    def __init__(self) -> None:
        self._first, self._cells = 0, list[Cell]()

    def forget(self) -> None:
        """A new path begins."""
        self._first += len(self._cells)
        self._cells = []

    def add(self, cell: Cell) -> int:
        """Number of a new cell."""
        self._cells.append(cell)
        return self._first + len(self._cells) - 1

    def __getitem__(self, number: int) -> Cell:
        if number < self._first:
            raise UnsupportedRandomness("a random number of an earlier call is used: the code remembers it")
        return self._cells[number - self._first]


@dataclass
class Draws:
    """All cells of one path, and the explorer that decides them.

    Attributes
    ----------
    explorer : the depth-first search.
    cells : the cells in the order of their creation; arrays refer to them by number.
    calls : names of the random calls that were intercepted, over all paths.
    coarsest : the largest probability of 0.0 among the grids that were drawn from, over all paths.
    reseeded : calls that met a generator in a state that had been drawn from before, over all paths.
    seeded : generators that the code itself seeded, over all paths.
    streams : what was drawn from each state of each generator on this path.
    stores : what a source keeps beside, by its name.
    choices : how many were made on this path.
    indices : whether the code holds indices that nobody has looked at.
    races : weights of races that were solved, over all paths.
    eager : whether drawn indices are decided at once, for code that asks whether they are of type ``int``.
    again : whether this run repeats a path that was run before.
    """

    explorer: Explorer
    cells: Cells = field(default_factory=lambda: Cells())
    calls: dict[str, None] = field(default_factory=dict)
    coarsest: Fraction = Fraction(0)
    reseeded: dict[str, None] = field(default_factory=dict)
    seeded: dict[str, None] = field(default_factory=dict)
    streams: dict[Hashable, tuple[str, list[int]]] = field(default_factory=dict)
    stores: dict[str, Any] = field(default_factory=dict)
    choices: int = 0
    indices: bool = False
    races: dict[Any, list[float]] = field(default_factory=dict)
    eager: bool = False
    again: bool = False

    def restart(self) -> None:
        """A new path begins."""
        self.cells.forget()
        self.streams.clear()
        self.choices = 0
        self.indices = False

    def uniform(self, grid: Grid) -> int:
        """Number of a new uniform."""
        self.coarsest = max(self.coarsest, grid.zero)
        return self._add(Uniform(grid, 0, grid.size))

    def exponential(self) -> int:
        """Number of a new exponential."""
        return self._add(Exponential())

    def category(self, weights: Sequence[Number], racers: tuple[Exponential | Uniform, ...] = ()) -> int:
        """Number of a new index, not yet looked at; the weights need not sum to one."""
        return self._add(Category(tuple(weights), None, racers))

    def _add(self, cell: Cell) -> int:
        return self.cells.add(cell)

    def choose(self, weights: Sequence[Number]) -> int:
        """Decide at once: an index with probability proportional to ``weights``, as exact fractions."""
        if len(weights) > MOST_BRANCHES:
            raise UnsupportedRandomness(
                f"one draw has {len(weights)} outcomes; at most {MOST_BRANCHES} can be enumerated"
            )
        return self.take(shares(weights))

    def take(self, probabilities: Sequence[Fraction]) -> int:
        """The branch to take."""
        self.choices += 1
        if self.choices > MOST_CHOICES:
            raise UnsupportedRandomness(f"one run made more than {MOST_CHOICES} random choices; it may not end")
        try:
            return self.explorer.choose(probabilities)
        except RuntimeError as error:
            raise UnsupportedRandomness(str(error)) from error

    def look(self, number: int) -> int:
        """Value of an index, decided now if nobody has looked before."""
        cell = self.cells[number]
        assert isinstance(cell, Category)
        if cell.value is None:
            self.spend(cell)
            cell.value = self.choose(cell.weights)
        return cell.value

    def spend(self, cell: Category) -> None:
        """The race behind an index is decided; another race by the same cells would not be independent."""
        for racer in cell.racers:
            if isinstance(racer, Exponential):
                if racer.spent:
                    raise UnsupportedRandomness("two races by the same random numbers were both looked at")
                racer.spent = True
            else:
                if racer.high - racer.low != racer.grid.size:
                    raise UnsupportedRandomness("a race by uniforms that were compared with something before")
                racer.high = racer.low  # any later use finds an empty cell

    def numbers(self, key: Hashable, law: str, count: int, make: Callable[[], int]) -> list[int]:
        """Numbers of ``count`` new cells drawn from the state ``key`` of a generator.

        A generator that was set back to a state gives the same numbers again: uniforms and exponentials of one law are
        then the same cells, and draws by weights are refused.
        """
        found = self.streams.get(key)
        if found is not None:
            self.reseeded[law] = None
            before, _ = found
            if before != law or not law.startswith(("uniform", "exponential")):
                raise UnsupportedRandomness(f"{law} on a generator in a state from which {before} has drawn already")
        else:
            found = self.streams[key] = (law, [])
        known = found[1]
        while len(known) < count:
            known.append(make())
        return known[:count]


def shares(weights: Sequence[Number]) -> list[Fraction]:
    """Weights over their sum, exactly."""
    exact = [Fraction(weight) for weight in weights]
    total = sum(exact)
    return [weight / total for weight in exact]
