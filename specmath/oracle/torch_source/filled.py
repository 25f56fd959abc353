"""Plain tensors that the code filled with random numbers in place, and the views of them."""

from __future__ import annotations

from typing import Any

import torch

from specmath.oracle.draws import Draws, UnsupportedRandomness
from specmath.oracle.term import Term
from specmath.oracle.torch_source.unknown import Unknown, refuse


class Filled:
    """Storage -> the unknown tensor that stands for it.

    ``probabilities.exponential_()`` makes a plain tensor unknown while the code holds references to it. Every later
    use of the tensor, or of a view of it, is answered with an `Unknown` whose cells are strided as the view is.
    """

    def __init__(self, draws: Draws) -> None:
        self.draws = draws
        self.storages: dict[int, tuple[torch.Tensor, Unknown]] = {}

    def clear(self) -> None:
        """A new path begins."""
        self.storages.clear()

    def touched(self, tensor: torch.Tensor) -> bool:
        """Whether this tensor was filled with random numbers."""
        return bool(self.storages) and tensor.untyped_storage().data_ptr() in self.storages

    def fill(self, tensor: torch.Tensor, term: Term) -> Unknown:
        """``tensor`` becomes ``term``, a leaf of its shape; what else its storage holds stays known."""
        base = tensor if tensor._base is None else tensor._base
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in self.storages:
            if base.storage_offset() or not base.is_contiguous():
                raise UnsupportedRandomness("random numbers filled into a view whose base is not contiguous")
            index = torch.full(base.shape, -1, dtype=torch.int64, device=base.device)
            self.storages[pointer] = (
                base,
                Unknown(self.draws, Term(term.kind, index, base.dtype, base.clone()), base.dtype),
            )
        whole = self.storages[pointer][1]
        return write(_seen(whole, tensor), term)

    def become(self, tensor: torch.Tensor, result: Unknown) -> Unknown:
        """An in-place call on a plain tensor had an unknown result."""
        if tensor._base is not None:
            raise UnsupportedRandomness("an in-place call on a view of a tensor had a random result")
        self.storages[tensor.untyped_storage().data_ptr()] = tensor, result
        return result

    def substituted(self, value: Any) -> Any:
        """The (nested) arguments with filled tensors replaced."""
        if isinstance(value, Unknown):
            return value
        if isinstance(value, torch.Tensor):
            found = self.storages.get(value.untyped_storage().data_ptr()) if value.numel() else None
            if found is None:
                return value
            return found[1] if found[0] is value else _seen(found[1], value)
        if type(value) in (tuple, list):
            return type(value)(self.substituted(part) for part in value)
        if type(value) is dict:
            return {key: self.substituted(part) for key, part in value.items()}
        return value


def _seen(whole: Unknown, tensor: torch.Tensor) -> Unknown:
    """The unknown tensor behind a view of a filled one."""
    if whole.shape == tensor.shape and whole.stride() == tensor.stride():
        return whole
    strides = tensor.shape, tensor.stride(), tensor.storage_offset()
    part = Unknown(whole.draws, whole.term.rearranged(lambda array: torch.as_strided(array, *strides)), whole.dtype)
    part.is_view = True
    return part


def write(tensor: Unknown, term: Term) -> Unknown:
    """New cells for an unknown leaf, seen through all its views, since these share the memory of the index."""
    if tensor.term.call is not None and (tensor.is_view or tensor.viewed):
        refuse("an in-place call on a view")
    if tensor.term.call is not None:
        tensor.term = term
        return tensor
    if tensor.term.kind != term.kind:
        if (tensor.term.index >= 0).any() or tensor.is_view:
            refuse("a mixture of different random numbers")
        tensor.term = term
        return tensor
    tensor.term.index.copy_(term.index)
    return tensor
