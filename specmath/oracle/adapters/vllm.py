"""Adapters for vLLM: the samplers that verify drafts, their Python files alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from specmath.oracle.adapters import sources, stubs
from specmath.oracle.adapters.eager import Interpreter
from specmath.oracle.adapters.registry import Adapter
from specmath.oracle.adapters.signatures import bind

VERSIONS = "0.33.0"
HOME = "https://pypi.org/project/vllm"
V1 = "vllm.v1.sample.rejection_sampler"
V1_FILE = "vllm/v1/sample/rejection_sampler.py"
NEEDED = ("target_logits", "draft_probs", "draft_token_ids", "bonus_token_ids", "sampling_metadata")
"""Arguments of ``rejection_sample``; it has more with every version, which are left at their defaults."""


def dispatcher(kernel: Any, warmup_inputs: Any = None) -> Callable[..., Any]:
    """What stands for vLLM's ``triton_kernel_dispatcher_with_warmup``: launch, without the warm-up.

    The decorated function gives grid and constants; its own arguments go to the kernel's parameters of the same name,
    with ``_ptr`` after it for arrays.
    """

    def decorate(choose: Callable[..., Any]) -> Callable[..., None]:
        signature = inspect.signature(choose)

        def launch(*args: Any, **kwargs: Any) -> None:
            bound = signature.bind(*args, **kwargs)
            grid, constants = choose(*args, **kwargs)[:2]
            given = dict(constants)
            for name, value in bound.arguments.items():
                known = [one for one in (name, f"{name}_ptr") if one in kernel.arg_names and one not in given]
                if known:
                    given[known[0]] = value
            kernel[grid](**given)

        return launch

    return decorate


def load(files: sources.Files, modules: Sequence[str], interpreter: Interpreter | None) -> tuple[ModuleType, ...]:
    """Modules of vLLM, with ``interpreter`` for Triton (None: Triton itself), everything else of vLLM stubs."""
    if interpreter is None:
        from specmath.oracle.adapters.eager.theirs import triton_itself

        given: dict[str, Any] = {}
        names = triton_itself()
    else:
        given = interpreter.modules()
        language = given["triton.language"]
        names = {"triton": given["triton"], "tl": language, "tldevice": language, "HAS_TRITON": True}
    given["vllm.triton_utils"] = names
    given["vllm.model_executor.warmup.jit_warmup_triton_helper"] = {"triton_kernel_dispatcher_with_warmup": dispatcher}
    return stubs.load_all(files, modules, given=given)


def v1(source: Path | None, *, draft_probs: bool, triton: bool = False) -> Callable[..., Any]:
    """``f(target (K+1, V), draft (K, V), tokens (K,)) -> emitted`` around ``rejection_sample`` of vLLM's v1 engine.

    The bonus token, which vLLM's own sampler draws before, is a `torch.multinomial` of the last row. With
    ``draft_probs`` False the sampler is told no draft law, as for n-gram drafts. ``triton`` runs the kernels by Triton
    itself, on real random numbers only. `Missing` says what is absent.
    """
    files = sources.find("vllm", "vllm", source)
    sources.need(files, V1, "rejection_sample", "generate_uniform_probs", "sample_recovered_tokens")
    interpreter = Interpreter()
    rejection_sample = bind_v1(
        stubs.function(load(files, (V1,), None if triton else interpreter)[0], "rejection_sample")
    )

    def verify(target: Any, draft: Any, tokens: Any) -> Any:
        import torch

        n, vocabulary = draft.shape
        interpreter.tiles = {"BLOCK_SIZE": vocabulary}  # one block: its race is followed whole
        emitted = rejection_sample(
            draft_token_ids=tokens.to(torch.int32),
            num_draft_tokens=[n],
            max_spec_len=n,
            cu_num_draft_tokens=torch.tensor([n], dtype=torch.int32),
            draft_probs=draft if draft_probs else None,
            target_logits=target[:-1].log(),
            bonus_token_ids=torch.zeros((1, 1), dtype=torch.int32),
            sampling_metadata=SimpleNamespace(
                all_greedy=False, all_random=True, temperature=torch.ones(1), generators={}
            ),
        )[0].tolist()
        # The placeholder 0 of a bonus is drawn only where it is used: it depends on nothing else.
        return [*emitted[:n], torch.multinomial(target[-1], 1)] if emitted[n] != -1 else emitted

    return verify


def bind_v1(function: Callable[..., Any]) -> Callable[..., Any]:
    """``rejection_sample`` of v1, whose optional arguments differ between versions."""
    known = (*NEEDED, "num_draft_tokens", "max_spec_len", "cu_num_draft_tokens")
    return bind(function, known)


def _v1(name: str, draft_probs: bool, note: str) -> Adapter:
    return Adapter(
        name=f"vllm.{name}",
        package="vllm",
        versions=VERSIONS,
        home=HOME,
        family="ratio" if draft_probs else "target_only",
        kind="chain",
        load=lambda source: v1(source, draft_probs=draft_probs),
        place=f"{V1_FILE}: rejection_sample",
        randomness="global torch",
        expected="unsafe",
        note=note,
    )


ADAPTERS = (
    _v1("v1", True, "the Python file alone; one block of tokens, so that its race is followed"),
    _v1("v1_no_draft_probs", False, "draft_probs=None, as for n-gram and greedy drafts: lossless for any drafts"),
)
