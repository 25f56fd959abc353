"""A stand-in for CUDA graphs on the CPU: a round is recorded once, as tensor operations, and these are run again.

What a graph replays are kernels with the addresses they were recorded with: Python does not run, numbers of Python are
those of the recording, and results land where they landed then. Here the operations are run again on the recorded
tensor objects and each result is copied to where the recorded one lies. So a round that rebinds a tensor, counts in
Python or looks at a value goes wrong in the same way. `forbidden` names operations that a capture refuses.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from reference.models.tiny import TinyModel

LOOKS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique", "lift_fresh", "_unique2")
"""Operations that wait for a value, or bring numbers from the host to the device."""


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors of a nest of lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors(part)
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))


class Tape(TorchDispatchMode):
    """Notes every operation with its arguments and its results."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, found))
        return found

    def forbidden(self) -> list[str]:
        """Names of operations that a capture refuses."""
        found = []
        for func, args, kwargs, _ in self.calls:
            name = func.overloadpacket.__name__
            by_mask = name.startswith("index") and any(t.dtype == torch.bool for t in tensors(args[1]))
            if name in LOOKS or by_mask:
                found.append(name)
            if name == "_to_copy" and kwargs.get("device", args[0].device) != args[0].device:
                found.append(name)
        return found

    def replay(self) -> None:
        """Run everything again, in place of what was recorded."""
        for func, args, kwargs, before in self.calls:
            now = func(*args, **kwargs)
            for old, new in zip(tensors(before), tensors(now), strict=True):
                if new.data_ptr() != old.data_ptr():  # neither a view nor written in place
                    old.copy_(new)


class Replayed:
    """`reference.decode.fixed_graph.Captured` with tapes instead of graphs."""

    def __init__(self, rounds: Any) -> None:
        self._rounds = rounds
        self.tapes: dict[int, Tape] = {}
        self.replays = 0

    def round(self, end: int) -> None:
        if end not in self.tapes:
            saved = self._rounds.saved()
            self._rounds.round(end)  # the pass that comes before a capture
            self._rounds.restore(saved)
            with Tape() as tape:
                self._rounds.round(end)
            self._rounds.restore(saved)
            self.tapes[end] = tape
        self.tapes[end].replay()
        self.replays += 1


def on_meta(model: TinyModel) -> TinyModel:
    """The model without a single number: its tensors have shapes only, and a look at a value raises."""

    def moved(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to("meta")
        if isinstance(value, list):
            return [moved(part) for part in value]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(moved(part) for part in value))
        return value

    made = copy.copy(model)
    made.prepared = copy.copy(model.prepared)
    for name, value in vars(model.prepared).items():
        setattr(made.prepared, name, moved(value))
    return made
