"""The exact law of what foreign code returns: all of its randomness intercepted, every outcome met once."""

from __future__ import annotations

import itertools
import math
import pickle
import random
import sys
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from specmath.exact import Explorer, Law
from specmath.oracle.draws import Category, Draws, UnsupportedRandomness, shares
from specmath.oracle.index import Index, index
from specmath.oracle.sources import Handle, source

DEFAULT_BUDGET = 200_000
"""Paths of one exploration."""
_NUMPY: Any = np.random.mtrand._rand  # type: ignore[attr-defined]
_PYTHON: Any = random._inst  # type: ignore[attr-defined]
NO_FUNCTION = "the function is not a function of its random calls"
DRIFTS = "the program is not a function of its choices"


@dataclass(frozen=True)
class Open:
    """An entry of a result that is a drawn index nobody has looked at."""

    number: int

    def __repr__(self) -> str:
        return "?"  # its number differs from call to call


class Exploration:
    """Randomness taken over once, for several calls."""

    def __init__(self, draws: Draws, handle: Handle) -> None:
        self.draws, self._handle = draws, handle

    def law(
        self,
        call: Callable[[Draws], Any],
        budget: int = DEFAULT_BUDGET,
        *,
        failed: Callable[[Hashable], bool] = lambda outcome: False,
    ) -> Law:
        """Exact law of ``call(draws)``, which must be hashable, with `Open` entries in tuples.

        Code for which some outcome is ``failed`` is explored again with drawn indices decided at once: it may have
        asked whether they are of type ``int``. Raises `UnsupportedRandomness`, and `exact.BudgetError` beyond
        ``budget`` runs.
        """
        found = self._law(call, budget)
        if self.draws.eager or not any(map(failed, found)):
            return found
        self.draws.eager = True
        try:
            return self._law(call, budget)
        finally:
            self.draws.eager = False

    def _law(self, call: Callable[[Draws], Any], budget: int) -> Law:
        draws = self.draws
        draws.explorer = explorer = Explorer(budget)
        found: dict[Hashable, Fraction] = {}

        def path() -> list[tuple[Hashable, Fraction]]:
            draws.restart()
            self._handle.restart()
            UnsupportedRandomness.latest = None
            outcomes = list(_outcomes(call(draws), draws))
            if UnsupportedRandomness.latest is not None:  # the code caught it
                raise UnsupportedRandomness.latest
            self._handle.check()
            return outcomes

        try:
            for number, (outcomes, probability) in enumerate(explorer.paths(path), 1):
                for outcome, share in outcomes:
                    found[outcome] = found.get(outcome, Fraction(0)) + Fraction(probability) * share
                if not number & (number - 1):  # the 1st, 2nd, 4th, 8th ..: code that remembers is seen for little
                    self._again(path, outcomes)
        except RuntimeError as error:
            if isinstance(error, UnsupportedRandomness) or not str(error).startswith(DRIFTS):
                raise
            raise UnsupportedRandomness(str(error)) from error
        total = sum(found.values(), Fraction(0))
        if total != 1:
            raise RuntimeError(f"{NO_FUNCTION}: its paths have probability {total}")
        return Law(found, explorer.explored)

    def _again(self, path: Callable[[], Any], before: Any) -> None:
        """The last path once more: the same random numbers must give the same."""
        draws = self.draws
        draws.again = True
        try:
            now = draws.explorer.again(path)
        finally:
            draws.again = False
        if now != before:
            raise UnsupportedRandomness(
                f"{NO_FUNCTION}: the same random numbers gave "
                f"{_shown(before)} and then {_shown(now)}; it remembers earlier calls, or draws from what is not "
                "intercepted"
            )


@contextmanager
def exploration(
    arrays: str, *, generators: tuple[Any, ...] = (), function: Callable[..., Any] | None = None
) -> Iterator[Exploration]:
    """Take over the randomness of ``arrays``, of numpy and of Python while the block runs.

    ``generators`` are torch generators that the code is handed; ``function`` is the code whose module is looked through
    for generators made at import.
    """
    draws = Draws(Explorer(1))
    with source(arrays, draws, generators, function) as handle:
        # One numpy generator for all paths: it begins anew on each.
        draws.stores["generator"] = handle.generator()
        worlds = _states(arrays)
        try:
            yield Exploration(draws, handle)
        except UnsupportedRandomness as error:
            if NO_FUNCTION in str(error) or DRIFTS in str(error):
                _unmoved(worlds, arrays)  # says better why
            raise
        _unmoved(worlds, arrays)


def _unmoved(before: dict[str, Any], arrays: str) -> None:
    """Global generators that are not intercepted must be where they were."""
    for name, now in _states(arrays).items():
        if now == before[name]:
            continue
        if name == "torch":
            raise UnsupportedRandomness(f"torch's global generator, under arrays={arrays!r}; allowed is arrays='torch'")
        raise UnsupportedRandomness(
            f"{name}'s global generator was drawn from by code that is not intercepted: a library that holds the "
            "generator itself, or a function of it that was imported by name where it is not looked for"
        )


