"""Randomness of eager jax: the functions of `jax.random`, keyed; a key that is used twice gives the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from specmath.oracle.draws import Draws, UnsupportedRandomness
from specmath.oracle.grid import JAX
from specmath.oracle.sources.array import MONOTONE, MOVING, ORDERS, TURNING, WHOLE, UnknownArray
from specmath.oracle.term import Term

WRAPPED = f"{MOVING} {MONOTONE} {TURNING} {WHOLE} {' '.join(ORDERS)} equal not_equal argmax argmin where searchsorted"
WRAPPED += " concatenate stack hstack digitize"
KEYS = frozenset(["PRNGKey", "key", "split", "fold_in", "clone", "key_data", "wrap_key_data", "key_impl"])
"""Functions of `jax.random` that only handle keys."""


class _Keyed:
    """The draws of `jax.random`, by key."""

    def __init__(self, draws: Draws) -> None:
        import jax

        self.draws, self.jax = draws, jax
        self.key_data = jax.random.key_data

    def _cells(self, key: Any, law: str, count: int, make: Callable[[], int]) -> Any:
        if isinstance(key, self.jax.core.Tracer):
            raise UnsupportedRandomness(f"jax.random.{law.split()[0]} inside a transformation (jit, vmap, scan)")
        known = self.jax.numpy.issubdtype(key.dtype, self.jax.dtypes.prng_key)
        data = np.asarray(self.key_data(key) if known else key)
        if data.ndim != 1:
            raise UnsupportedRandomness(f"jax.random.{law.split()[0]} with an array of keys")
        self.draws.calls[f"jax.random.{law.split()[0]}"] = None
        return self.draws.numbers(("jax", data.tobytes()), law, count, make)

    def _leaf(self, key: Any, kind: Any, law: str, shape: Any, dtype: Any, make: Callable[[], int]) -> UnknownArray:
        shape = tuple(shape) if hasattr(shape, "__len__") else (int(shape),)
        count = int(np.prod(shape, dtype=np.int64))
        numbers = self._cells(key, f"{law} {shape} {dtype}", count, make)
        index = np.array(numbers, dtype=np.int64).reshape(shape)
        return UnknownArray(self.draws, Term(kind, index, dtype), dtype, self.jax.numpy.asarray)

    def _dtype(self, dtype: Any) -> Any:
        return np.dtype(self.jax.dtypes.canonicalize_dtype(float if dtype is None else dtype))

    def uniform(
        self, key: Any, shape: Any = (), dtype: Any = None, minval: Any = 0.0, maxval: Any = 1.0, **kw: Any
    ) -> Any:
        dtype = self._dtype(dtype)
        if (minval, maxval) != (0, 1):
            raise UnsupportedRandomness(f"jax.random.uniform on [{minval}, {maxval}); [0, 1) is supported")
        if dtype.name not in ("float32", "float64", "float16"):
            raise UnsupportedRandomness(f"jax.random.uniform of dtype {dtype.name}")
        return self._leaf(key, "uniform", "uniform", shape, dtype, lambda: self.draws.uniform(JAX[dtype.name]))

    def exponential(self, key: Any, shape: Any = (), dtype: Any = None, **kw: Any) -> Any:
        return self._leaf(key, "exponential", "exponential", shape, self._dtype(dtype), self.draws.exponential)

    def gumbel(self, key: Any, shape: Any = (), dtype: Any = None, **kw: Any) -> Any:
        found = self._leaf(key, "exponential", "exponential gumbel", shape, self._dtype(dtype), self.draws.exponential)
        return found.function("negative", (found.function("log", (found,), {}),), {})

    def categorical(self, key: Any, logits: Any, axis: int = -1, shape: Any = None, **kw: Any) -> Any:
        rows = np.moveaxis(np.asarray(logits, dtype=np.float64), axis, -1)
        if shape is not None and tuple(shape) != rows.shape[:-1]:
            raise UnsupportedRandomness("jax.random.categorical with more draws than rows")
        self._cells(key, f"categorical {rows.shape}", 1, lambda: self.draws.category((1.0,)))
        found = []
        for row in rows.reshape(-1, rows.shape[-1]):
            with np.errstate(all="ignore"):
                weights = np.exp(row - row.max())
            if np.isnan(weights).any():  # argmax of nan: the first of them wins
                found.append(int(np.argmax(np.isnan(weights))))
                continue
            found.append(self.draws.choose(weights.tolist()))
        return self.jax.numpy.asarray(np.array(found, dtype=np.int32).reshape(rows.shape[:-1]))

    def bernoulli(self, key: Any, p: Any = 0.5, shape: Any = None, **kw: Any) -> Any:
        heads = np.asarray(p, dtype=np.float64)
        heads = np.broadcast_to(heads, heads.shape if shape is None else tuple(shape))
        self._cells(key, f"bernoulli {heads.shape}", 1, lambda: self.draws.category((1.0,)))
        clipped = [min(max(head, 0.0), 1.0) for head in heads.reshape(-1).tolist()]
        found = [self.draws.choose([1 - head, head]) == 1 for head in clipped]
        return self.jax.numpy.asarray(np.array(found, dtype=bool).reshape(heads.shape))

    def choice(
        self, key: Any, a: Any, shape: Any = (), replace: bool = True, p: Any = None, axis: int = 0, **kw: Any
    ) -> Any:
        values = np.arange(a) if isinstance(a, int) else np.asarray(a)
        weights = [1.0] * len(values) if p is None else np.asarray(p, dtype=np.float64).tolist()
        self._cells(key, f"choice {shape}", 1, lambda: self.draws.category((1.0,)))
        found = []
        for _ in range(int(np.prod(shape, dtype=np.int64))):
            found.append(self.draws.choose(weights))
            if not replace:
                weights[found[-1]] = 0.0
        return self.jax.numpy.asarray(values[np.array(found, dtype=np.int64)].reshape(shape))

    def randint(self, key: Any, shape: Any, minval: int, maxval: int, dtype: Any = None, **kw: Any) -> Any:
        weights = (1,) * min(int(maxval) - int(minval), 1 << 20)
        self._cells(key, f"randint {shape} {minval} {maxval}", 1, lambda: self.draws.category((1.0,)))
        count = int(np.prod(shape, dtype=np.int64))
        found = [self.draws.choose(weights) + int(minval) for _ in range(count)]
        return self.jax.numpy.asarray(np.array(found, dtype=np.int32).reshape(shape))


FOLLOWED = ("uniform", "exponential", "gumbel", "categorical", "bernoulli", "choice", "randint")
"""Functions of `jax.random` that are followed; the others are refused by name."""


def _refused(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedRandomness(f"jax.random.{name} draws from a law that is not supported")

    return refuse


def _wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        for arg in args:
            for one in arg if isinstance(arg, list | tuple) else (arg,):
                if isinstance(one, UnknownArray):
                    return one.function(name, args, kwargs)
        return real(*args, **kwargs)

    return call


def replacements(draws: Draws) -> dict[Any, dict[str, Any]]:
    """Module -> name -> what stands for it."""
    import jax
    import jax.numpy as jnp

    keyed = _Keyed(draws)
    names = [name for name in dir(jax.random) if not name.startswith("_") and callable(getattr(jax.random, name))]
    draw = {name: getattr(keyed, name) for name in FOLLOWED}
    others = {name: _refused(name) for name in names if name not in KEYS and name not in FOLLOWED}
    for name in list(others):
        if isinstance(getattr(jax.random, name), type):
            del others[name]
    arrays = {name: _wrapped(name, getattr(jnp, name)) for name in WRAPPED.split() if hasattr(jnp, name)}
    return {jax.random: {**draw, **others}, jnp: arrays}
