"""How functions with plain signatures are called, and how their results are read."""

from __future__ import annotations

import inspect
import random
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specmath.oracle.draws import Draws, UnsupportedRandomness
from specmath.oracle.instance import Instance
from specmath.oracle.run import Open, entries

Tokens = tuple[int, ...]
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")

SIGNATURES = {
    "node": "f(target (V,), draft (V,), tokens (n,)) -> token, or (token, index of the accepted draft or -1)",
    "chain": "f(target (K+1, V), draft (K, V), tokens (K,)) -> emitted tokens, 1 to K+1",
    "tree": "f(target (N+1, V), draft (N+1, V), tokens (N,), parents (N,)) -> emitted tokens",
    "batch": "f(target (B, K+1, V), draft (B, K, V), tokens (B, K)) -> B rows of emitted tokens",
}
"""What a function of each kind takes; ``generator``, ``key`` or ``uniforms`` may follow."""


@dataclass(frozen=True)
class Raised:
    """Outcome of a run that raised, or returned something that is no outcome.

    ``check`` names the check that it fails: "returns", "shape", "count_range" or "padding".
    """

    check: str
    message: str


@dataclass(frozen=True)
class Call:
    """A function and how it is called.

    Attributes
    ----------
    function : the foreign code.
    arrays : "torch", "numpy" or "jax".
    dtype : of the laws that are handed over.
    extra : which of "generator", "key", "uniforms" the function takes.
    """

    function: Callable[..., Any]
    arrays: str
    dtype: str
    extra: tuple[str, ...]

    def run(
        self, draws: Draws, instance: Instance, kept: tuple[Any, ...], generator: Any, touched: dict[str, None]
    ) -> Any:
        """One run on copies of ``kept``, as `inputs` made it: emitted tokens, or `Raised`.

        Which inputs the function changed is noted in ``touched``.
        """
        keywords = {name: self._extra(name, instance, draws, generator) for name in self.extra}
        return self._read(instance, kept, keywords, draws, touched)

    def scripted(self, instance: Instance, kept: tuple[Any, ...], uniforms: Any, touched: dict[str, None]) -> Any:
        """One run on these uniforms, with nothing intercepted."""
        return self._read(instance, kept, {"uniforms": uniforms}, None, touched)

    def _read(self, instance: Instance, kept: Any, keywords: dict[str, Any], draws: Draws | None, touched: Any) -> Any:
        given = tuple(map(self._copy, kept))
        try:
            found = entries(self.function(*given, **keywords))
        except UnsupportedRandomness:
            raise
        except (Exception, SystemExit) as error:
            return raised(error)
        for name, now, before in zip(("target", "draft", "tokens", "parents"), given, kept, strict=False):
            if self._changed(draws, now, before):
                touched[name] = None
        return read(instance, found)

    def real(self, kept: tuple[Any, ...], instance: Instance, generator: Any, *, seed: int) -> str:
        """One run on real random numbers: what was returned, as text, or the error."""
        try:
            found = self.function(*map(self._copy, kept), **self._seeded(instance, generator, seed))
            return repr(entries(found))
        except (Exception, SystemExit) as error:
            return f"{type(error).__name__}: {error}"

    def sampled(
        self, instance: Instance, kept: tuple[Any, ...], generator: Any, touched: dict[str, None], *, seed: int
    ) -> Any:
        """The same, with the result of `run`."""
        return self._read(instance, kept, self._seeded(instance, generator, seed), None, touched)

    def _seeded(self, instance: Instance, generator: Any, seed: int) -> dict[str, Any]:
        """Set all seeds, and make the further arguments of the function."""
        reseed(seed)
        shape = uniforms_shape(instance)
        extra: dict[str, Any] = {"seed": seed}
        if "generator" in self.extra or "uniforms" in self.extra or "key" in self.extra:
            if self.arrays == "torch":
                import torch

                generator.manual_seed(seed)
                extra |= {"generator": generator, "uniforms": torch.rand(shape, generator=generator)}
            elif self.arrays == "jax":
                import jax

                uniforms = np.random.default_rng(seed).random(shape)
                extra |= {"key": jax.random.PRNGKey(seed), "uniforms": uniforms}
            else:
                made = np.random.default_rng(seed)
                extra |= {"generator": made, "uniforms": made.random(shape)}
        return {name: extra[name] for name in self.extra}

    def inputs(self, instance: Instance, tokens: Sequence[Tokens]) -> tuple[Any, ...]:
        """The arrays for these drafted tokens, one tuple of tokens per row."""
        rows = [_laws(row, drafted) for row, drafted in zip(instance.rows, tokens, strict=True)]
        target, draft = [row[0] for row in rows], [row[1] for row in rows]
        drafted: Any = [list(row) for row in tokens]
        if instance.mate is None:
            target, draft, drafted = target[0], draft[0], drafted[0]
        made = self._floats(target), self._floats(draft), self._integers(drafted)
        return (*made, self._integers(list(instance.parents))) if instance.kind == "tree" else made

    def _copy(self, array: Any) -> Any:
        return array.clone() if self.arrays == "torch" else array.copy()

    def _floats(self, values: Any) -> Any:
        if self.arrays == "torch":
            import torch

            return torch.tensor(values, dtype=getattr(torch, self.dtype))
        if self.arrays == "jax":
            import jax.numpy as jnp

            return jnp.asarray(np.array(values, dtype=self.dtype))
        return np.array(values, dtype=self.dtype)

    def _integers(self, values: Any) -> Any:
        if self.arrays == "torch":
            import torch

            return torch.tensor(values, dtype=torch.int64)
        if self.arrays == "jax":
            import jax.numpy as jnp

            return jnp.asarray(np.array(values, dtype=np.int32))
        return np.array(values, dtype=np.int64)

    def _changed(self, draws: Draws | None, now: Any, before: Any) -> bool:
        if self.arrays == "torch":
            import torch

            filled = None if draws is None else draws.stores.get("torch")
            return bool(filled is not None and filled.touched(now)) or not torch.equal(now, before)
        return self.arrays == "numpy" and not np.array_equal(now, before, equal_nan=True)

    def _extra(self, name: str, instance: Instance, draws: Draws, generator: Any) -> Any:
        if name == "generator":
            return generator if self.arrays == "torch" else draws.stores.get("generator")
        if name == "key":
            import jax

            return jax.random.PRNGKey(0)
        shape = uniforms_shape(instance)
        if self.arrays == "torch":
            import torch

            return torch.rand(shape, dtype=getattr(torch, self.dtype))
        if self.arrays == "jax":
            import jax

            return jax.random.uniform(jax.random.PRNGKey(1), shape)
        return draws.stores["generator"].random(shape, dtype=self.dtype)


