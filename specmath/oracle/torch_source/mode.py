"""The function mode under which the audited function runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from specmath.oracle.draws import Draws, UnsupportedRandomness
from specmath.oracle.index import decided
from specmath.oracle.torch_source import decisions as _decisions  # noqa: F401 (fills the table of handlers)
from specmath.oracle.torch_source import leaves as _leaves  # noqa: F401
from specmath.oracle.torch_source.calls import CALLS, REFUSED
from specmath.oracle.torch_source.filled import Filled
from specmath.oracle.torch_source.unknown import Unknown, dispatch, has_unknown

NESTED = frozenset([torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor, torch.Tensor.__setitem__])
"""Functions whose arguments torch does not search for tensors."""


class TorchSource(TorchFunctionMode):
    """Intercepts every random call of torch; ``draws`` decides.

    Generators are advanced by one real number a call and set back at the start of every path, so that a generator that
    the code seeds again is recognised by its state, and gives the same numbers again.
    """

    def __init__(self, draws: Draws, generators: tuple[torch.Generator, ...] = ()) -> None:
        super().__init__()
        self.draws = draws
        self.filled = draws.stores["torch"] = Filled(draws)
        self._generators = (torch.default_generator, *generators)
        self._states = [generator.get_state() for generator in self._generators]
        self.expected: dict[int, bytes] = {}

    def restart(self) -> None:
        """A new path begins."""
        self.filled.clear()
        for generator, state in zip(self._generators, self._states, strict=True):
            generator.set_state(state)
            self.expected[id(generator)] = state.numpy().tobytes()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = {} if kwargs is None else kwargs
        if self.filled.storages and func.__name__ != "__get__":
            args = self.filled.substituted(args)
            kwargs = dict(self.filled.substituted(kwargs))
        if self.draws.indices and func.__name__ != "__get__":
            args = decided(args)
            kwargs = {name: decided(value) for name, value in kwargs.items()}
        call = CALLS.get(func)
        if call is not None:
            return call(self, func, args, kwargs)
        if func in REFUSED:
            raise UnsupportedRandomness(f"torch's {func.__name__} draws from a law that is not supported")
        if Unknown in types or ((self.filled.storages or func in NESTED) and has_unknown((args, kwargs))):
            return dispatch(self.draws, func, args, kwargs)
        return func(*args, **kwargs)
