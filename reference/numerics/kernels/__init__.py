"""Triton kernels for CUDA: the bits of the plain versions in fewer passes. Optional, and chosen without being asked.

`usable` says whether they run on a device. Nothing imports Triton before a CUDA tensor asks for it.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterable

import torch

_FOUND: dict[int, bool] = {}

compared: list[Callable[[torch.device], Iterable[str]]] = []
"""What names the kernels that differ from the plain versions on a device: put here by `reference.numerics`, because the
plain versions ask `usable` and cannot be imported from here."""


def usable(device: torch.device) -> bool:
    """Whether the kernels run on tensors of this device: CUDA, Triton installed, and the bits right.

    The first question about a device runs every kernel on it once and compares with the plain versions. Should one fail
    or differ, a RuntimeWarning says so, and the plain versions run on, which give the same bits. Preparing weights asks
    that question. During the capture of a graph a device that was not asked about before counts as unusable.
    """
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return False
    index = torch.cuda.current_device() if device.index is None else device.index
    if index not in _FOUND:
        if torch.cuda.is_current_stream_capturing():
            return False
        _FOUND[index] = False  # for the plain versions that are compared: they ask as well
        _FOUND[index] = _right(torch.device("cuda", index))
    return _FOUND[index]


def _right(device: torch.device) -> bool:
    try:
        wrong = ", ".join(compared[0](device))
    except Exception as error:  # no compiler, a GPU that Triton does not know: whatever it is, there is another way
        wrong = repr(error)
    if wrong:
        message = f"kernels: not usable on {device}, slower versions with the same results run: {wrong}"
        warnings.warn(message, RuntimeWarning, stacklevel=3)
    return not wrong
