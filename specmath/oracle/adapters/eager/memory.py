"""Arrays that a kernel is handed: pointers to their elements, loads and stores, out-of-range accesses refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from specmath.oracle.adapters.eager.values import Later, Refused, Value, numpy_dtype, plain, unknown

STALE = -0x5EED
"""Stands in memory where a number is drawn later, so that reading it past us shows."""


class Memory:
    """One tensor, element by element in the order in which it is stored."""

    def __init__(self, tensor: Any) -> None:
        flat = tensor.reshape(-1)
        self.tensor, self.length = tensor, int(flat.shape[0])
        self.random = flat if unknown(flat) else None
        if self.random is None:
            if not tensor.is_contiguous():
                raise Refused("a tensor that is not contiguous")
            self.dtype = numpy_dtype(flat.dtype)
            self.array = flat.detach().numpy()
        else:
            self.dtype = numpy_dtype(flat.dtype)

    @property
    def later(self) -> dict[int, Later]:
        """Elements that are drawn when somebody looks; kept with the tensor, which goes from kernel to kernel."""
        if not hasattr(self.tensor, "_specmath_later"):
            self.tensor._specmath_later = {}
        return self.tensor._specmath_later


class Pointer:
    """An address, or a block of them."""

    __slots__ = ("memory", "offset")
    __array_ufunc__ = None

    def __init__(self, memory: Memory, offset: Any) -> None:
        self.memory, self.offset = memory, offset

    @property
    def dtype(self) -> Any:
        """With ``element_ty``, as Triton has it."""
        return SimpleNamespace(element_ty=self.memory.dtype)

    def __add__(self, step: Any) -> Pointer:
        return Pointer(self.memory, self.offset + plain(step).astype(np.int64))

    __radd__ = __add__

    def __sub__(self, step: Any) -> Pointer:
        return Pointer(self.memory, self.offset - plain(step).astype(np.int64))


def load(pointer: Pointer, mask: Any = None, other: Any = None) -> Any:
    """The elements at ``pointer``, ``other`` where ``mask`` is false."""
    memory, offset, inside = _at(pointer, mask)
    default = 0 if other is None else other
    if memory.random is not None:
        return _random(memory, offset, inside, default)
    known = memory.later if hasattr(memory.tensor, "_specmath_later") else None
    if known and not np.ndim(offset) and int(offset) in known and inside.all():
        return known[int(offset)].look()
    if known and any(int(k) in known for k in np.ravel(offset)):
        raise Refused("numbers that are drawn later, loaded as a block")
    if inside.all():
        return Value(memory.array[offset])
    found = memory.array[np.where(inside, offset, 0)]
    return Value(np.where(inside, found, np.asarray(plain(default)).astype(memory.dtype)))


def _random(memory: Memory, offset: Any, inside: Any, default: Any) -> Value:
    import torch

    if not inside.any():
        return Value(np.broadcast_to(np.asarray(plain(default), dtype=memory.dtype), np.shape(offset)).copy())
    assert memory.random is not None
    safe = torch.from_numpy(np.where(inside, offset, offset[inside].flat[0] if np.ndim(offset) else offset))
    picked = memory.random[safe]
    if inside.all():
        return Value(picked)
    filler = torch.full(np.shape(offset), float(plain(default)), dtype=picked.dtype)
    return Value(torch.where(torch.from_numpy(np.array(inside)), picked, filler))


def store(pointer: Pointer, value: Any, mask: Any = None) -> None:
    """Write to the elements at ``pointer``, where ``mask`` is true."""
    memory, offset, inside = _at(pointer, mask)
    if memory.random is not None:
        raise Refused("a store into random numbers")
    if isinstance(value, Later):
        if np.ndim(offset) or not inside.all():
            raise Refused("a block of numbers that are drawn later")
        memory.later[int(offset)] = value
        memory.array[offset] = STALE
        return
    if isinstance(value, Value) and unknown(value.data):
        raise Refused("random numbers stored")
    if hasattr(memory.tensor, "_specmath_later"):
        for k in np.ravel(np.asarray(offset)[inside]):
            memory.later.pop(int(k), None)
    data = np.asarray(plain(value)).astype(memory.dtype)
    if np.ndim(offset):
        memory.array[offset[inside]] = np.broadcast_to(data, np.shape(offset))[inside]
    elif inside:
        memory.array[offset] = data


def _at(pointer: Pointer, mask: Any) -> tuple[Memory, Any, Any]:
    if not isinstance(pointer, Pointer):
        raise Refused(f"a load or store at {type(pointer).__name__}")
    offset, length = np.asarray(pointer.offset), pointer.memory.length
    if not offset.ndim:
        inside = _YES if mask is None else np.asarray(plain(mask)).astype(bool)
        if inside.ndim:
            raise Refused("a block of masks for one address")
        if inside and not 0 <= offset < length:
            _outside(int(offset), length)
        return pointer.memory, offset, inside
    inside = np.broadcast_to(True if mask is None else plain(mask).astype(bool), offset.shape)
    wanted = offset[inside]
    if wanted.size and not (wanted.min() >= 0 and wanted.max() < length):
        _outside(int(wanted.max() if wanted.max() >= length else wanted.min()), length)
    return pointer.memory, offset, inside


_YES = np.asarray(True)


def _outside(element: int, length: int) -> None:
    raise IndexError(f"a kernel reads or writes element {element} of an array of {length}")
