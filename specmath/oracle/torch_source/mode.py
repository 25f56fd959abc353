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
from specmath.oracle.torch_source.calls import CALLS, OFF, REFUSED
from specmath.oracle.torch_source.filled import Filled
from specmath.oracle.torch_source.unknown import Unknown, dispatch, has_unknown

NESTED = frozenset([torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor, torch.Tensor.__setitem__])
"""Functions whose arguments torch does not search for tensors."""


def _training(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a dropout drops anything: without training, and at probability 0, it does not draw."""
    given = {**dict(zip(("input", "p", "training"), args, strict=False)), **kwargs}
    training = given.get("training", given.get("train", func is not torch.nn.functional.alpha_dropout))
    return bool(training) and given.get("p", 0.5) != 0


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
        self._first = {state.numpy().tobytes() for state in self._states}
        self.expected: dict[int, bytes] = {}

    def seeded(self, generator: torch.Generator, state: bytes) -> None:
        """A generator is not where its last intercepted draw left it: the code has set it back, or seeded it.

        Anything else is a draw that went unseen, of another thread, or of compiled code.
        """
        fresh = torch.Generator(generator.device).manual_seed(generator.initial_seed()).get_state()
        known = any(key[0] == "torch" and key[1] == state for key in self.draws.streams if isinstance(key, tuple))
        if state == fresh.numpy().tobytes():
            self.draws.seeded["torch.manual_seed or Generator.manual_seed"] = None
        elif not known and state not in self._first:
            raise UnsupportedRandomness(
                "a generator of torch was drawn from by a call that is not intercepted: of another thread, or of "
                "compiled or C++ code"
            )

    def check(self) -> None:
        """A path is over: the generators must be where the intercepted calls left them."""
        for generator in self._generators:
            state = generator.get_state().numpy().tobytes()
            if state != self.expected[id(generator)] and state not in self._first:
                self.seeded(generator, state)

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
        if func in REFUSED and not (func in OFF and not _training(func, args, kwargs)):
            raise UnsupportedRandomness(f"torch's {func.__name__} draws from a law that is not supported")
        if Unknown in types or ((self.filled.storages or func in NESTED) and has_unknown((args, kwargs))):
            return dispatch(self.draws, func, args, kwargs)
        return func(*args, **kwargs)
