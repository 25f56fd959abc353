"""One hash for the logits of the shipped pair, on every processor, vector width, library mode and device.

A changed hash means that an exact arithmetic computes another model than it did: that must be meant, and noted in the
change log. The constants below were made by ``python -m proofs_tests.numerics.test_golden``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from proofs_tests.numerics.test_exponential import BITS, digest, numbers
from reference import pair
from reference.models.llama import Llama
from reference.numerics import ARITHMETICS, PreparedLlama
from reference.numerics.exponential import exp

TEXT = '''def median(numbers):
    """The middle of a list; the mean of the two in the middle if there are two."""
    ordered = sorted(numbers)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
'''

GOLDEN = {
    "draft exact64": "87396d1d4a690abf5f4d700f51b3dc63",
    "draft int8": "c42657017b2ac83ee5428a70625bb67d",
    "target exact64": "1613c164eede85563d14790b42408b13",
    "target int8": "9e257b948e9f0a6cd09dd36911b50130",
}

SETTINGS = {
    "no vector units": {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "256-bit vectors": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}


def networks(*parts: str) -> dict[str, Llama]:
    both = pair.load()
    return {part: getattr(both, part).network for part in parts}


def logits(network: Llama, arithmetic: str, device: str = "cpu") -> torch.Tensor:
    """Logits (T, V) of `TEXT`."""
    tokens = torch.tensor([pair.encode(TEXT)], device=device)
    prepared = PreparedLlama(network.to(device), ARITHMETICS[arithmetic])
    length = tokens.shape[1]
    visible = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    at = torch.arange(length, device=device)
    return prepared(tokens, prepared.slots(1), at, slice(0, length), length, visible)[0]


def hashes(*parts: str, device: str = "cpu") -> dict[str, str]:
    return {
        f"{part} {arithmetic}": digest(logits(network, arithmetic, device))
        for part, network in networks(*parts).items()
        for arithmetic in ("exact64", "int8")
    }


def test_this_machine() -> None:
    assert hashes("draft", "target") == GOLDEN


@pytest.mark.parametrize("setting", SETTINGS)
def test_other_processors(setting: str) -> None:
    """Vector units and instructions of the libraries switched off, which older processors do not have.

    And no model that runs on a CPU imports Triton.
    """
    command = [sys.executable, "-m", "proofs_tests.numerics.test_golden", "draft"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **SETTINGS[setting]}
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    expected = {name: value for name, value in GOLDEN.items() if name.startswith("draft")}
    assert json.loads(run.stdout) == {**expected, "exp": BITS, "triton": False}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none is visible to torch")
@pytest.mark.parametrize("kernels", [True, False])
def test_devices(kernels: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kernels and without: the hashes of the CPU."""
    if not kernels:
        monkeypatch.setattr("reference.numerics.kernels._FOUND", {torch.cuda.current_device(): False})
    assert hashes("draft", "target", device="cuda") == GOLDEN


def test_the_hash_sees_the_last_bit() -> None:
    """Planted: one logit changed by one unit in the last place."""
    own = logits(networks("draft")["draft"], "exact64")
    touched = own.clone()
    touched[7, 7] = torch.nextafter(touched[7, 7], touched[7, 7] + 1)
    assert digest(touched) != GOLDEN["draft exact64"] == digest(own)


def main() -> None:
    found: dict[str, Any] = {
        **hashes(*(sys.argv[1:] or ("draft", "target"))),
        "exp": digest(exp(numbers())),
        "triton": "triton" in sys.modules,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
