"""Adapters for the sampler of vLLM's second model runner, whose random numbers are counted up inside its kernels.

These numbers cannot be intercepted, so the kernels are run. The drafts are drawn by vLLM's own draft sampler with
the same seeds and positions, because a stream that draft and verification share shows in no other way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from specmath.oracle.adapters import sources, stubs
from specmath.oracle.adapters.eager import Interpreter
from specmath.oracle.adapters.registry import Adapter
from specmath.oracle.adapters.rounds import Rounds
from specmath.oracle.adapters.signatures import bind
from specmath.oracle.adapters.vllm import HOME, VERSIONS, load
from specmath.oracle.instance import Instance

UTILS = "vllm.v1.worker.gpu.spec_decode.rejection_sampler_utils"
GUMBEL = "vllm.v1.worker.gpu.sample.gumbel"
FILE = "vllm/v1/worker/gpu/spec_decode/rejection_sampler_utils.py"
VERIFIED = (
    "target_logits draft_logits draft_sampled cu_num_logits pos idx_mapping expanded_idx_mapping expanded_local_pos "
    "temperature seed num_speculative_steps use_block_verification"
)
DRAFTED = "logits expanded_idx_mapping temperature seed pos apply_temperature is_drafting logits_cache logits_cache_col"
"""Arguments of ``rejection_sample`` and of ``gumbel_sample``, as the adapter hands them over."""


def rounds(source: Path | None, *, block: bool, triton: bool = False) -> Rounds:
    """Rounds by ``gumbel_sample`` and ``rejection_sample``; seed and position differ from round to round.

    ``triton`` runs the kernels by Triton itself, which needs TRITON_INTERPRET=1 without a device, in place of our own
    interpreter. `Missing` says what is absent.
    """
    files = sources.find("vllm", "vllm", source)
    sources.need(files, UTILS, "rejection_sample")
    sources.need(files, GUMBEL, "gumbel_sample")
    interpreter = Interpreter()
    utils, sampling = load(files, (UTILS, GUMBEL), None if triton else interpreter)
    verify = bind(stubs.function(utils, "rejection_sample"), VERIFIED.split())
    sampler = bind(stubs.function(sampling, "gumbel_sample"), DRAFTED.split())

    def run(instance: Instance, seed: int) -> tuple[int, ...]:
        import torch

        n, vocabulary = instance.n, instance.vocabulary
        interpreter.tiles = {"BLOCK_SIZE": 1 << (vocabulary - 1).bit_length()}  # vLLM's blocks hold thousands
        start = seed & 0xFFF  # position of the last token of the text
        temperature, seeds = torch.ones(1), torch.tensor([seed])
        cache, request = torch.zeros(1, n, vocabulary), torch.zeros(1, dtype=torch.int32)
        tokens: tuple[int, ...] = ()
        for i in range(n):
            drawn = sampler(
                logits=_logits(instance.draft[tokens]),
                expanded_idx_mapping=request,
                temperature=temperature,
                seed=seeds,
                pos=torch.tensor([start + i]),
                apply_temperature=True,
                is_drafting=True,
                logits_cache=cache,
                logits_cache_col=torch.tensor(i),
            )
            tokens = (*tokens, int(drawn))
        sampled, count = verify(
            target_logits=torch.cat([_logits(instance.target[tokens[:i]]) for i in range(n + 1)]),
            draft_logits=cache,
            draft_sampled=torch.tensor([0, *tokens]),
            cu_num_logits=torch.tensor([0, n + 1], dtype=torch.int32),
            pos=start + torch.arange(n + 1),
            idx_mapping=request,
            expanded_idx_mapping=torch.zeros(n + 1, dtype=torch.int32),
            expanded_local_pos=torch.arange(n + 1, dtype=torch.int32),
            temperature=temperature,
            seed=seeds,
            num_speculative_steps=n,
            use_block_verification=block,
        )
        return tuple(sampled[0, : int(count[0])].tolist())

    return Rounds(run)


def _logits(row: Any) -> Any:
    """(1, V) in float32; what is impossible is minus infinity."""
    import torch

    return torch.tensor([[float(x) for x in row]]).log()


def _adapter(name: str, block: bool) -> Adapter:
    return Adapter(
        name=f"vllm.{name}",
        package="vllm",
        versions=VERSIONS,
        home=HOME,
        family="ratio",
        kind="chain",
        load=lambda source: rounds(source, block=block),
        place=f"{FILE}: rejection_sample",
        randomness="seed and counter",
        expected="undecided",
        note="sampled, with drafts by vLLM's gumbel_sample: no bias found is the best that samples can say",
    )


ADAPTERS = (_adapter("v2", False), _adapter("v2_block", True))
