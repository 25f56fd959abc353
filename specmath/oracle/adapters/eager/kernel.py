"""``triton.jit``, launches, and the interpreter that they belong to."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from specmath.oracle.adapters.eager.language import Language
from specmath.oracle.adapters.eager.memory import Memory, Pointer

LAUNCH = frozenset(("num_warps", "num_stages", "num_ctas", "launch_cooperative_grid", "launch_pdl"))
"""Arguments of a launch that change how it runs on a device, not what it computes."""


class Kernel:
    """A function under ``triton.jit``: called from another kernel, or launched as ``kernel[grid](...)``."""

    def __init__(self, interpreter: Interpreter, function: Callable[..., Any]) -> None:
        self.interpreter, self.fn = interpreter, function
        self.__name__, self.__wrapped__ = function.__name__, function
        self.signature = inspect.signature(function)
        self.arg_names = list(self.signature.parameters)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        def launch(*args: Any, **kwargs: Any) -> None:
            kwargs = {name: value for name, value in kwargs.items() if name not in LAUNCH}
            bound = self.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = dict(bound.arguments)
            for name, size in self.interpreter.tiles.items():
                if name in given:
                    given[name] = size
            sizes: Any = grid(given) if callable(grid) else grid
            self._run(tuple(int(size) for size in (sizes if isinstance(sizes, tuple | list) else (sizes,))), given)

        return launch

    def _run(self, grid: tuple[int, ...], given: Mapping[str, Any]) -> None:
        language = self.interpreter.language
        pointers = {
            name: Pointer(Memory(value), np.int64(0)) if hasattr(value, "data_ptr") else value
            for name, value in given.items()
        }
        language.grid = (*grid, 1, 1)[:3]
        with np.errstate(all="ignore"):
            for place in itertools.product(*map(range, reversed(language.grid))):
                language.program = tuple(reversed(place))
                self.fn(**pointers)


class Interpreter:
    """Triton's module, language and launcher for kernels that are loaded with it.

    ``tiles`` sets constants of launches by name, such as the block size, which a kernel must not depend on: races of
    random numbers are followed within one block.
    """

    def __init__(self) -> None:
        self.language = Language()
        self.tiles: dict[str, int] = {}

    def jit(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """``triton.jit``, with or without options."""
        if function is None:
            return lambda one: Kernel(self, one)
        return Kernel(self, function)

    def modules(self) -> dict[str, Any]:
        """What stands for ``triton`` and its submodules, by name."""
        triton, language = ModuleType("triton"), ModuleType("triton.language")
        for name, value in _public(self.language):
            setattr(language, name, value)
        language.__getattr__ = self.language.__getattr__  # type: ignore[attr-defined]
        triton.jit, triton.language = self.jit, language  # type: ignore[attr-defined]
        triton.cdiv = lambda a, b: -(-a // b)  # type: ignore[attr-defined]
        triton.next_power_of_2 = lambda n: 1 << max(int(n) - 1, 0).bit_length()  # type: ignore[attr-defined]
        return {"triton": triton, "triton.language": language}


def _public(language: Language) -> Iterator[tuple[str, Any]]:
    names = {*vars(language), *vars(type(language))}
    for name in names:
        if not name.startswith("_") and name not in ("program", "grid"):
            yield name, getattr(language, name)
