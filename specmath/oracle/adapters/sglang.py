"""Adapters for SGLang: the chain kernel of `sglang/kernels/ops/speculative/reject_sampling.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from specmath.oracle.adapters import sources, stubs
from specmath.oracle.adapters.eager import Interpreter
from specmath.oracle.adapters.eager.theirs import triton_itself
from specmath.oracle.adapters.registry import Adapter
from specmath.oracle.adapters.signatures import bind

VERSIONS = "0.5.23"
HOME = "https://pypi.org/project/sglang"
MODULE = "sglang.kernels.ops.speculative.reject_sampling"
FILE = "sglang/kernels/ops/speculative/reject_sampling.py"
BLOCK = 2
"""Tokens per block, so that three and four tokens take more than one."""


def chain(source: Path | None, *, block_verification: bool, triton: bool = False) -> Callable[..., Any]:
    """``f(target (K+1, V), draft (K, V), tokens (K,)) -> emitted`` around ``chain_speculative_sampling_triton``.

    Its uniforms, one per drafted token and one for the last token, are arguments; they are drawn with `torch.rand` in
    float32, as SGLang's caller draws them. ``triton`` runs the kernel by Triton itself, on real random numbers only.
    `Missing` says what is absent.
    """
    files = sources.find("sglang", "sglang", source)
    sources.need(files, MODULE, "chain_speculative_sampling_triton")
    interpreter = Interpreter()
    if triton:
        triton_itself()
    module = stubs.load(files, MODULE, given={} if triton else interpreter.modules())
    kernel = bind(stubs.function(module, "chain_speculative_sampling_triton"), ARGUMENTS.split())

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        import torch

        n = len(tokens)
        interpreter.tiles = {"BLOCK_V": BLOCK, "BLOCK_REDUCE": BLOCK}
        # A chain of n + 1 slots; slot 0 is the last token of the text. Shapes (1, n + 1).
        slots = torch.arange(n + 1)[None]
        predicts = torch.full((n + 1,), -1, dtype=torch.int32)
        accepted, count = torch.full((1, n + 1), -1, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
        kernel(
            predicts=predicts,
            accept_index=accepted,
            accept_token_num=count,
            candidates=torch.cat([torch.zeros(1, dtype=tokens.dtype), tokens])[None],
            retrive_index=slots,
            retrive_next_token=torch.where(slots < n, slots + 1, -1),
            retrive_next_sibling=torch.full_like(slots, -1),
            uniform_samples=torch.rand(1, n + 1),
            uniform_samples_for_final_sampling=torch.rand(1),
            target_probs=target[None],
            draft_probs=draft[None],
            threshold_single=1.0,
            threshold_acc=1.0,
            deterministic=True,
            block_verification=block_verification,
        )
        return predicts[accepted[0, : int(count) + 1].long()]

    return verify


ARGUMENTS = (
    "predicts accept_index accept_token_num candidates retrive_index retrive_next_token retrive_next_sibling "
    "uniform_samples uniform_samples_for_final_sampling target_probs draft_probs threshold_single threshold_acc "
    "deterministic block_verification"
)
"""Of ``chain_speculative_sampling_triton``, as the adapter hands them over."""


def _adapter(name: str, block_verification: bool) -> Adapter:
    return Adapter(
        name=f"sglang.{name}",
        package="sglang",
        versions=VERSIONS,
        home=HOME,
        family="ratio",
        kind="chain",
        load=lambda source: chain(source, block_verification=block_verification),
        place=f"{FILE}: chain_speculative_sampling_triton",
        randomness="uniforms",
        note="the Python file alone; the kernel's source is run program by program, blocks of two tokens",
    )


ADAPTERS = (_adapter("chain", False), _adapter("chain_block", True))