def _states(arrays: str) -> dict[str, Any]:
    """What the real global generators are at."""
    numpy = pickle.dumps(_NUMPY.get_state(legacy=False))
    return {"numpy": numpy, "Python": _PYTHON.getstate(), "torch": _torch_state(arrays)}


def _shown(outcomes: list[tuple[Hashable, Fraction]]) -> str:
    text = repr(outcomes[0][0])
    return text if len(text) < 80 else f"{text[:77]}..."


def _torch_state(arrays: str) -> bytes | None:
    """What torch's global generator is at, where its calls are not intercepted; None as long as nothing was drawn."""
    torch = sys.modules.get("torch")
    if arrays == "torch" or torch is None:
        return None
    now = torch.get_rng_state()
    untouched = torch.Generator().manual_seed(torch.initial_seed()).get_state()
    return None if torch.equal(now, untouched) else now.numpy().tobytes()


def _outcomes(result: Hashable, draws: Draws) -> Iterator[tuple[Hashable, Fraction]]:
    """A result with each combination of what its open entries may be, and its share."""
    numbers = sorted(set(_open(result)))
    cells = [draws.cells[number] for number in numbers]
    racers = [racer for cell in cells if isinstance(cell, Category) for racer in cell.racers]
    if len(racers) != len({id(racer) for racer in racers}):
        yield _filled(result, {number: draws.look(number) for number in numbers}), Fraction(1)
        return
    laws = []
    for cell in cells:
        assert isinstance(cell, Category)
        if cell.value is None:
            draws.spend(cell)
            laws.append([(i, share) for i, share in enumerate(shares(cell.weights)) if share])
        else:
            laws.append([(cell.value, Fraction(1))])
    for values in itertools.product(*laws):
        taken = {number: value for number, (value, _) in zip(numbers, values, strict=True)}
        yield _filled(result, taken), math.prod((share for _, share in values), start=Fraction(1))


def _open(result: Any) -> Iterator[int]:
    if isinstance(result, Open):
        yield result.number
    elif isinstance(result, tuple):
        for part in result:
            yield from _open(part)


def _filled(result: Any, values: dict[int, int]) -> Any:
    if isinstance(result, Open):
        return values[result.number]
    return tuple(_filled(part, values) for part in result) if isinstance(result, tuple) else result


def law_of(call: Callable[[], Any], *, arrays: str = "torch", budget: int = DEFAULT_BUDGET) -> Law:
    """Exact law of what ``call()`` returns, by exploring every outcome of its random calls.

    The result may be a number, an array or tensor of integers, or (nested) lists and tuples of these; arrays become
    tuples. Uniforms have the law of the generator's grid (`specmath.oracle.grid`), draws by weights the law of the
    weights; probabilities are fractions. ``arrays`` is "torch", "numpy", "python" or "jax"; the randomness of numpy and
    Python is followed under each. Raises `UnsupportedRandomness` for a call that cannot be followed, and
    `exact.BudgetError` beyond ``budget`` runs.

    >>> import numpy as np
    >>> law_of(lambda: int(np.random.random() < 0.25) + np.random.choice([0, 2], p=[0.5, 0.5]), arrays="numpy")
    Law({1: Fraction(1, 8), 3: Fraction(1, 8), 0: Fraction(3, 8), 2: Fraction(3, 8)}, paths=4)
    """
    with exploration(arrays, function=call) as explored:
        return explored.law(lambda draws: entries(call()), budget)


def entries(value: Any) -> Any:
    """A result as nested tuples of plain numbers, with `Open` where a drawn index was not looked at."""
    if type(value).__name__ == "Unknown" and hasattr(value, "term"):
        return _unknown(value)
    if isinstance(value, Index):
        found = index(value.draws, value.number)
        return Open(value.number) if isinstance(found, Index) else found
    if isinstance(value, tuple | list):
        return tuple(map(entries, value))
    if hasattr(value, "tolist"):
        return _tuples(value.tolist())
    return value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _unknown(value: Any) -> Any:
    from specmath.oracle.torch_source.unknown import refuse

    if value.term.kind != "category":
        refuse("a result made")
    term = value.term
    constant = None if term.constant is None else term.constant.tolist()
    return _zipped(term.index.tolist(), constant, value.draws)


def _zipped(index: Any, constant: Any, draws: Draws) -> Any:
    if isinstance(index, list):
        below = constant if constant is not None else [None] * len(index)
        return tuple(_zipped(i, c, draws) for i, c in zip(index, below, strict=True))
    if index < 0:
        return constant
    cell = draws.cells[index]
    assert isinstance(cell, Category)
    return Open(index) if cell.value is None else cell.value
