"""Randomness of Python's ``random``: the module's functions, and `random.Random` objects."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from specmath.oracle.draws import UnsupportedRandomness
from specmath.oracle.scalar import Scalar
from specmath.oracle.sources.numpy_source import Stream

_NAMES = "random uniform choice choices randrange randint sample shuffle expovariate seed"
NAMES = frozenset(_NAMES.split())
"""Functions that are followed; the others are refused by name."""


class PythonStream:
    """The functions of ``random`` on one stream; the names are those of `random.Random`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def random(self) -> Scalar:
        """A uniform of 53 bits."""
        return self._stream.random(name="random.random")

    def uniform(self, a: float, b: float) -> Any:
        """``a + (b - a) * random()``."""
        return self.random() * (b - a) + a if (a, b) != (0, 1) else self.random()

    def expovariate(self, lambd: float = 1.0) -> Any:
        """An exponential, ``-log(1 - random()) / lambd``."""
        return -(1.0 - self.random()).log() / lambd

    def _index(self, weights: list[Any], law: str) -> int:
        self._stream.draws.calls[f"random.{law}"] = None
        self._stream._cells(law, 1, lambda: self._stream.draws.category((1.0,)))
        return self._stream.draws.choose(weights)

    def choice(self, seq: Any) -> Any:
        """An element."""
        return seq[self._index([1] * len(seq), "choice")]

    def choices(self, population: Any, weights: Any = None, *, cum_weights: Any = None, k: int = 1) -> list[Any]:
        """Elements with replacement, by weights."""
        if cum_weights is not None:
            weights = np.diff(np.asarray(cum_weights), prepend=0).tolist()
        weights = [1] * len(population) if weights is None else [float(weight) for weight in weights]
        if len(weights) != len(population):
            raise ValueError("The number of weights does not match the population")
        if not sum(weights) > 0:
            raise ValueError("Total of weights must be greater than zero")
        return [population[self._index(weights, "choices")] for _ in range(k)]

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """A whole number."""
        options = range(start) if stop is None else range(start, stop, step)
        return options[self._index([1] * min(len(options), 1 << 20), "randrange")]

    def randint(self, a: int, b: int) -> int:
        """A whole number, ends included."""
        return self.randrange(a, b + 1)

    def sample(self, population: Any, k: int, **kwargs: Any) -> list[Any]:
        """Elements without replacement."""
        rest = list(population)
        return [rest.pop(self._index([1] * len(rest), "sample")) for _ in range(k)]

    def shuffle(self, x: Any) -> None:
        """In place."""
        x[:] = self.sample(x, len(x))

    def seed(self, a: Any = None, version: int = 2) -> None:
        """The same seed gives the same numbers."""
        self._stream.reseed(a)


def function_for(stream: Stream, name: str) -> Callable[..., Any]:
    """What stands for ``random.<name>``."""
    if name in NAMES:
        return getattr(PythonStream(stream), name)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedRandomness(f"random.{name} draws from a law that is not supported")

    return refuse


def module_functions(stream: Stream) -> dict[str, Callable[..., Any]]:
    """What stands for the functions of the module ``random``."""
    home = random._inst  # type: ignore[attr-defined]
    names = [name for name in dir(random) if getattr(getattr(random, name), "__self__", None) is home]
    return {name: function_for(stream, name) for name in names}


class AuditedRandom(random.Random):
    """A `random.Random` that asks a `Stream`."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(0)
        self._stream = stream

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or (name == "seed" and "_stream" not in super().__getattribute__("__dict__")):
            return super().__getattribute__(name)
        return function_for(super().__getattribute__("_stream"), name)