OURS = (
    "'Scalar'", "Scalar to", "'Unknown'", "UnknownArray", "_Floats", "<random number>", " random tensor,",
    " random array,",
)  # fmt: skip
"""Words by which an error is known to be about what stands for a random number."""


def raised(error: BaseException) -> Raised:
    """What a run that raised is; `UnsupportedRandomness` where a random number was used as none can be."""
    said = f"{type(error).__name__}: {error}".split("\n")[0]
    if isinstance(error, Exception) and any(word in said for word in OURS):
        raise UnsupportedRandomness(f"something that is done to a random number ({said})") from error
    return Raised("returns", _ADDRESS.sub("", said))


def uniforms_shape(instance: Instance) -> tuple[int, ...]:
    """Uniforms that a function with an argument ``uniforms`` is given: one per drafted token, and one more."""
    return (instance.n + 1,) if instance.mate is None else (2, instance.n + 1)


def reseed(seed: int) -> None:
    """Seed the global generators of Python, of numpy, and of torch where it is loaded; ``seed`` below 2**32."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (the code under audit may use it)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def extras(function: Callable[..., Any], arrays: str) -> tuple[str, ...]:
    """Which of "generator", "key" and "uniforms" a function takes by name."""
    allowed = ("key", "uniforms") if arrays == "jax" else ("generator", "uniforms")
    return tuple(name for name in allowed if name in _parameters(function))


def takes_seed(function: Callable[..., Any]) -> bool:
    """Whether a function takes a seed, an argument ``seed`` without a default: what it draws cannot be followed."""
    found = _parameters(function).get("seed")
    return found is not None and found.default is inspect.Parameter.empty


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _laws(instance: Instance, tokens: Tokens) -> tuple[list[Any], list[Any]]:
    """Rows of target and draft that the function is given for these drafted tokens, as floats."""
    contexts: list[Tokens] = []
    for token, parent in zip(tokens, instance.parents, strict=True):
        contexts.append((*(contexts[parent] if parent >= 0 else ()), token))
    every: list[Tokens] = [(), *contexts]
    if instance.kind == "node":
        return _floats(instance.target[()]), _floats(instance.draft[()])
    target = [_floats(instance.target[context]) for context in every]
    if instance.kind == "tree":
        return target, [_floats(instance.draft[context]) for context in every]
    return target, [_floats(instance.draft[context]) for context in every[:-1]]


def _floats(row: Sequence[Any]) -> list[float]:
    return [float(probability) for probability in row]


def read(instance: Instance, found: Any) -> Any:
    """Emitted tokens from a result as `entries` gives it; a tuple of rows for a batch. `Raised` says what is wrong."""
    if instance.kind == "node":
        return _node(found)
    if instance.kind != "batch":
        return _row(found, instance.length)
    if not isinstance(found, tuple) or len(found) != len(instance.rows):
        return Raised(
            "shape", f"returned {shown(found)}; expected one row of tokens for each of {len(instance.rows)} rows"
        )
    rows = tuple(_row(row, instance.length) for row in found)
    return next((row for row in rows if isinstance(row, Raised)), rows)


def _node(found: Any) -> Any:
    if isinstance(found, tuple) and len(found) == 2:  # token, accepted
        found = found[0]
    while isinstance(found, tuple) and len(found) == 1:
        found = found[0]
    return (
        (found,) if _token(found) else Raised("shape", f"returned {shown(found)}; expected a token, or (token, index)")
    )


def _row(found: Any, longest: int) -> Any:
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], tuple) and not isinstance(found[1], tuple):
        found = found[0]  # (tokens, how many)
    while isinstance(found, tuple) and len(found) == 1 and isinstance(found[0], tuple):
        found = found[0]
    if isinstance(found, tuple):
        found = tuple(token[0] if isinstance(token, tuple) and len(token) == 1 else token for token in found)
    if not isinstance(found, tuple) or not all(_token(token) for token in found):
        return Raised("shape", f"returned {shown(found)}; expected a row of tokens")
    emitted = tuple(token for token in found if token != -1)
    if found[: len(emitted)] != emitted:
        return Raised("padding", f"returned {shown(found)}; a token follows the padding -1")
    if not 1 <= len(emitted) <= longest:
        return Raised("count_range", f"returned {len(emitted)} tokens; expected 1 to {longest}")
    return emitted


def _token(value: Any) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return isinstance(value, Open) or whole


def shown(value: Any) -> str:
    """A value in at most 80 characters, the same in every run."""
    text = _ADDRESS.sub("", repr(value))  # an address changes from call to call
    return text if len(text) < 80 else f"{text[:77]}..."
