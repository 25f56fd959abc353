"""Sources of choice: where a library's randomness is taken over, so that the explorer decides it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from specmath.oracle.draws import Draws

ARRAYS = ("torch", "numpy", "jax")
"""Libraries whose arrays a function may take."""


@dataclass(frozen=True)
class Handle:
    """What an exploration needs from its sources.

    Attributes
    ----------
    restart : to be called before every path.
    check : to be called after every path; refuses generators that moved on unseen.
    generator : a new numpy generator, to be handed to the code.
    """

    restart: Callable[[], None]
    check: Callable[[], None]
    generator: Callable[[], Any]


@contextmanager
def source(
    arrays: str, draws: Draws, generators: tuple[Any, ...] = (), function: Callable[..., Any] | None = None
) -> Iterator[Handle]:
    """Take over the randomness of numpy, of Python and of ``arrays``."""
    if arrays not in (*ARRAYS, "python"):
        raise ValueError(f"arrays is {arrays!r}; allowed are {', '.join(map(repr, ARRAYS))} and 'python'")
    restarts: list[Callable[[], None]] = []
    checks: list[Callable[[], None]] = []
    from specmath.oracle.sources.numpy_source import AuditedGenerator
    from specmath.oracle.sources.swapped import Swaps, swapped

    with ExitStack() as stack:
        swaps = Swaps(draws)
        modules: dict[Any, dict[str, Any]] = {}
        if arrays == "jax":
            from specmath.oracle.sources.jax_source import replacements

            modules = replacements(draws)
        stack.enter_context(swapped(swaps, modules, function))
        restarts.append(swaps.restart)
        if arrays == "torch":
            import torch

            from specmath.oracle.torch_source.mode import TorchSource

            mode = TorchSource(draws, generators)
            if "torch._dynamo" in sys.modules:  # compiled functions run eagerly
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(mode)
            restarts.append(mode.restart)
            checks.append(mode.check)

        def restart() -> None:
            for one in restarts:
                one()

        def check() -> None:
            for one in checks:
                one()

        yield Handle(restart, check, lambda: AuditedGenerator(swaps.stream("argument")))
