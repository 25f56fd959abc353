"""Triton kernels have the bits of the plain versions: in the interpreter on a CPU, and on a device where there is one.

The interpreter runs a kernel's operations one by one and knows nothing of a compiler's liberties, above all the fusing
of products and sums. So the code that the compiler makes for a GPU is read as well; no GPU is needed for that.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from proofs_tests.numerics.kernels_apart import PLANTED
from reference.numerics import kernels

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="needs Triton: pip install 'specmath[kernels]', on Linux"
)
needs_device = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is visible to torch")


def apart(*words: str) -> dict[str, Any]:
    """What `kernels_apart` prints."""
    command = [sys.executable, "-m", "proofs_tests.numerics.kernels_apart", *words]
    env = {**os.environ, "TRITON_ALWAYS_COMPILE": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def interpreted() -> dict[str, list[str]]:
    version = tuple(int(part) for part in importlib.metadata.version("triton").split(".")[:2])
    numpy = tuple(int(part) for part in importlib.metadata.version("numpy").split(".")[:2])
    if version < (3, 7) and numpy >= (2, 4):
        pytest.skip("the interpreter of Triton before 3.7 cannot count its loops with NumPy 2.4")
    return apart()


@needs_triton
def test_same_bits_in_the_interpreter(interpreted: dict[str, list[str]]) -> None:
    assert interpreted["nothing"] == []


@needs_triton
@pytest.mark.parametrize("planted", [plant.__name__ for plant in PLANTED])
def test_planted_mistakes_are_caught(interpreted: dict[str, list[str]], planted: str) -> None:
    assert interpreted[planted] != []


def fusions(found: dict[str, dict[str, int]], fused: bool) -> dict[str, int]:
    """Multiply-adds of each kernel: those of matrix products aside, whose sums are exact."""
    kinds = ("fma.", "mad.")
    return {
        name: sum(count for kind, count in counts.items() if kind.startswith(kinds))
        for name, counts in found.items()
        if name.endswith("fused") == fused
    }


def check_code(found: dict[str, dict[str, int]]) -> None:
    """Nothing is fused; every operation is rounded to nearest; and a GPU's fast memory is enough."""
    assert set(fusions(found, fused=False).values()) == {0}
    for name, counts in found.items():
        for kind in counts:
            if not name.endswith("fused") and kind.split(".")[0] in ("add", "sub", "mul", "div", "sqrt"):
                assert ".rn." in kind, (name, kind)
        assert counts["shared"] <= 99 * 1024, name
    # planted: the same kernels as the compiler makes them unless it is told otherwise
    assert fusions(found, fused=True)["exp sm_90 fused"] > 0
    assert fusions(found, fused=True)["products sm_90 fused"] > 0


@needs_triton
def test_compiler_fuses_nothing() -> None:
    check_code(apart("compiled"))


@needs_triton
@pytest.mark.slow
def test_compiler_fuses_nothing_in_any_kernel() -> None:
    check_code(apart("compiled", "thorough"))


def test_a_cpu_has_no_kernels() -> None:
    assert not kernels.usable(torch.device("cpu"))


def test_what_fails_or_differs_is_reported_and_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from reference.numerics.kernels import check

    def failing(device: torch.device) -> list[str]:
        raise RuntimeError("no compiler")

    device = torch.device("cuda", 0)
    for planted, words in ((failing, "no compiler"), (lambda device: ["exp", "ties"], "exp, ties")):
        monkeypatch.setattr(check, "differing", planted)
        with pytest.warns(RuntimeWarning, match=words):
            assert not kernels._right(device)
    monkeypatch.setattr(check, "differing", lambda device: [])
    assert kernels._right(device)


@needs_triton
@needs_device
@pytest.mark.gpu
def test_same_bits_on_the_device() -> None:
    from reference.numerics.kernels import check

    device = torch.device("cuda", torch.cuda.current_device())
    assert kernels.usable(device)
    assert check.differing(device, thorough=True) == []


@needs_triton
@needs_device
@pytest.mark.gpu
@pytest.mark.parametrize("width", [64, 128, 256])
@pytest.mark.parametrize("new", [1, 8, 65])
def test_attention_of_usual_sizes_on_the_device(width: int, new: int) -> None:
    """Thousands of slots, cut into parts as suits the device, in another order, and fewer queries at a time."""
    from reference.numerics import attend
    from reference.numerics.grid import rounder, row_grid
    from reference.numerics.kernels.attention import attend as kernel

    generator = torch.Generator().manual_seed(0)
    budget = attend.AttentionBudget.of(width, 4096)
    query = row_grid(torch.randn(2, 8, new, width, generator=generator).double(), budget.score_bits).cuda()
    key = row_grid(torch.randn(2, 2, 4001, width, generator=generator).double(), budget.score_bits).cuda()
    pull = rounder(2.0 ** (3 - budget.value_bits), 2.0**3)
    value = ((torch.randn(2, 2, 4001, width, generator=generator).double() + pull) - pull).cuda()
    mask = attend.additive(torch.rand(2, 1, new, 4001, generator=generator) < 0.9)
    assert mask is not None
    mask = mask.cuda()
    bits = budget.weight_bits
    plain = attend.plain_attend(query, key, value, mask, budget)
    assert torch.equal(kernel(query, key, value, mask, bits), plain)
    order = torch.randperm(4001, generator=generator).cuda()
    assert torch.equal(kernel(query, key[:, :, order], value[:, :, order], mask[..., order], bits), plain)
    assert torch.equal(kernel(query[:, :, -1:], key, value, mask[:, :, -1:], bits), plain[:, :, -1:])
