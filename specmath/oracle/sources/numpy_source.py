"""Randomness of numpy: the functions of `numpy.random`, generators that are handed in, and those made at import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specmath.oracle.draws import Draws, UnsupportedRandomness
from specmath.oracle.grid import NUMPY
from specmath.oracle.scalar import Scalar
from specmath.oracle.sources.array import UnknownArray
from specmath.oracle.term import Term


def _shape(size: Any) -> tuple[int, ...]:
    return () if size is None else tuple(size) if isinstance(size, tuple | list) else (int(size),)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


class Stream:
    """One numpy generator: what it draws, and how often it has drawn since it was seeded."""

    def __init__(self, draws: Draws, seed: object) -> None:
        self.draws, self.seed = draws, seed
        self.place = 0

    def restart(self) -> None:
        """A new path begins."""
        self.place = 0

    def reseed(self, seed: object) -> None:
        """The code seeded the generator; the same seed gives the same numbers."""
        self.draws.seeded["a seed of its own"] = None
        self.seed, self.place = ("seed", repr(seed)), 0

    def _cells(self, law: str, count: int, make: Callable[[], int]) -> list[int]:
        found = self.draws.numbers(("numpy", self.seed, self.place), law, count, make)
        self.place += 1
        return found

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None, *, name: str = "numpy random") -> Any:
        """Uniforms on the grid of the dtype."""
        if out is not None:
            raise UnsupportedRandomness("numpy's random(out=...)")
        dtype = np.dtype(dtype)
        grid, shape = NUMPY[dtype.name], _shape(size)
        self.draws.calls[f"{name} {dtype.name}"] = None
        count = int(np.prod(shape, dtype=np.int64))
        numbers = self._cells(f"uniform {dtype.name}", count, lambda: self.draws.uniform(grid))
        found = UnknownArray(
            self.draws, Term("uniform", np.array(numbers, dtype=np.int64).reshape(shape), dtype), dtype
        )
        return Scalar(found, _number) if size is None else found

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """``low + (high - low) * random()``, as numpy computes it."""
        if (low, high) == (0.0, 1.0):
            return self.random(size)
        drawn: Any = self.random(size)
        return drawn * (high - low) + low

    def exponential(self, scale: float = 1.0, size: Any = None) -> Any:
        """Exponentials, for races."""
        self.draws.calls["numpy exponential"] = None
        shape = _shape(size)
        numbers = self._cells("exponential", int(np.prod(shape, dtype=np.int64)), self.draws.exponential)
        term = Term("exponential", np.array(numbers, dtype=np.int64).reshape(shape), np.dtype(np.float64))
        found: Any = UnknownArray(self.draws, term, np.float64)
        return found if isinstance(scale, float | int) and scale == 1.0 else found * scale

    def standard_exponential(self, size: Any = None) -> Any:
        """Exponentials of rate one."""
        return self.exponential(1.0, size)

    def gumbel(self, loc: float = 0.0, scale: float = 1.0, size: Any = None) -> Any:
        """``loc - scale * log(E)`` of exponentials E, for races."""
        return loc - scale * np.log(self.exponential(1.0, size))

    def choice(
        self, a: Any, size: Any = None, replace: bool = True, p: Any = None, axis: int = 0, **kwargs: Any
    ) -> Any:
        """An element of ``a`` by the weights ``p``, with numpy's own check of their sum."""
        values = np.arange(a) if isinstance(a, int | np.integer) else np.asarray(a)
        weights = [1.0] * len(values) if p is None else _weights(p, len(values))
        count = int(np.prod(_shape(size), dtype=np.int64))
        self.draws.calls["numpy choice"] = None
        self._cells("choice", 1, lambda: self.draws.category((1.0,)))
        found = []
        for _ in range(count):
            if not sum(weights) > 0:
                raise ValueError("Fewer non-zero entries in p than size")
            found.append(self.draws.choose(weights))
            if not replace:
                weights[found[-1]] = 0.0
        return values[found[0]] if size is None else values[np.array(found, dtype=np.int64)].reshape(_shape(size))

    def multinomial(self, n: int, pvals: Any, size: Any = None) -> Any:
        """Counts of one trial."""
        weights = np.asarray(pvals, dtype=np.float64)
        if n != 1 or size is not None or weights.ndim != 1:
            raise UnsupportedRandomness("numpy's multinomial of more than one trial")
        if (weights < 0).any() or (weights > 1).any() or np.isnan(weights).any() or weights[:-1].sum() > 1 + 1e-12:
            raise ValueError("sum(pvals[:-1]) > 1.0, or pvals < 0, pvals > 1 or pvals contains NaNs")
        rest = weights.tolist()[:-1]  # what is left is the last one's
        self.draws.calls["numpy multinomial"] = None
        self._cells("multinomial", 1, lambda: self.draws.category((1.0,)))
        return np.eye(len(weights), dtype=np.int64)[self.draws.choose([*rest, max(0.0, 1.0 - sum(rest))])]

    def binomial(self, n: int, p: Any, size: Any = None) -> Any:
        """One flip."""
        if n != 1 or size is not None:
            raise UnsupportedRandomness("numpy's binomial of more than one trial")
        self.draws.calls["numpy binomial"] = None
        self._cells("binomial", 1, lambda: self.draws.category((1.0,)))
        return self.draws.choose([1 - float(p), float(p)])

    def integers(self, low: int, high: int | None = None, size: Any = None, endpoint: bool = False, **kw: Any) -> Any:
        """Whole numbers."""
        low, high = (0, low) if high is None else (low, high)
        weights = (1,) * min(int(high) + endpoint - int(low), 1 << 20)
        count = int(np.prod(_shape(size), dtype=np.int64))
        self.draws.calls["numpy integers"] = None
        self._cells("integers", 1, lambda: self.draws.category((1.0,)))
        found = np.array([self.draws.choose(weights) + int(low) for _ in range(count)], dtype=np.int64)
        return int(found[0]) if size is None else found.reshape(_shape(size))

    def permutation(self, x: Any, **kwargs: Any) -> Any:
        """A permutation, every one as likely."""
        count = x if isinstance(x, int | np.integer) else len(x)
        return self.choice(np.arange(count) if isinstance(x, int | np.integer) else x, count, False)


