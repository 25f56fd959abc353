"""What a generate function can reach: models and generators that it holds, and what it changes in them."""

from __future__ import annotations

import functools
import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

MOST = 2000
"""Objects that are looked at."""
_BITS: Any = np.random.bit_generator
MOST_NUMBERS = 1 << 20
"""Numbers in parameters and buffers that are kept for comparison."""


def reachable(*functions: Any) -> Iterator[Any]:
    """Objects held by the functions: closures, defaults, globals that the code names, attributes of user's objects."""
    todo, seen = list(functions), set()
    while todo and len(seen) < MOST:
        one = todo.pop()
        if one is None or id(one) in seen or isinstance(one, str | bytes | int | float | complex | np.ndarray):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, types.FunctionType):
            todo += [cell.cell_contents for cell in one.__closure__ or () if _filled(cell)]
            todo += [*(one.__defaults__ or ()), *(one.__kwdefaults__ or {}).values()]
            todo += [one.__globals__[name] for name in _names(one.__code__) if name in one.__globals__]
        elif isinstance(one, types.MethodType):
            todo += [one.__func__, one.__self__]
        elif isinstance(one, types.BuiltinMethodType):
            todo.append(one.__self__)
        elif hasattr(one, "__wrapped__"):
            todo.append(one.__wrapped__)
        elif isinstance(one, functools.partial):
            todo += [one.func, *one.args, *one.keywords.values()]
        elif isinstance(one, dict):
            todo += list(one.values())[:64]
        elif isinstance(one, list | tuple):
            todo += list(one)[:64]
        elif not isinstance(one, types.ModuleType | type) and not _of_library(type(one)):
            todo += list(getattr(one, "__dict__", {}).values())
            call = vars(type(one)).get("__call__")
            todo += [call] if isinstance(call, types.FunctionType) else []


class Seeds:
    """Seeds the generators that functions hold (numpy's, Python's, torch's), and puts them back at the end.

    Generators of numpy that are made without a seed in between get one, too: they are followed where code is explored.
    """

    def __init__(self, *functions: Any) -> None:
        kinds: tuple[type, ...] = (np.random.Generator, np.random.RandomState, random.Random)
        torch = sys.modules.get("torch")
        kinds += () if torch is None else (torch.Generator,)
        found = (one for one in reachable(*functions) if isinstance(one, kinds))
        self._held = [one for one in found if not isinstance(one, random.SystemRandom)]

    def seed(self, seed: int) -> None:
        """Seed all."""
        self._fresh = random.Random(seed)
        for one in self._held:
            if isinstance(one, np.random.Generator):
                one.bit_generator.state = type(one.bit_generator)(seed).state
            elif isinstance(one, np.random.RandomState | random.Random):
                one.seed(seed)
            else:
                one.manual_seed(seed)

    def __enter__(self) -> Seeds:
        self._states = [_state(one) for one in self._held]
        self._fresh = random.Random(0)
        self._bits = getattr(_BITS, "randbits", None)  # where numpy takes the system's randomness from
        if self._bits is not None:
            _BITS.randbits = lambda count: self._fresh.getrandbits(count)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bits is not None:
            _BITS.randbits = self._bits
        for one, state in zip(self._held, self._states, strict=True):
            if isinstance(one, np.random.Generator):
                one.bit_generator.state = state
            elif isinstance(one, random.Random):
                one.setstate(state)
            else:
                one.set_state(state)


def _state(one: Any) -> Any:
    if isinstance(one, np.random.Generator):
        return one.bit_generator.state
    return one.getstate() if isinstance(one, random.Random) else one.get_state()


class Held:
    """Models and torch generators that functions hold: what is kept of them, put back before a path, and compared."""

    def __init__(self, *functions: Callable[..., Any] | None) -> None:
        torch = sys.modules.get("torch")
        self.modules: list[Any] = []
        self.generators: tuple[Any, ...] = ()
        if torch is not None:
            found = list(reachable(*functions))
            modules = [one for one in found if isinstance(one, torch.nn.Module)]
            inside = {id(part) for one in modules for part in one.modules() if part is not one}
            self.modules = [one for one in modules if id(one) not in inside]
            self.generators = tuple(one for one in found if isinstance(one, torch.Generator))
        self._configs = [(one, dict(vars(one))) for one in self._generation_configs()]
        self._weights = list(self._kept())
        self.remembered: dict[str, None] = {}

    def restart(self) -> None:
        """Put settings back that a call has changed, and note which."""
        for config, before in self._configs:
            now = vars(config)
            names = [name for name in {**before, **now} if not _same(now.get(name), before.get(name))]
            for name in names:
                told = f"{type(config).__name__}.{name} was {before.get(name)!r}, and {now.get(name)!r} after a call"
                self.remembered[told] = None
            if names:
                now.clear()
                now.update(before)

    def changed(self) -> list[str]:
        """Names of parameters and buffers that are no longer what they were."""
        import torch

        return [
            name
            for name, tensor, before in self._weights
            if tensor.shape != before.shape or not torch.equal(tensor.detach(), before)
        ]

    def _generation_configs(self) -> Iterator[Any]:
        seen: set[int] = set()
        for module in self.modules:
            config = getattr(module, "generation_config", None)
            if config is not None and hasattr(config, "__dict__") and id(config) not in seen:
                seen.add(id(config))
                yield config

    def _kept(self) -> Iterator[tuple[str, Any, Any]]:
        left = MOST_NUMBERS
        for module in self.modules:
            for name, tensor in module.state_dict(keep_vars=True).items():
                left -= getattr(tensor, "numel", lambda: 0)()
                if hasattr(tensor, "detach") and left >= 0:
                    yield f"{type(module).__name__}.{name}", tensor, tensor.detach().clone()


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # no plain value
        return one is other


def _names(code: types.CodeType) -> set[str]:
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _of_library(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("torch", "transformers", "numpy", "jax", "jaxlib", "builtins")


class RealState:
    """The states of all global generators, so that a run on real random numbers leaves no trace."""

    def __enter__(self) -> RealState:
        self._states = random.getstate(), np.random.get_state()  # noqa: NPY002 (it is the code's)
        torch = sys.modules.get("torch")
        self._torch = None if torch is None else (torch, torch.get_rng_state())
        return self

    def __exit__(self, *error: object) -> None:
        random.setstate(self._states[0])
        np.random.set_state(self._states[1])  # noqa: NPY002
        if self._torch is not None:
            self._torch[0].set_rng_state(self._torch[1])
