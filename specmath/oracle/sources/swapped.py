"""Putting something else in the place of generators and functions that foreign code holds, and putting them back."""

from __future__ import annotations

import functools
import math
import os
import random
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from specmath.oracle.draws import Draws, UnsupportedRandomness
from specmath.oracle.scalar import Float, Math
from specmath.oracle.sources import numpy_source, python_source
from specmath.oracle.sources.numpy_source import AuditedGenerator, AuditedRandomState, Stream
from specmath.oracle.sources.python_source import AuditedRandom

_LIBRARY = tuple(str(Path(sysconfig.get_paths()[name]).resolve()) for name in ("stdlib", "purelib", "platlib"))
_ABSENT = object()
MOST_HELD = 64
"""Lists and dictionaries with more entries are not searched for generators."""


class Swaps:
    """Streams of one exploration, and what stands for what."""

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.streams: list[Stream] = []
        self.fresh = 0
        self.known: dict[int, tuple[Any, Any]] = {}

    def stream(self, seed: object) -> Stream:
        """A new stream, which starts again on every path."""
        self.streams.append(Stream(self.draws, seed))
        return self.streams[-1]

    def restart(self) -> None:
        """A new path begins."""
        self.fresh = 0
        for stream in self.streams:
            stream.restart()

    def default_rng(self, seed: Any = None) -> Any:
        """What stands for `numpy.random.default_rng`."""
        if isinstance(seed, np.random.Generator):
            return self.instead(seed)
        return AuditedGenerator(Stream(self.draws, self._seed(seed)))

    def _seed(self, seed: Any) -> object:
        if seed is None:
            self.fresh += 1
            return "fresh", self.fresh
        self.draws.seeded["a generator made from a constant seed"] = None
        return "seed", repr(seed)

    def python_random(self, seed: Any = None) -> Any:
        """What stands for the class `random.Random`."""
        return AuditedRandom(Stream(self.draws, self._seed(seed)))

    def random_state(self, seed: Any = None) -> Any:
        """What stands for the class `numpy.random.RandomState`."""
        return AuditedRandomState(Stream(self.draws, self._seed(seed)))

    def instead(self, value: Any) -> Any:
        """What stands for a generator or function that the code holds; the value itself for anything else."""
        if isinstance(value, AuditedGenerator | AuditedRandom | AuditedRandomState):
            return value
        found = self.known.get(id(value))
        if found is not None and found[0] is value:
            return found[1]
        made: Any = value
        if isinstance(value, np.random.Generator):
            made = AuditedGenerator(self.stream(("held", len(self.known))))
        elif isinstance(value, np.random.RandomState):
            made = AuditedRandomState(self.stream(("held", len(self.known))))
        elif isinstance(value, random.Random):
            made = AuditedRandom(self.stream(("held", len(self.known))))
        elif isinstance(value, types.BuiltinMethodType | types.MethodType):
            home = value.__self__
            if isinstance(home, np.random.Generator | np.random.RandomState | random.Random):
                made = getattr(self.instead(home), value.__name__)
        elif type(value).__name__ == "PjitFunction":
            made = value.__wrapped__
        if made is not value:
            self.known[id(value)] = value, made
        return made


@contextmanager
def swapped(swaps: Swaps, modules: dict[Any, dict[str, Any]], function: Callable[..., Any] | None) -> Iterator[None]:
    """Functions of ``modules`` replaced, and in the code of ``function`` the generators it holds."""
    numpy_stream, python_stream = swaps.stream("numpy.random"), swaps.stream("random")
    np_random = numpy_source.module_functions(numpy_stream)
    np_random.update({"default_rng": swaps.default_rng, "RandomState": swaps.random_state})
    py_random = {**python_source.module_functions(python_stream), "Random": swaps.python_random}
    py_random["_urandom"] = _refuse_entropy  # of random.SystemRandom, and so of the module secrets
    system = {name: _entropy(getattr(os, name)) for name in ("urandom", "getrandom") if hasattr(os, name)}
    todo = {np.random: np_random, random: py_random, os: system, **modules}
    with ExitStack() as stack:
        # By-name imports: the objects themselves are recognised, before the modules change.
        for module, names in todo.items():
            for name, made in names.items():
                real = getattr(module, name)
                swaps.known[id(real)] = real, made
        for held in _holders(function):
            _replace(held, swaps, stack)
        for module, names in todo.items():
            for name, made in names.items():
                _set(module.__dict__, name, made, stack)
        yield


def _refuse_entropy(*_: Any) -> Any:
    raise UnsupportedRandomness("randomness of the operating system (os.urandom, secrets, random.SystemRandom)")