def _weights(p: Any, count: int) -> list[float]:
    law = np.asarray(p)
    if law.shape != (count,):
        raise ValueError("'a' and 'p' must have same size")
    tolerance = np.sqrt(np.finfo(np.float64).eps)
    if law.dtype.kind == "f":
        tolerance = max(tolerance, np.sqrt(np.finfo(law.dtype).eps))
    weights = law.astype(np.float64).tolist()
    if any(not weight >= 0 for weight in weights):
        raise ValueError("Probabilities contain NaN" if np.isnan(law).any() else "Probabilities are not non-negative")
    if abs(sum(weights) - 1.0) > tolerance:
        raise ValueError("Probabilities do not sum to 1.")
    return weights


MODULE = {
    "random": "random", "rand": "rand", "random_sample": "random", "ranf": "random", "sample": "random",
    "uniform": "uniform", "exponential": "exponential", "standard_exponential": "standard_exponential",
    "gumbel": "gumbel", "choice": "choice", "multinomial": "multinomial", "binomial": "binomial",
    "randint": "integers", "permutation": "permutation", "seed": "reseed",
}  # fmt: skip
"""Functions of `numpy.random` -> the method of a `Stream` that stands for them."""

_METHODS = "random uniform exponential standard_exponential gumbel choice multinomial binomial integers permutation"
_LEGACY = (
    "random rand random_sample uniform exponential standard_exponential gumbel choice multinomial binomial randint "
    "permutation seed"
)
METHODS, LEGACY = frozenset(_METHODS.split()), frozenset(_LEGACY.split())
"""Methods of `numpy.random.Generator` and of `numpy.random.RandomState` that are followed."""


def module_functions(stream: Stream) -> dict[str, Callable[..., Any]]:
    """What stands for the functions of `numpy.random`; all others are refused by name."""
    found = {}
    for name in dir(np.random):
        real = getattr(np.random, name)
        if name in MODULE and name != "rand":
            found[name] = getattr(stream, MODULE[name])
        elif name == "rand":
            found[name] = lambda *shape: stream.random(shape or None)
        elif callable(real) and not isinstance(real, type) and not name.startswith("_") and name != "default_rng":
            found[name] = _refused(f"numpy.random.{name}")
    return found


def _refused(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedRandomness(f"{name} draws from a law that is not supported")

    return refuse


class AuditedGenerator(np.random.Generator):
    """A `numpy.random.Generator` that asks a `Stream`."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(np.random.PCG64(0))
        self._stream = stream

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return super().__getattribute__(name)
        if name in METHODS:
            return getattr(super().__getattribute__("_stream"), name)
        return _refused(f"numpy's Generator.{name}")


class AuditedRandomState(np.random.RandomState):
    """A `numpy.random.RandomState` that asks a `Stream`."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(0)
        self._stream = stream

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return super().__getattribute__(name)
        stream = super().__getattribute__("_stream")
        if name == "rand":
            return lambda *shape: stream.random(shape or None)
        return getattr(stream, MODULE[name]) if name in LEGACY else _refused(f"numpy's RandomState.{name}")
