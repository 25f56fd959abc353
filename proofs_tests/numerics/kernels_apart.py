"""The kernels in Triton's interpreter, in a process of their own: it is chosen before Triton is imported.

``python -m proofs_tests.numerics.kernels_apart`` prints, as JSON, which cases differ from the plain versions for each
planted mistake. With ``compiled`` as argument it prints what the compiler makes of the kernels for a GPU; none need
be there.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
if __name__ == "__main__" and "compiled" not in sys.argv:
    os.environ["TRITON_INTERPRET"] = "1"

import torch

from reference.numerics.kernels import attention, check, exponential, linear

Plant = Callable[[], tuple[Any, str, Any]]


def last_bit() -> tuple[Any, str, Any]:
    """A constant of exp that is off in its last bit."""
    return (
        exponential,
        "CONSTANTS",
        {**exponential.CONSTANTS, "SQUARE": exponential.CONSTANTS["SQUARE"] * (1 + 2.0**-52)},
    )


def coarse_weights() -> tuple[Any, str, Any]:
    """The same in attention, off by so much that it shows behind the grid."""
    return attention, "CONSTANTS", {**exponential.CONSTANTS, "LINEAR": exponential.CONSTANTS["LINEAR"] * (1 + 2.0**-20)}


def no_grid() -> tuple[Any, str, Any]:
    """Weights that are not on their grid: sums are rounded, and parts matter."""
    return attention, "rounder", lambda step, largest: 0.0


def no_mask() -> tuple[Any, str, Any]:
    whole = attention.attend
    return (
        attention,
        "attend",
        lambda query, key, value, mask, bits, **rest: whole(query, key, value, None, bits, **rest),
    )


def other_order() -> tuple[Any, str, Any]:
    """The factor of a row multiplied into the scale before the sum is."""
    whole = linear.linear

    def planted(integers: Any, matrix: Any, scale: Any, factor: Any, bias: Any, *, divide: bool) -> Any:
        ones = torch.ones_like(scale)
        sums = whole(integers, matrix, ones, torch.ones_like(factor), None, divide=False)
        joined = (scale / factor if divide else scale * factor).to(scale.dtype)
        y = sums * joined
        return y if bias is None else y + bias

    return linear, "linear", planted


def short_sums() -> tuple[Any, str, Any]:
    """The last integer of each row left out."""
    whole = linear.linear

    def planted(integers: Any, *rest: Any, **options: Any) -> Any:
        return whole(integers[..., :-1].contiguous(), *rest, **options)

    return linear, "linear", planted


def lost_nan() -> tuple[Any, str, Any]:
    """A number that is none taken for 0."""
    whole = linear.quantise
    return linear, "quantise", lambda x, inverse, floor: whole(x.nan_to_num(), inverse, floor)


PLANTED: dict[Plant, str] = {
    lost_nan: "linear",
    last_bit: "exp",
    coarse_weights: "attend",
    no_grid: "attend",
    no_mask: "attend",
    other_order: "linear",
    short_sums: "linear",
}
"""Mistakes, and the kernel that each is made in."""


def interpreted() -> dict[str, list[str]]:
    here = torch.device("cpu")
    found = {"nothing": check.differing(here, thorough=True)}
    for plant, kernel in PLANTED.items():
        module, attribute, value = plant()
        before = getattr(module, attribute)
        setattr(module, attribute, value)
        try:
            found[plant.__name__] = check.differing(here, only=[kernel])
        finally:
            setattr(module, attribute, before)
    return found


def compiled(thorough: bool) -> dict[str, dict[str, int]]:
    """Floating-point instructions and the shared memory of kernels compiled for NVIDIA GPUs."""
    wide: dict[str, str] = dict.fromkeys(("Q", "K", "V", "MASK", "PEAK", "SUMS"), "*fp64")
    tile = {"HEADS": 4, "MASKED": True, "TALL": attention.TALL}
    narrow = {"Q": "*i8", "W": "*i8", "SCALE": "*fp32", "FACTOR": "*fp32", "BIAS": "*fp32", "Y": "*fp32"}
    cases: dict[str, tuple[Any, dict[str, str], dict[str, Any], dict[str, Any]]] = {
        "exp": (exponential._exp, {"X": "*fp64"}, {"BLOCK": exponential.BLOCK, **exponential.CONSTANTS}, {}),
        "products": (
            linear._products,
            narrow,
            {"DIVIDE": False, "BIASED": True, "TALL": 16, "HIGH": linear.HIGH, "WIDE": linear.WIDE},
            {},
        ),
    }
    if thorough:
        for dtype, floor in (("*fp32", 2.0**-60), ("*fp64", 2.0**-300)):
            types = {"X": dtype, "Q": "*i8", "SCALE": dtype, "SQUARES": "*i32"}
            constants = {"INVERSE": 1 / 127, "FLOOR": floor, "BLOCK": 512}
            cases[f"quantise {dtype}"] = (linear._quantise, types, constants, {})
        for width, long in ((64, 32), (128, 16), (256, 16)):
            constants = {**tile, "WIDTH": width, "LONG": long}
            cases[f"peaks {width}"] = (attention._peaks, wide, constants, {"num_stages": 2})
            constants = {**constants, "WIDE": width, "PULL": 1.5 * 2.0**30, **exponential.CONSTANTS}
            cases[f"mix {width}"] = (attention._mix, wide, constants, {"num_stages": 2})
    found = {}
    for capability in (80, 90) if thorough else (90,):
        for name, (kernel, types, constants, options) in cases.items():
            for fusing in (False, True):
                counts = instructions(kernel, types, constants, capability, {**options, "enable_fp_fusion": fusing})
                found[f"{name} sm_{capability}{' fused' if fusing else ''}"] = counts
    return found


def instructions(
    kernel: Any, types: dict[str, str], constants: dict[str, Any], capability: int, options: dict[str, Any]
) -> dict[str, int]:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    of_type = {name: types.get(name, "constexpr" if name in constants else "i32") for name in kernel.arg_names}
    of_type = {name: "constexpr" if name in constants else kind for name, kind in of_type.items()}
    source: Any = ASTSource(kernel, of_type, constants)
    made: Any = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    names = re.findall(r"\s((?:fma|mad|add|sub|mul|div|sqrt|mma)\.[a-z0-9_.]*)", made.asm["ptx"])
    counts = Counter(name for name in names if re.search(r"f32|f64|mma", name))
    return {**counts, "shared": made.metadata.shared}


if __name__ == "__main__":
    print(json.dumps(compiled("thorough" in sys.argv) if "compiled" in sys.argv else interpreted()))