def _entropy(real: Callable[..., Any]) -> Callable[..., Any]:
    """What stands for ``os.urandom``: names of files and of requests may be made of it, draws may not."""

    def draw(*args: Any) -> Any:
        caller = sys._getframe(1).f_globals.get("__name__")
        return real(*args) if caller in ("uuid", "tempfile") else _refuse_entropy()

    return draw


def _set(table: dict[str, Any], name: str, made: Any, stack: ExitStack) -> None:
    before = table.get(name, _ABSENT)
    table[name] = made
    stack.callback(lambda: table.pop(name, None) if before is _ABSENT else table.__setitem__(name, before))


def _holders(function: Callable[..., Any] | None) -> Iterator[Any]:
    """The function, the user's functions it can reach through globals and closures, and their tables of globals."""
    todo, seen, tables = [function], set(), set()
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, types.ModuleType | type):
            todo += [value for value in vars(one).values() if isinstance(value, types.FunctionType)]
        elif isinstance(one, types.MethodType):
            yield one.__self__.__dict__ if hasattr(one.__self__, "__dict__") else {}
            todo.append(one.__func__)
        elif isinstance(one, types.FunctionType):
            yield one
            todo += [cell.cell_contents for cell in one.__closure__ or () if _filled(cell)]
            if id(one.__globals__) not in tables and _of_user(one.__globals__):
                tables.add(id(one.__globals__))
                yield one.__globals__
                todo += [value for value in one.__globals__.values() if _holds_code(value)]
        elif isinstance(one, functools.partial):
            yield one.keywords
            todo += [one.func, *one.args, *one.keywords.values()]
        elif isinstance(one, dict | list):
            yield one
            todo += [value for value in (one.values() if isinstance(one, dict) else one) if _holds_code(value)]
        elif hasattr(one, "__wrapped__"):
            todo.append(one.__wrapped__)
        elif _is_object(one):
            held = getattr(one, "__dict__", {})
            yield held
            methods = (value for kind in type(one).__mro__ for value in vars(kind).values())
            todo += [*(value for value in methods if isinstance(value, types.FunctionType)), *held.values()]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _holds_code(value: Any) -> bool:
    if isinstance(value, types.ModuleType):
        return _of_user(vars(value))
    if isinstance(value, dict | list):
        return len(value) <= MOST_HELD and any(map(_holds_code, value.values() if isinstance(value, dict) else value))
    if isinstance(value, np.random.Generator | np.random.RandomState | random.Random):
        return True
    code = types.FunctionType | types.MethodType | functools.partial | type
    return isinstance(value, code) or type(value).__name__ == "PjitFunction" or _is_object(value)


def _is_object(value: Any) -> bool:
    """Whether this is an object of a class of the user's."""
    home = sys.modules.get(type(value).__module__)
    return hasattr(value, "__dict__") and not isinstance(value, type) and home is not None and _of_user(vars(home))


def _of_user(table: dict[str, Any]) -> bool:
    """Whether these are the globals of a module outside the standard library, site-packages and this package."""
    name = str(table.get("__name__", ""))
    file = table.get("__file__")
    if name.partition(".")[0] == "specmath" or (file is None and name in sys.builtin_module_names):
        return False
    return file is None or not str(Path(file).resolve()).startswith(_LIBRARY)


def _replace(held: Any, swaps: Swaps, stack: ExitStack) -> None:
    if isinstance(held, list):
        before = list(held)
        made = list(map(swaps.instead, held))
        if any(one is not other for one, other in zip(before, made, strict=True)):
            held[:] = made
            stack.callback(lambda: held.__setitem__(slice(None), before))
        return
    if isinstance(held, dict):
        for name, value in list(held.items()):
            made = swaps.instead(value)
            if made is not value:
                _set(held, name, made, stack)
            elif value is math:
                _set(held, name, Math(), stack)
        if "__builtins__" in held and "float" not in held:
            _set(held, "float", Float, stack)
        return
    if held.__defaults__:
        _change(held, "__defaults__", tuple(map(swaps.instead, held.__defaults__)), stack)
    if held.__kwdefaults__:
        _change(held, "__kwdefaults__", {k: swaps.instead(v) for k, v in held.__kwdefaults__.items()}, stack)
    for cell in held.__closure__ or ():
        if _filled(cell) and swaps.instead(cell.cell_contents) is not cell.cell_contents:
            _change(cell, "cell_contents", swaps.instead(cell.cell_contents), stack)


def _change(held: Any, name: str, made: Any, stack: ExitStack) -> None:
    before = getattr(held, name)
    setattr(held, name, made)
    stack.callback(lambda: setattr(held, name, before))
